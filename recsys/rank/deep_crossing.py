"""Deep Crossing: Web-Scale Modeling without Manually Crafted Combinatorial Features.

Shan et al., KDD 2016, https://doi.org/10.1145/2939672.2939704 (figure 1, eq. 1-3)

    large vocabularies ─> embeddings ─> + bias ─> ReLU ──┐
    small vocabularies ─> one-hot ───────────────────────┼─> residual units ─> sigmoid
    numbers ─────────────────────────────────────────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Shape, Tensor

__all__ = ["Field", "Task", "deep_crossing"]


class ShiftedRelu(Layer):
    """max(0, x + b): what eq. 1 does to the product of one-hot and table.

    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, width)`, not negative.
    """

    def build(self, input_shape: Shape) -> None:
        self.bias = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", name="bias"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(inputs + self.bias)


class OneHot(Layer):
    """From ids `(batch,)` to `(batch, size)`; an id outside the size gives zeros."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Tensor) -> Tensor:
        return ops.one_hot(inputs, self.size, dtype=self.compute_dtype)

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape, self.size), dtype=self.compute_dtype)


class ResidualUnit(Layer):
    """ReLU(x + W_1 ReLU(W_0 x + b_0) + b_1): two layers and a shortcut (figure 2).

    Args:
        units: Width of the inner layer.
        l2_reg: Penalty on both kernels.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, width)`, not negative.
    """

    def __init__(self, units: int, l2_reg: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.l2_reg = l2_reg

    def build(self, input_shape: Shape) -> None:
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        same = {"kernel_regularizer": regularizer, "dtype": self.dtype_policy}
        width = input_shape[-1]
        self.inner = keras.layers.Dense(self.units, "relu", name="inner", **same)
        self.outer = keras.layers.Dense(width, name="outer", **same)
        self.inner.build(input_shape)
        self.outer.build((*input_shape[:-1], self.units))

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(inputs + self.outer(self.inner(inputs)))


@factory(may_be_zero=("one_hot_below",))
def deep_crossing(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    one_hot_below: int = 256,
    hidden_units: Sequence[int] = (512, 512, 256, 128, 64),
    l2_reg: float = 0.0,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds Deep Crossing: residual units on stacked features.

    Parameters: `V d + d` for each embedded field, `2 D h + h + D` for a residual unit
    of inner width h on a stack of width D, and `D + 1` for the logit.

    Args:
        fields: The fields. A number, and an id of a small vocabulary, is stacked
            without embedding; pooled histories and several values have one always.
        task: The task.
        one_hot_below: Vocabulary size from which on a single id is embedded, may
            be 0.
        hidden_units: Inner width of each residual unit.
        l2_reg: Penalty on the kernels of the residual units.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
    """
    embed = FieldEmbedder(fields)
    stacked, embedded = [], []
    for part in embed(fields, history_agg, agg_kwargs).parts:
        field = part.fields[0]
        if field.belong == "history" or field.edges is not None:
            embedded.append(part.tensor)
        elif not field.is_table:
            number = keras.layers.Reshape((field.length,))
            stacked.append(number(embed.column(field.name)))
        elif field.length == 1 and field.vocabulary_size < one_hot_below:
            one_hot = OneHot(field.vocabulary_size)
            stacked.append(one_hot(embed.column(field.name)))
        else:
            embedded.append(part.tensor)
    if embedded:
        stacked.append(ShiftedRelu(name="dnn_embedded")(concat(embedded)))
    x = concat(stacked)
    for i, units in enumerate(hidden_units):
        x = ResidualUnit(units, l2_reg, name=f"dnn_residual_{i}")(x)
    logit = Tower((), num_logits=task.num_classes, name="dnn_logit")(x)

    return Model(
        inputs=embed.inputs, outputs=predict(task, logit), name="deep_crossing"
    )
