"""Experts, the gates that mix them, and how several tasks share both.

A group of experts is one layer with weights `(num_experts, in, out)`: each of its
layers is one product for all, and nothing of size `(batch, in, out)` is made.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature._names import layer_name
from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.gates import GatingNetwork
from recsys.layers.normalization import batch_norm, make_dropout
from recsys.types import Activation, Shape, Tensor


class Experts(Layer):
    r"""Several MLPs of one shape side by side, each with weights of its own.

        f_k(x) = MLP_k(x),   each layer activation(x_k W_k + b_k)

    Weights of all experts are drawn apart, with the limits that one Dense layer of
    that size would have (Glorot, uniform); two experts never start equal.

    Args:
        num_experts: Number of experts.
        hidden_units: Sizes of the layers of each expert, one number for one layer.
        activation: See `get_activation`; parameters of it are per expert and unit.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
        dropout: Fraction of units dropped in training, in [0, 1).
        use_bn: Whether to normalise before the activation, per expert and unit.
    Call arguments:
        inputs: `(batch, d)` for all experts, or one for each,
            `(batch, num_experts, d)`.
    Returns:
        `(batch, num_experts, hidden_units[-1])`.
    Raises:
        ValueError: If there are no experts or no layers, or not one input for each
            expert.
    """

    def __init__(
        self,
        num_experts: int,
        hidden_units: int | Sequence[int],
        activation: Activation | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(hidden_units, int):
            hidden_units = (hidden_units,)
        if num_experts < 1 or not hidden_units or min(hidden_units) < 1:
            raise ValueError(
                f"Layer {self.name!r}: needs at least one expert, with hidden_units of "
                f"at least 1. Received: num_experts={num_experts}, "
                f"hidden_units={tuple(hidden_units)}"
            )
        self.num_experts = num_experts
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        same = {"dtype": self.dtype_policy}
        layers = range(len(self.hidden_units))
        self.norms = [batch_norm(name=f"bn_{i}", **same) for i in layers if use_bn]
        self.activations = [
            get_activation(activation, name=f"activation_{i}", **same) for i in layers
        ]
        self.dropouts = [
            make_dropout(dropout, name=f"dropout_{i}", **same)
            for i in layers
            if dropout
        ]

    def build(self, input_shape: Shape) -> None:
        n, width = self.num_experts, input_shape[-1]
        if len(input_shape) == 3 and input_shape[1] != n:
            raise ValueError(
                f"Layer {self.name!r}: must have one input, or one for each of its "
                f"{n} experts. Received: shape {tuple(input_shape)}"
            )
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        self.kernels, self.biases = [], []
        for i, units in enumerate(self.hidden_units):
            limit = math.sqrt(6 / (width + units))
            kernel = self.add_weight(
                shape=(n, width, units),
                initializer=keras.initializers.RandomUniform(-limit, limit),
                regularizer=regularizer,
                name=f"kernel_{i}",
            )
            bias = self.add_weight(
                shape=(n, 1, units), initializer="zeros", name=f"bias_{i}"
            )
            self.kernels.append(kernel)
            self.biases.append(bias)
            for layer in (*self.norms[i : i + 1], self.activations[i]):
                layer.build((input_shape[0], n * units))
            width = units

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        # Experts first: each layer is one batched product without a transpose.
        x = ops.expand_dims(inputs, 0)
        if len(inputs.shape) == 3:
            x = ops.transpose(inputs, (1, 0, 2))
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            x = ops.matmul(x, kernel) + bias
            if self.use_bn:
                x = self._by_unit(self.norms[i], x, training=training)
            if isinstance(self.activations[i], keras.layers.Activation):
                x = self.activations[i](x)
            else:  # it has parameters, or statistics, of each unit
                x = self._by_unit(self.activations[i], x)
            if self.dropout:
                x = self.dropouts[i](x, training=training)
        return ops.transpose(x, (1, 0, 2))

    def _by_unit(self, layer: keras.layers.Layer, x: Tensor, **kwargs: Any) -> Tensor:
        """Applies a layer to the units of all experts as to those of one."""
        units = x.shape[-1]
        flat = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, self.num_experts * units))
        rows = ops.reshape(layer(flat, **kwargs), (-1, self.num_experts, units))
        return ops.transpose(rows, (1, 0, 2))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_experts, self.hidden_units[-1])


def extract(
    streams: Mapping[str, Tensor],
    shared: Tensor,
    num_experts: int,
    num_shared_experts: int,
    expert: Mapping[str, Any],
    gate: Mapping[str, Any],
    last: bool,
    name: str,
) -> tuple[dict[str, Tensor], Any]:
    """One level of CGC / PLE: experts, and for each stream a mixture of them.

        s'_t = softmax(s_t W_t) [own experts(s_t), shared experts(s_0)]
        s'_0 = softmax(s_0 W_0) [own experts of every t, shared experts(s_0)]

    Args:
        streams: s_t by name, `(batch, d)`.
        shared: s_0, `(batch, d)`.
        num_experts: Experts of each stream's own, may be 0.
        num_shared_experts: Experts of the shared stream, may be 0.
        expert: Arguments of `Experts` but the number of them.
        gate: Arguments of `GatingNetwork` but the number of experts.
        last: Whether no level follows, which would read the shared stream.
        name: Start of the names of all layers.

    Returns:
        The streams, and the shared one if a level follows that has shared experts.

    Raises:
        ValueError: If there are no experts at all.
    """
    if (
        num_experts < 0
        or num_shared_experts < 0
        or not num_experts + num_shared_experts
    ):
        raise ValueError(
            f"{name}: needs experts of each task, shared ones, or both. Received: "
            f"num_experts={num_experts}, num_shared_experts={num_shared_experts}"
        )

    def mixture(stream: Tensor, key: str, groups: Sequence[Tensor]) -> Tensor:
        n = sum(group.shape[1] for group in groups)
        return GatingNetwork(n, name=layer_name(f"{name}_gate_{key}"), **gate)(
            [stream, *groups]
        )

    def experts(stream: Tensor, key: str, number: int) -> list[Tensor]:
        layer = Experts(number, **expert, name=layer_name(f"{name}_experts_{key}"))
        return [layer(stream)]

    own = {
        key: experts(stream, key, num_experts) if num_experts else []
        for key, stream in streams.items()
    }
    common = experts(shared, "shared", num_shared_experts) if num_shared_experts else []
    mixed = {
        key: mixture(stream, key, [*own[key], *common])
        for key, stream in streams.items()
    }
    if last or not common:
        return mixed, None
    everyone = [group for groups in own.values() for group in groups]
    return mixed, mixture(shared, "shared", [*everyone, *common])
