"""ContextNet: Using Contextual Information to Refine Feature Embedding.

Wang et al., 2021, https://arxiv.org/abs/2107.12025 (figure 1, eq. 5-14)

    embeddings ─┬──────────> product ─> network of a field ─> product ─> ... ─> sigmoid
                │              │                                │
                └─> context ───┴──────────────> context ────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.elementary import Bias, SumUnits
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.layers.normalization import layer_norm
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Shape, Tensor

__all__ = ["Field", "Task", "contextnet", "feature_contributions"]


class PointWiseBlock(Layer):
    """Refines embeddings by their context: LN(ReLU(M W_1) W_2 + M), M = x * context.

    The weights are shared by the fields (eq. 9 and 11-12).

    Call arguments:
        inputs: `[x, context]`, each `(batch, num_fields, dim)`.
    Returns:
        `(batch, num_fields, dim)`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        shape = tuple(input_shape[0])
        same = {"use_bias": False, "dtype": self.dtype_policy}
        self.inner = keras.layers.Dense(shape[-1], "relu", name="inner", **same)
        self.outer = keras.layers.Dense(shape[-1], name="outer", **same)
        self.norm = layer_norm(dtype=self.dtype_policy, name="norm")
        for layer in (self.inner, self.outer, self.norm):
            layer.build(shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, context = inputs
        merged = x * context
        return self.norm(self.outer(self.inner(merged)) + merged)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class SingleLayerBlock(Layer):
    """The lighter block: LN((x * context) W), W shared by the fields (eq. 13).

    Call arguments:
        inputs: `[x, context]`, each `(batch, num_fields, dim)`.
    Returns:
        `(batch, num_fields, dim)`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        shape = tuple(input_shape[0])
        self.dense = keras.layers.Dense(
            shape[-1], use_bias=False, dtype=self.dtype_policy, name="dense"
        )
        self.norm = layer_norm(dtype=self.dtype_policy, name="norm")
        self.dense.build(shape)
        self.norm.build(shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, context = inputs
        return self.norm(self.dense(x * context))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class FieldContributions(Layer):
    """What each field adds to the logit: <w_f, x_f>.

    Args:
        names: The fields.
    Call arguments:
        inputs: `(batch, num_fields, dim)`.
    Returns:
        `(batch, num_fields)`, float32.
    """

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.names = list(names)

    def build(self, input_shape: Shape) -> None:
        fields, dim = input_shape[1:]
        limit = (6 / (fields * dim + 1)) ** 0.5  # Glorot's, of all to one logit
        self.kernel = self.add_weight(
            shape=(fields, dim),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sum(inputs * self.kernel, axis=-1)


@factory("one_dim", may_be_zero=("num_blocks",))
def contextnet(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_blocks: int = 3,
    context_units: int = 20,
    share: str = "none",
    single_layer: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds ContextNet: embeddings refined again and again by what is beside them.

    The context always comes from the embeddings as they are in the tables, never from
    refined ones. The logit is a sum over fields, see `feature_contributions`.

    Parameters of a block of F fields: `F d t + F t d` of the context, and `2 d^2 + 2 d`
    (`d^2 + 2 d` with `single_layer`); the logit `F d + 1`.

    Args:
        fields: The fields, all of one `dim`, d. Raw fields go to the logit.
        task: Any but a multiclass one.
        num_blocks: Number of blocks, may be 0.
        context_units: Hidden width of the context, t.
        share: What the contexts of all blocks share: `"none"`, the `"aggregation"` to
            the hidden layer, or `"all"`.
        single_layer: Whether blocks are `SingleLayerBlock` instead of `PointWiseBlock`.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If `share` is unknown or the fields differ in `dim`.
    """
    if share not in ("none", "aggregation", "all"):
        raise ValueError(
            "contextnet: share must be 'none', 'aggregation' or 'all'. "
            f"Received: share={share!r}"
        )
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    x = features.stack()
    shape = x.shape[1:]
    everything = keras.layers.Flatten()(x)
    hidden = context = None
    for i in range(num_blocks):
        if hidden is None or share == "none":
            aggregate = keras.layers.Dense(
                context_units, "relu", use_bias=False, name=f"dnn_aggregate_{i}"
            )
            hidden = aggregate(everything)
        if context is None or share != "all":
            project = keras.layers.Dense(
                shape[0] * shape[1], use_bias=False, name=f"dnn_project_{i}"
            )
            context = keras.layers.Reshape(shape)(project(hidden))
        block = SingleLayerBlock if single_layer else PointWiseBlock
        x = block(name=f"dnn_block_{i}")([x, context])

    by_field = FieldContributions(features.names(), name="dnn_contributions")(x)
    terms = [SumUnits()(by_field)]
    if features.raw():
        terms.append(Tower((), use_bias=False, name="dnn_raw")(concat(features.raw())))
    logit = Bias(name="dnn_bias")(terms)

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="contextnet")


def feature_contributions(
    model: keras.Model, x: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Returns what each embedded field adds to the logit of each row.

    With the bias and the part of raw fields they sum to the logit (eq. 14).

    Args:
        model: A `contextnet`.
        x: Its columns.

    Returns:
        `{field: (rows,)}`.
    """
    layer = model.get_layer("dnn_contributions")
    inner = keras.Model(model.input, layer.output)
    values = inner.predict({name: x[name] for name in model.input}, verbose=0)
    return dict(zip(layer.names, values.T, strict=True))
