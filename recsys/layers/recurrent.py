"""Recurrent layers whose steps a target's attention controls."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.types import Shape, Tensor

CELLS = ("augru", "agru", "aigru")


class AttentionGRUCell(Layer):
    r"""One step of a GRU whose update an attention a controls (DIEN, section 4.3.3).

        r = \sigma(x_r + U_r h),  \tilde h = tanh(x_h + r * U_h h)
        h' = (1 - u) * h + u * \tilde h
        u = a \sigma(x_u + U_u h) (AUGRU),  a (AGRU),  \sigma(x_u + U_u h) (AIGRU)

    So a = 0 leaves the state as it is, but in AIGRU, where a weighs the input x
    (`AttentionGRU`).

    Args:
        units: Width of the state, n.
        kind: `"augru"`, `"agru"` or `"aigru"`.
    Call arguments:
        inputs: x_r, x_h, x_u (not in AGRU) and a side by side, `(batch, 3 n + 1)`.
        states: One state, `(batch, n)`.
    Returns:
        The new state, twice, as `keras.layers.RNN` wants it.
    """

    def __init__(self, units: int, kind: str = "augru", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.kind = kind
        self.state_size = self.output_size = units

    def build(self, input_shape: Shape) -> None:
        gates = 2 if self.kind == "agru" else 3
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, gates * self.units),
            initializer="orthogonal",
            name="recurrent_kernel",
        )

    def call(
        self, inputs: Tensor, states: Sequence[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        (h,), n = states, self.units
        x, a = inputs[:, :-1], inputs[:, -1:]
        u = ops.matmul(h, self.recurrent_kernel)
        reset = ops.sigmoid(x[:, :n] + u[:, :n])
        candidate = ops.tanh(x[:, n : 2 * n] + reset * u[:, n : 2 * n])
        update = a
        if self.kind != "agru":
            update = ops.sigmoid(x[:, 2 * n :] + u[:, 2 * n :])
        if self.kind == "augru":
            update = a * update
        h = h + update * (candidate - h)
        return h, [h]


class AttentionGRU(Layer):
    """The state of a GRU behind a sequence, each step weighed by an attention.

    Parameters, from width d to n: `3 (n d + n^2 + n)`; of AGRU two thirds of it.

    Masking: steps that are not `valid` leave the state as it is.

    Args:
        units: Width of the state.
        kind: `"augru"`, `"agru"` or `"aigru"`, see `AttentionGRUCell`.
    Call arguments:
        inputs: `(batch, length, d)`.
        attention: `(batch, length)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, units)`; of an empty sequence zero.
    Raises:
        ValueError: If the kind is unknown.
    Reference:
        Deep Interest Evolution Network, AAAI 2019, eq. 8-15.
    """

    def __init__(self, units: int, kind: str = "augru", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in CELLS:
            raise ValueError(
                f"Layer {self.name!r}: kind must be one of {CELLS}. "
                f"Received: kind={kind!r}"
            )
        self.units = units
        self.kind = kind
        same = {"dtype": self.dtype_policy}
        gates = 2 if kind == "agru" else 3
        self.input_gates = keras.layers.Dense(gates * units, name="input", **same)
        self.rnn = keras.layers.RNN(
            AttentionGRUCell(units, kind, name="cell", **same), name="rnn", **same
        )

    def build(self, inputs_shape: Shape, *_: Any) -> None:
        self.input_gates.build(inputs_shape)
        width = self.input_gates.units + 1
        self.rnn.build((*inputs_shape[:2], width))

    def call(self, inputs: Tensor, attention: Tensor, valid: Tensor) -> Tensor:
        attention = ops.expand_dims(ops.cast(attention, inputs.dtype), -1)
        if self.kind == "aigru":
            inputs = attention * inputs
        # One product for all steps; what the state multiplies is left to the cell.
        steps = ops.concatenate([self.input_gates(inputs), attention], axis=-1)
        return self.rnn(steps, mask=valid)

    def compute_output_shape(self, inputs_shape: Shape, *_: Any) -> Shape:
        return (inputs_shape[0], self.units)


class GRUStates(Layer):
    """All states of a GRU, of the width of its input (`keras.layers.GRU`).

    Masking: steps that are not `valid` leave the state as it is, and are zero in the
    output.

    Call arguments:
        inputs: `(batch, length, d)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length, d)`.
    """

    def build(self, inputs_shape: Shape, *_: Any) -> None:
        self.gru = keras.layers.GRU(
            inputs_shape[-1],
            return_sequences=True,
            name="gru",
            dtype=self.dtype_policy,
        )
        self.gru.build(inputs_shape)

    def call(self, inputs: Tensor, valid: Tensor) -> Tensor:
        states = self.gru(inputs, mask=valid)
        return ops.where(ops.expand_dims(valid, -1), states, 0)

    def compute_output_shape(self, inputs_shape: Shape, *_: Any) -> Shape:
        return inputs_shape
