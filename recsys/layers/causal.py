"""Sequences of items whose every step is followed by an item.

The newest behaviour comes first, padding last: place i is i behaviours before the last
one, whatever the length of the history and the side of its padding.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers import normalization
from recsys.layers.base import Layer
from recsys.types import Shape, Tensor


class Following(Layer):
    """The item that follows each behaviour: the one before it in the list.

    Call arguments:
        inputs: `[target, ids]`, `(batch,)` and `(batch, length)`, newest first.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length)`, int32; 0 behind padding.
    Example:
    >>> ids = np.array([[3, 2, 0]])
    >>> Following()([np.array([4]), ids], valid=ids > 0).numpy()
    array([[4, 3, 0]], dtype=int32)
    """

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        target, ids = inputs
        before = ops.concatenate([ops.expand_dims(target, 1), ids[:, :-1]], axis=1)
        return ops.where(valid, ops.cast(before, "int32"), 0)

    def compute_output_spec(
        self, inputs: Sequence[Tensor], valid: Tensor
    ) -> keras.KerasTensor:
        return keras.KerasTensor(valid.shape, "int32")


class Newest(Layer):
    """The first state of a sequence, zero if it is not valid.

    Call arguments:
        inputs: `(batch, length, dim)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, dim)`.
    """

    def call(self, inputs: Tensor, valid: Tensor) -> Tensor:
        return ops.where(valid[:, :1], inputs[:, 0], 0)

    def compute_output_shape(self, input_shape: Shape, *_: Any) -> Shape:
        return (input_shape[0], input_shape[2])


class Positioned(Layer):
    r"""Behaviours and their places: `drop(\sqrt{d} e_t + p_t)`, zeros for padding.

    Args:
        dropout: Fraction dropped in training.
        scaled: Whether e is multiplied by the root of its width.
    Call arguments:
        x: `(batch, length, d)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length, d)`.
    """

    def __init__(self, dropout: float = 0.0, scaled: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.scaled = scaled
        self.drop = normalization.make_dropout(
            dropout, name="dropout", dtype=self.dtype_policy
        )

    def build(self, x_shape: Shape, *_: Any) -> None:
        self.positions = self.add_weight(
            shape=tuple(x_shape[1:]), initializer="uniform", name="positions"
        )

    def call(self, x: Tensor, valid: Tensor, training: bool = False) -> Tensor:
        scale = x.shape[-1] ** 0.5 if self.scaled else 1.0
        x = self.drop(scale * x + self.positions, training=training)
        return ops.where(ops.expand_dims(valid, -1), x, 0)

    def compute_output_shape(self, x_shape: Shape, *_: Any) -> Shape:
        return x_shape


class LastNorm(Layer):
    """Layer normalisation of what is valid; zeros for padding."""

    def build(self, x_shape: Shape, *_: Any) -> None:
        self.norm = normalization.layer_norm(name="norm", dtype=self.dtype_policy)
        self.norm.build(x_shape)

    def call(self, x: Tensor, valid: Tensor) -> Tensor:
        return ops.where(ops.expand_dims(valid, -1), self.norm(x), 0)

    def compute_output_shape(self, x_shape: Shape, *_: Any) -> Shape:
        return x_shape


def older(length: int, valid: Tensor) -> Tensor:
    """Returns who sees whom: each behaviour itself and older ones that are valid.

    Args:
        length: Number of behaviours, newest first.
        valid: `(batch, length)`, bool.

    Returns:
        `(batch, length, length)`, bool.
    """
    order = np.arange(length)
    causal = ops.convert_to_tensor(order >= order[:, None])
    return ops.expand_dims(valid, 1) & causal
