"""Layers that adapt a network to a domain and a person."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.normalization import make_dropout
from recsys.types import Activation, Shape, Tensor


class GateNU(Layer):
    """Gate neural unit of PEPNet (Chang et al. 2023, eq. 1-2).

        gate(x) = gamma * sigmoid(relu(x W + b) W' + b'), in (0, gamma)

    Args:
        hidden_units: Sizes of the two layers; the second is the gate's width.
        gamma: Scale; with 2 the gate is about 1 at the start.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, hidden_units[-1])`.
    Raises:
        ValueError: If there are not two sizes.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        gamma: float = 2.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(hidden_units) != 2:
            raise ValueError(
                f"GateNU {self.name!r}: hidden_units must be two sizes. "
                f"Received: hidden_units={tuple(hidden_units)}"
            )
        self.hidden_units = tuple(hidden_units)
        self.gamma = gamma
        self.l2_reg = l2_reg
        regularizer = keras.regularizers.L2(l2_reg) if l2_reg else None
        self.dense = [
            keras.layers.Dense(
                units,
                activation,
                kernel_regularizer=regularizer,
                name=f"dense_{i}",
                dtype=self.dtype_policy,
            )
            for i, (units, activation) in enumerate(
                zip(self.hidden_units, ("relu", "sigmoid"), strict=True)
            )
        ]

    def build(self, input_shape: Shape) -> None:
        self.dense[0].build(input_shape)
        self.dense[1].build((*input_shape[:-1], self.hidden_units[0]))

    def call(self, inputs: Tensor) -> Tensor:
        return self.gamma * self.dense[1](self.dense[0](inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.hidden_units[1])


class EPNet(Layer):
    """Embedding personalized network of PEPNet (Chang et al. 2023, eq. 3-4).

        O = gate([domain, stop_gradient(E)]) * E

    The embeddings are trained through the product alone, never through the gate.

    Args:
        l2_reg: L2 penalty on the gate's kernels.
    Call arguments:
        inputs: `[domain (batch, d), embeddings (batch, width)]`.
    Returns:
        `(batch, width)`.
    """

    def __init__(self, l2_reg: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l2_reg = l2_reg

    def build(self, input_shape: Sequence[Shape]) -> None:
        (batch, d), (_, width) = input_shape
        self.gate = GateNU(
            (width, width), l2_reg=self.l2_reg, name="gate", dtype=self.dtype_policy
        )
        self.gate.build((batch, d + width))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        domain, embeddings = inputs
        prior = ops.concatenate([domain, ops.stop_gradient(embeddings)], axis=-1)
        return self.gate(prior) * embeddings

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return input_shape[1]


class PPNet(Layer):
    r"""Parameter personalized network of PEPNet (Chang et al. 2023, eq. 5-7).

        gate^l = GateNU^l([prior, stop_gradient(O)]), cut into one part for each tower
        H_t^l = gate_t^l * f(H_t^{l-1} W_t^l + b_t^l),    H_t^0 = O

    One gate unit for each layer serves all towers, or each tower has its own.

    Args:
        multiples: Number of towers, one for each task.
        hidden_units: Sizes of the layers of a tower.
        activation: f.
        dropout: Fraction dropped behind each gated layer, in [0, 1).
        l2_reg: L2 penalty on all kernels.
        gate_per_task: Whether each tower has gate units of its own.
    Call arguments:
        inputs: `[O (batch, width), prior (batch, p)]`.
    Returns:
        List of `multiples` tensors `(batch, hidden_units[-1])`.
    """

    def __init__(
        self,
        multiples: int,
        hidden_units: Sequence[int],
        activation: Activation | dict[str, Any] | None,
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        gate_per_task: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.multiples = multiples
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.dropout = dropout
        self.l2_reg = l2_reg
        self.gate_per_task = gate_per_task

    def build(self, input_shape: Sequence[Shape]) -> None:
        (batch, width), (_, prior) = input_shape
        same = {"dtype": self.dtype_policy}
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        self.gates, self.dense, self.activations, self.dropouts = [], [], [], []
        for i, units in enumerate(self.hidden_units):
            gated = units if self.gate_per_task else units * self.multiples
            names = [f"gate_{i}"]
            if self.gate_per_task:
                names = [f"gate_{t}_{i}" for t in range(self.multiples)]
            for name in names:
                gate = GateNU((gated, gated), l2_reg=self.l2_reg, name=name, **same)
                gate.build((batch, prior + width))
                self.gates.append(gate)
        for t in range(self.multiples):
            below = width
            for i, units in enumerate(self.hidden_units):
                dense = keras.layers.Dense(
                    units, kernel_regularizer=regularizer, name=f"dense_{t}_{i}", **same
                )
                activation = get_activation(
                    self.activation, name=f"activation_{t}_{i}", **same
                )
                dense.build((batch, below))
                activation.build((batch, units))
                self.dense.append(dense)
                self.activations.append(activation)
                if self.dropout:
                    self.dropouts.append(
                        make_dropout(self.dropout, name=f"dropout_{t}_{i}", **same)
                    )
                below = units

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> list[Tensor]:
        embeddings, prior = inputs
        prior = ops.concatenate([prior, ops.stop_gradient(embeddings)], axis=-1)
        gates = [gate(prior) for gate in self.gates]
        if not self.gate_per_task:
            cut = [ops.split(gate, self.multiples, axis=-1) for gate in gates]
            gates = [part for parts in cut for part in parts]
        depth = len(self.hidden_units)
        outputs = []
        for t in range(self.multiples):
            h = embeddings
            for i in range(depth):
                at = t * depth + i
                h = gates[i * self.multiples + t] * self.activations[at](
                    self.dense[at](h)
                )
                if self.dropout:
                    h = self.dropouts[at](h, training=training)
            outputs.append(h)
        return outputs

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> list[Shape]:
        (batch, width), _ = input_shape
        last = self.hidden_units[-1] if self.hidden_units else width
        return [(batch, last)] * self.multiples
