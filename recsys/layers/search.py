"""Which few behaviours of a long history a target asks for."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.types import Shape, Tensor

NEVER = -1e30
"""Score of what must not be found."""


class TopSteps(Layer):
    """Finds the behaviours of the highest scores; of equal ones the most recent.

    No gradient flows through the choice.

    Args:
        k: How many; all of them if the history is shorter.
    Call arguments:
        scores: `(batch, length)`, above -1e30.
        valid: `(batch, length)`, bool: others are never found, whatever their score.
    Returns:
        Indices `(batch, k)`, int32, best first, and whether they were found, bool:
        there may be less than `k`.
    Raises:
        ValueError: If `k` is less than 1.
    Example:
    >>> index, found = TopSteps(2)(
    ...     np.array([[-3.0, -1.0, -1.0, 9.0]]), np.array([[True, True, True, False]])
    ... )
    >>> index.numpy(), found.numpy()
    (array([[2, 1]], dtype=int32), array([[ True,  True]]))
    """

    def __init__(self, k: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(k, Integral) or k < 1:
            raise ValueError(
                f"Layer {self.name!r}: k must be an integer of at least 1. "
                f"Received: k={k!r}"
            )
        self.k: int = k

    def call(self, scores: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        length = scores.shape[1]
        k = min(self.k, length)
        scores = ops.cast(ops.stop_gradient(scores), "float32")
        # Reversed, since among equals the first is found; a sort, since PyTorch's
        # top_k finds any.
        scores = ops.flip(ops.where(valid, scores, NEVER), axis=1)
        index = ops.cast(ops.argsort(-scores, axis=1)[:, :k], "int32")
        count = ops.sum(ops.cast(valid, "int32"), axis=1, keepdims=True)
        return length - 1 - index, ops.arange(k, dtype="int32") < count

    def compute_output_shape(
        self, scores_shape: Shape, valid_shape: Shape
    ) -> tuple[Shape, Shape]:
        shape = (scores_shape[0], min(self.k, scores_shape[1]))
        return shape, shape

    def compute_output_spec(
        self, scores: Tensor, valid: Tensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        shape, _ = self.compute_output_shape(scores.shape, valid.shape)
        return keras.KerasTensor(shape, "int32"), keras.KerasTensor(shape, "bool")


class TakeSteps(Layer):
    """Takes some behaviours of a column.

    Call arguments:
        inputs: `[column, index]`, `(batch, length, ...)` and `(batch, number)`.
    Returns:
        `(batch, number, ...)`, of the column's type.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        column, index = inputs
        for _ in column.shape[2:]:
            index = ops.expand_dims(index, -1)
        return ops.take_along_axis(column, index, axis=1)

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        column, index = inputs
        shape = (column.shape[0], index.shape[1], *column.shape[2:])
        return keras.KerasTensor(shape, column.dtype)


class SimHash(Layer):
    r"""Signs of random projections: near vectors agree in most of them.

        code(x) = sign(x R),   R ~ N(0, 1), fixed;   E[share that differs] = angle / pi

    No gradient flows through a code.

    Args:
        num_bits: Number of projections, m.
        seed: Seed of R, which is saved with the model.
    Call arguments:
        inputs: `(batch, ..., width)`.
    Returns:
        `(batch, ..., num_bits)` of 1 and -1, float32.
    Raises:
        ValueError: If there are no bits.
    Reference:
        Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002.
    """

    def __init__(self, num_bits: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if num_bits < 1:
            raise ValueError(
                f"Layer {self.name!r}: num_bits must be at least 1. "
                f"Received: num_bits={num_bits}"
            )
        self.num_bits = num_bits
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        self.directions = self.add_weight(
            shape=(input_shape[-1], self.num_bits),
            initializer=keras.initializers.RandomNormal(0.0, 1.0, self.seed),
            trainable=False,
            name="directions",
        )

    def call(self, inputs: Tensor) -> Tensor:
        sides = ops.matmul(ops.stop_gradient(inputs), self.directions)
        return ops.where(sides > 0, 1.0, -1.0)
