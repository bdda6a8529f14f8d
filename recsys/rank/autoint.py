"""AutoInt, AutoInt+: Automatic Feature Interaction Learning via Self-Attentive Neural
Networks.

Song et al., CIKM 2019, https://arxiv.org/abs/1810.11921 (figure 1, eq. 5-10)

    fields ─> embeddings ──┬─> attention over fields, N times ─> logit ──┐
                           └─> concat ─> MLP (AutoInt+) ────────────────(+)──> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "autoint"]


class FieldAttention(Layer):
    r"""The interacting layer of AutoInt: every field attends to all (eq. 5-8).

        a^h_{mk} = softmax_k <W^h_Q e_m, W^h_K e_k>
        \tilde e^h_m = \sum_k a^h_{mk} W^h_V e_k
        e'_m = relu([\tilde e^1_m, ..., \tilde e^H_m] + W_Res e_m)

    No projection has a bias, and the scores are not divided by the root of their
    width.

    Args:
        num_heads: H, at least 1.
        head_dim: Width of a head.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
    Call arguments:
        inputs: `(batch, num_fields, dim)`.
    Returns:
        `(batch, num_fields, num_heads * head_dim)`.
    Raises:
        ValueError: If a size is less than 1.
    """

    def __init__(
        self, num_heads: int, head_dim: int, l2_reg: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if min(num_heads, head_dim) < 1:
            raise ValueError(
                f"Layer {self.name!r}: num_heads and head_dim must be at least 1. "
                f"Received: num_heads={num_heads}, head_dim={head_dim}"
            )
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.l2_reg = l2_reg

    def build(self, input_shape: Shape) -> None:
        self.query, self.key, self.value, self.residual = (
            self.add_weight(
                shape=(input_shape[-1], self.num_heads * self.head_dim),
                initializer="glorot_uniform",
                regularizer=keras.regularizers.L2(self.l2_reg) if self.l2_reg else None,
                name=name,
            )
            for name in ("query", "key", "value", "residual")
        )

    def call(self, inputs: Tensor) -> Tensor:
        # Head by head: a third faster than one product with an axis for the heads,
        # which would be transposed to and fro.
        query, key, value = (
            ops.split(ops.matmul(inputs, kernel), self.num_heads, axis=-1)
            for kernel in (self.query, self.key, self.value)
        )
        mixed = [
            ops.matmul(ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1)))), v)
            for q, k, v in zip(query, key, value, strict=True)
        ]
        residual = ops.matmul(inputs, self.residual)
        return ops.relu(ops.concatenate(mixed, axis=-1) + residual)


@factory("one_dim", may_be_zero=("num_layers",))
def autoint(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_layers: int = 3,
    num_heads: int = 2,
    head_dim: int = 32,
    hidden_units: Sequence[int] = (),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds AutoInt, or with hidden units AutoInt+: self-attention over fields.

    Parameters of a layer: `4 d H d'`, d being the width of its input, H `num_heads`
    and d' `head_dim`.

    Args:
        fields: All fields, of one `dim`. Raw ones skip the attention: they go to the
            MLP, or without one to the final logit.
        task: The task.
        num_layers: Number of attention layers, may be 0.
        num_heads: Heads of each.
        head_dim: Width of a head.
        hidden_units: Sizes of AutoInt+'s MLP, whose logit is added.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of both parts.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim`, or a size is less than 1.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs)
    attended = x.stack()
    for i in range(num_layers):
        attended = FieldAttention(
            num_heads, head_dim, l2_reg, name=f"dnn_attention_{i}"
        )(attended)
    explicit = keras.layers.Flatten()(attended)
    raw = x.raw()
    if raw and not hidden_units:
        explicit = keras.layers.Concatenate()([explicit, *raw])
    classes = task.num_classes
    logits = [Tower((), num_logits=classes, name="dnn_attention_logit")(explicit)]
    if hidden_units:
        tower = Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits=classes,
            use_bias=False,
            name="dnn_mlp",
        )
        logits.append(tower(x.concat()))
    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="autoint")
