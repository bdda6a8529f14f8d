"""FINAL: Factorized Interaction Layer for CTR Prediction.

Zhu et al., SIGIR 2023, https://doi.org/10.1145/3539618.3591988

    fields ─> embeddings ──┬─> factorized layers ─> logit ──┐
                           └─> factorized layers ─> logit ──┴─> mean ─> sigmoid

In training each logit also learns what the mean predicts (self-distillation).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.losses import LossLayer
from recsys.layers.mlp import Tower
from recsys.layers.normalization import batch_norm, make_dropout
from recsys.layers.row_means import mean_of_rows
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "Task", "finalnet"]


class FactorizedLayer(Layer):
    r"""A dense layer with products: one half of it multiplied by the other.

        [h_2, h_1] = x W + b,   y = [h_2, h_1 * h_2]   or   y = h_2 + h_1 * h_2

    and then batch normalisation, activation, dropout. n layers reach products of 2^n
    inputs.

    Args:
        units: Width of y, even with `"concat"`.
        residual: `"concat"` (the first form) or `"sum"`.
        activation: See `get_activation`.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernel.
        dropout: Fraction dropped in training, in [0, 1).
        use_bn: Whether to normalise.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, units)`.
    Raises:
        ValueError: If the residual is unknown, or the width to be halved is odd.
    Example:
    >>> layer = FactorizedLayer(1, "sum", use_bn=False)
    >>> layer.build((None, 2))
    >>> layer.set_weights([np.eye(2), np.zeros(2)])
    >>> layer(np.array([[3.0, 4.0]])).numpy()  # 3 + 4 * 3
    array([[15.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        residual: str = "concat",
        activation: Activation | dict[str, Any] | None = None,
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        known = residual in ("concat", "sum")
        if not known or units < 1 or (residual == "concat" and units % 2):
            raise ValueError(
                f"Layer {self.name!r}: residual must be 'concat' or 'sum', and units "
                "at least 1 and even where they are halves side by side. "
                f"Received: residual={residual!r}, units={units}"
            )
        self.units = units
        self.residual = residual
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        same = {"dtype": self.dtype_policy}
        self.dense = keras.layers.Dense(
            units if residual == "concat" else 2 * units,
            kernel_regularizer=keras.regularizers.L2(l2_reg) if l2_reg else None,
            name="dense",
            **same,
        )
        if use_bn:
            self.norm = batch_norm(name="bn", **same)
        self.activate = get_activation(activation, name="activation", **same)
        if dropout:
            self.drop = make_dropout(dropout, name="dropout", **same)

    def build(self, input_shape: Shape) -> None:
        self.dense.build(input_shape)
        shape = self.compute_output_shape(input_shape)
        if self.use_bn:
            self.norm.build(shape)
        self.activate.build(shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        h2, h1 = ops.split(self.dense(inputs), 2, axis=-1)
        if self.residual == "concat":
            y = ops.concatenate([h2, h1 * h2], axis=-1)
        else:
            y = h2 + h1 * h2
        if self.use_bn:
            y = self.norm(y, training=training)
        y = self.activate(y)
        return self.drop(y, training=training) if self.dropout else y

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)


class FieldGate(Layer):
    """Weighs each bit of a field by that bit of all fields.

        g_i = sum_j W_{ji} e_j + b_i,   [e, e * g] or e + e * g; g is 1 at the start

    Args:
        residual: `"concat"` (the first form) or `"sum"`.
    Call arguments:
        inputs: `(batch, num_fields, dim)`.
    Returns:
        `(batch, width)`: `num_fields * dim`, twice as wide with `"concat"`.
    Raises:
        ValueError: If the residual is unknown.
    """

    def __init__(self, residual: str = "concat", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if residual not in ("concat", "sum"):
            raise ValueError(
                f"Layer {self.name!r}: residual must be 'concat' or 'sum'. "
                f"Received: residual={residual!r}"
            )
        self.residual = residual

    def build(self, input_shape: Shape) -> None:
        num_fields = input_shape[1]
        self.kernel = self.add_weight(
            shape=(num_fields, num_fields), initializer="zeros", name="kernel"
        )
        self.bias = self.add_weight(
            shape=(num_fields,), initializer="ones", name="bias"
        )

    def call(self, inputs: Tensor) -> Tensor:
        bits = ops.transpose(inputs, (0, 2, 1))  # (batch, dim, num_fields)
        gate = ops.matmul(bits, self.kernel) + self.bias
        gated = inputs * ops.transpose(gate, (0, 2, 1))
        sides = [inputs, gated] if self.residual == "concat" else [inputs + gated]
        width = inputs.shape[1] * inputs.shape[2]
        return ops.concatenate([ops.reshape(s, (-1, width)) for s in sides], axis=-1)


class SelfDistillation(LossLayer):
    r"""The mean of two logits, which is what each of them is trained to predict.

        loss = BCE(\sigma(y_1), \hat y) + BCE(\sigma(y_2), \hat y)

    with \hat y the sigmoid of the mean, through which no gradient flows. Rows without
    label do not count.

    Args:
        weight, sample_weight: Arguments of `LossLayer`.
    Call arguments:
        inputs: `[y_1, y_2]`, each `(batch, 1)`.
    Returns:
        The mean logit, `(batch, 1)`, float32.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.kept.put(inputs)
        return 0.5 * (inputs[0] + inputs[1])

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        one, other = self.kept.take()[-1]
        teacher = ops.stop_gradient(ops.sigmoid(0.5 * (one + other)))
        rows = ops.binary_crossentropy(teacher, one, from_logits=True)
        rows += ops.binary_crossentropy(teacher, other, from_logits=True)
        return mean_of_rows(rows, next(iter(weights.values()), None))


@factory()
def finalnet(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    residual: str = "concat",
    field_gate: str | None = None,
    distillation: float = 1.0,
    hidden_units: Sequence[int] = (100, 64),
    second_hidden_units: Sequence[int] | None = None,
    activation: Activation | None = None,
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = True,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds FINAL: two stacks of layers that multiply, teaching each other.

    Parameters of a layer from width D to `n`: `D n + n` with `"concat"`, twice that
    with `"sum"`, and `2 n` trainable ones of its normalisation.

    Args:
        fields: All fields, of any widths.
        task: A binary task; without `distillation` any but a multiclass one.
        residual: Form of the layers, `"concat"` or `"sum"`, see `FactorizedLayer`.
        field_gate: `"concat"` or `"sum"` puts a `FieldGate` before the first stack;
            the fields must then be of one `dim`.
        distillation: Factor on the loss of `SelfDistillation`; 0 leaves it out.
        hidden_units: Widths of the first stack. The default is this library's; the
            paper has others.
        second_hidden_units: Sizes of the second; default: the same. None, `()`, leaves
            it out, and with it the distillation.
        activation: Behind each layer; the paper's default is none.
        dropout: Fraction dropped behind each layer, in [0, 1).
        l2_reg: Penalty on the kernels.
        use_bn: Whether each layer normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If a residual is unknown, widths to be halved are odd, or a task
            that is not binary is to be distilled.
    """
    if second_hidden_units is None:
        second_hidden_units = hidden_units
    two = len(second_hidden_units) > 0
    if two and distillation and task.belong != "binary":
        raise ValueError(
            f"Task {task.name!r}: distillation is for binary tasks; set it to 0. "
            f"Received: belong={task.belong!r}, distillation={distillation}"
        )
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs)
    first = x.concat()
    if field_gate is not None:
        first = FieldGate(field_gate, name="dnn_field_gate")(x.stack())
        raw = x.raw()
        if raw:
            first = keras.layers.Concatenate()([first, *raw])
    stacks = [(first, hidden_units), (x.concat(), second_hidden_units)]
    logits = []
    for i, (y, widths) in enumerate(stacks[: 1 + two]):
        for j, width in enumerate(widths):
            y = FactorizedLayer(
                width,
                residual,
                activation,
                l2_reg,
                dropout,
                use_bn,
                name=f"dnn_stack_{i}_{j}",
            )(y)
        logits.append(Tower((), name=f"dnn_logit_{i}")(y))
    if two and distillation:
        logits = [SelfDistillation(weight=distillation, name="dnn_mean")(logits)]
    elif two:
        logits = [keras.layers.Average(name="dnn_mean")(logits)]
    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="finalnet")
