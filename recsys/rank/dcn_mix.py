"""DCN-Mix: DCN-V2 with a mixture of low-rank experts in every cross layer.

Wang et al., WWW 2021, https://arxiv.org/abs/2008.13535 (figure 3, eq. 3-5)

    fields ─> embeddings ─> concat ──┬─> mixture of crosses ──┐
                                     └─> MLP ─────────────────┴─> logit ─> sigmoid

    stacked: concat ─> mixture of crosses ─> MLP ─> logit ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.activation import get_activation
from recsys.layers.heads import predict
from recsys.layers.interaction.cross import Cross, CrossStack, Structure, cross_and_deep
from recsys.layers.mlp import as_shapes
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "dcn_mix"]


class MixtureCross(Cross):
    r"""A cross layer whose matrix is a mixture of low-rank ones (eq. 4-5).

        x' = \sum_k G_k(x) x_0 * (g(g(x V_k) C_k) U_k + b) + x

    All experts are two matrix products: weighted by its gate before U, the sum over
    the experts is one product with the U_k on top of each other.

    Args:
        num_experts: K; one expert has no softmax gate.
        low_rank_dim: Width of the expert's space, r.
        gate: `"softmax"` or `"sigmoid"` of one linear score an expert.
        activation: g, see `get_activation`.
        l2_reg: See `Cross`.
    """

    def __init__(
        self,
        num_experts: int,
        low_rank_dim: int,
        gate: str = "softmax",
        activation: Activation | dict[str, Any] | None = "tanh",
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(l2_reg, **kwargs)
        self.num_experts = num_experts
        self.low_rank_dim = low_rank_dim
        self.gate = gate
        self.activation = activation
        self.activations = [
            get_activation(activation, name=f"activation_{i}", dtype=self.dtype_policy)
            for i in range(2)
        ]

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = as_shapes(input_shape)[-1][-1]
        experts, rank = self.num_experts, self.low_rank_dim
        self.v = self.add_kernel("v", width, experts * rank)
        self.c = self.add_weight(
            shape=(experts, rank, rank),
            # Each expert's own fans; a rank-3 kernel would count as a convolution's.
            initializer=keras.initializers.RandomUniform(
                -((3 / rank) ** 0.5), (3 / rank) ** 0.5
            ),
            regularizer=keras.regularizers.L2(self.l2_reg) if self.l2_reg else None,
            name="c",
        )
        self.u = self.add_kernel("u", experts * rank, width)
        if experts > 1 or self.gate == "sigmoid":
            self.gate_kernel = self.add_kernel("gate", width, experts)
        self.bias = self.add_bias(width)
        for layer in self.activations:
            layer.build((None, experts, rank))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x0, x = inputs
        experts, rank = self.num_experts, self.low_rank_dim
        low = ops.reshape(ops.matmul(x, self.v), (-1, experts, rank))
        low = ops.einsum("bkr,krs->bks", self.activations[0](low), self.c)
        low = self.activations[1](low)
        bias = self.bias
        if hasattr(self, "gate_kernel"):
            score = ops.matmul(x, self.gate_kernel)
            soft = self.gate == "softmax"
            gate = ops.softmax(score) if soft else ops.sigmoid(score)
            low = low * ops.expand_dims(gate, -1)
            if not soft:
                bias = ops.sum(gate, axis=-1, keepdims=True) * bias
        mixed = ops.matmul(ops.reshape(low, (-1, experts * rank)), self.u)
        return x0 * (mixed + bias) + x


class MixtureCrossNet(CrossStack):
    """A cross network of `MixtureCross` layers, each with gates of its own.

    Args:
        num_layers: Number of layers.
        num_experts, gate, activation, l2_reg: Arguments of `MixtureCross`.
        low_rank_dim: See `MixtureCross`; `None` for a quarter of the input's width.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, width)`.
    Raises:
        ValueError: If the gate is unknown, or there are no experts or no rank.
    """

    def __init__(
        self,
        num_layers: int = 2,
        num_experts: int = 4,
        low_rank_dim: int | None = None,
        gate: str = "softmax",
        activation: Activation | dict[str, Any] | None = "tanh",
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_layers, l2_reg, **kwargs)
        sizes = (num_experts, 1 if low_rank_dim is None else low_rank_dim)
        if gate not in ("softmax", "sigmoid") or min(sizes) < 1:
            raise ValueError(
                f"Layer {self.name!r}: gate must be 'softmax' or 'sigmoid', and "
                "num_experts and low_rank_dim at least 1. Received: "
                f"gate={gate!r}, num_experts={num_experts}, low_rank_dim={low_rank_dim}"
            )
        self.num_experts = num_experts
        self.low_rank_dim = low_rank_dim
        self.gate = gate
        self.activation = activation

    def build(self, input_shape: Shape) -> None:
        self._rank = self.low_rank_dim or max(1, input_shape[-1] // 4)
        super().build(input_shape)

    def new_layer(self, **kwargs: Any) -> Cross:
        return MixtureCross(
            self.num_experts,
            self._rank,
            self.gate,
            self.activation,
            self.l2_reg,
            **kwargs,
        )


@factory(may_be_zero=("num_layers",))
def dcn_mix(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_layers: int = 2,
    num_experts: int = 4,
    low_rank_dim: int | None = None,
    gate: str = "softmax",
    cross_activation: Activation | None = "tanh",
    structure: Structure = "parallel",
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds DCN-Mix: gated low-rank experts cross the features, beside an MLP.

    Parameters of a cross layer, with D the width of all embeddings side by side:
    `num_experts (2 D r + r^2 + D) + D`.

    Args:
        fields: All fields, of any widths; raw ones are crossed too.
        task: The task.
        num_layers: Number of cross layers, may be 0.
        num_experts: Experts of each.
        low_rank_dim: Their rank r; default: a quarter of D.
        gate: `"softmax"` or `"sigmoid"`.
        cross_activation: Inside the experts.
        structure: `"parallel"`, or `"stacked"`: the MLP reads the cross network.
        hidden_units: Sizes of the MLP; none leaves it out. The default is this
            library's; the paper has others.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of both parts.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If `gate` or `structure` is unknown, or a number is less than 1.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    cross = MixtureCrossNet(
        num_layers,
        num_experts,
        low_rank_dim,
        gate,
        cross_activation,
        l2_reg,
        name="dnn_cross",
    )
    logit = cross_and_deep(
        x,
        cross,
        structure,
        task.num_classes,
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="dcn_mix")
