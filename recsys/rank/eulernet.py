"""EulerNet: Adaptive Feature Interaction Learning via Euler's Formula for CTR
Prediction.

Tian et al., SIGIR 2023, https://arxiv.org/abs/2304.10711 (figure 2, section 3)

    fields ─> embeddings ─> complex numbers ─> Euler layers ─> logit ─> sigmoid

    Euler layer:  powers and products, in polar coordinates ──┐
                  dense layer on both parts ─────────────────(+)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower, as_shapes
from recsys.layers.normalization import layer_norm, make_dropout
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Shape, Tensor

__all__ = ["Field", "Task", "eulernet"]


class EulerFeatures(Layer):
    r"""From embeddings, as phases, to complex numbers of one modulus a field.

        r + i p = \mu_f e^{i e} = \mu_f cos(e) + i \mu_f sin(e)

    Call arguments:
        inputs: `(batch, num_fields, dim)`.
    Returns:
        Real and imaginary part, each `(batch, dim, num_fields)`, float32.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape: Shape) -> None:
        self.modulus = self.add_weight(
            shape=(input_shape[1],), initializer="ones", name="modulus"
        )

    def call(self, inputs: Tensor) -> list[Tensor]:
        phase = ops.transpose(inputs, (0, 2, 1))
        return [self.modulus * ops.cos(phase), self.modulus * ops.sin(phase)]


class EulerInteraction(Layer):
    r"""Complex products of any order, learned, and a dense layer beside them.

        \lambda = log |z_f|,   \theta = arg z_f
        \lambda'_k = exp(\sum_f a_{fk} \lambda_f + \delta_k)
        \theta'_k = \sum_f a_{fk} \theta_f + \delta'_k
        r' = relu(r W + b) + \lambda' cos \theta'
        p' = relu(p W + b) + \lambda' sin \theta'

    The first terms see all fields and bits at once; the second ones are, with
    \delta = 0, the products \prod_f z_f^{a_{fk}} of each bit. Computed in float32:
    phases and exponents do not bear half precision.

    Args:
        num_orders: Number of products k. The orders start as one field each, in
            order where there are as many as fields.
        dropout: Fraction of \lambda, \theta, r and p dropped in training, in
            [0, 1).
        use_ln: Whether both parts are normalised over their bits.
        l2_reg: Penalty `l2_reg * sum of squares` on W.
    Call arguments:
        inputs: Real and imaginary part, each `(batch, dim, num)`.
    Returns:
        Both parts, each `(batch, dim, num_orders)`, float32.
    Raises:
        ValueError: If there are no orders.
    """

    def __init__(
        self,
        num_orders: int,
        dropout: float = 0.0,
        use_ln: bool = False,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if num_orders < 1:
            raise ValueError(
                f"Layer {self.name!r}: num_orders must be at least 1. "
                f"Received: num_orders={num_orders}"
            )
        self.num_orders = num_orders
        self.dropout = dropout
        self.use_ln = use_ln
        self.l2_reg = l2_reg
        same = {"dtype": self.dtype_policy}
        if dropout:
            self.drop = make_dropout(dropout, name="dropout", **same)
        self.norms = [
            layer_norm(axis=1, name=name, **same)
            for name in ("ln_real", "ln_imaginary")
            if use_ln
        ]

    def build(self, input_shape: Sequence[Shape]) -> None:
        _, dim, num = as_shapes(input_shape)[0]
        orders = self.num_orders
        self.orders = self.add_weight(
            shape=(num, orders),
            initializer="identity" if num == orders else _near_one_hot,
            name="orders",
        )
        self.shifts = [
            self.add_weight(
                shape=(dim, orders),
                initializer=keras.initializers.RandomNormal(stddev=0.01),
                name=name,
            )
            for name in ("shift_modulus", "shift_phase")
        ]
        self.kernel = self.add_weight(
            shape=(dim * num, dim * orders),
            initializer=keras.initializers.RandomNormal(stddev=0.01),
            regularizer=keras.regularizers.L2(self.l2_reg) if self.l2_reg else None,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(dim * orders,), initializer="zeros", name="bias"
        )
        for norm in self.norms:
            norm.build((None, dim, orders))

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> list[Tensor]:
        r, p = inputs
        _, dim, num = r.shape
        # The last axis is that of the fields: each line below is a matrix product.
        log_modulus = 0.5 * ops.log(ops.square(r) + ops.square(p) + 1e-8)
        polar = [log_modulus, ops.arctan2(p, r)]
        if self.dropout:
            polar = [self.drop(part, training=training) for part in polar]
            r, p = (self.drop(part, training=training) for part in (r, p))
        exponent, phase = (
            ops.matmul(part, self.orders) + shift
            for part, shift in zip(polar, self.shifts, strict=True)
        )
        modulus = ops.exp(exponent)
        outputs = []
        for i, (part, wave) in enumerate(((r, ops.cos(phase)), (p, ops.sin(phase)))):
            dense = ops.matmul(ops.reshape(part, (-1, dim * num)), self.kernel)
            dense = ops.reshape(ops.relu(dense + self.bias), (-1, dim, self.num_orders))
            output = dense + modulus * wave
            outputs.append(self.norms[i](output) if self.use_ln else output)
        return outputs


def _near_one_hot(shape: Shape, dtype: Any = None) -> Tensor:
    """Orders that pick a field at random, as the softmax of large noise."""
    noise = keras.initializers.RandomNormal(stddev=100.0)(shape, dtype)
    return ops.softmax(noise, axis=0)


@factory("one_dim")
def eulernet(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_orders: Sequence[int] = (7, 7),
    use_ln: bool = False,
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds EulerNet: products of learned orders, as sums in the exponent.

    Parameters of a layer from m to n orders, with d the `dim`:
    `m n + 2 d n + d n (d m + 1)`; besides one modulus a field.

    Args:
        fields: All fields, of one `dim`. Raw ones go to the final logit only.
        task: The task.
        num_orders: Number of products of each layer.
        use_ln: Whether each layer normalises its output.
        dropout: Fraction dropped of what a layer reads, in [0, 1).
        l2_reg: Penalty on the kernels.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim`, or a number is less than 1.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs)
    parts = EulerFeatures(name="dnn_euler_features")(x.stack())
    for i, number in enumerate(num_orders):
        parts = EulerInteraction(
            number, dropout, use_ln, l2_reg, name=f"dnn_euler_{i}"
        )(parts)
    # Both parts have the same weights in the logit.
    flat = keras.layers.Flatten()(keras.layers.Add()(parts))
    raw = x.raw()
    if raw:
        flat = keras.layers.Concatenate()([flat, *raw])
    logit = Tower((), num_logits=task.num_classes, name="dnn_logit")(flat)
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="eulernet")
