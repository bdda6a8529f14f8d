"""Layers of one operation: sums, splits, constants."""

import itertools
from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.layers.base import Layer
from recsys.layers.mlp import as_shapes
from recsys.types import Shape, Tensor


class Bias(Layer):
    """The sum of its inputs and one trainable number: a model's global bias.

    Of several logits each has a number of its own.

    Call arguments:
        inputs: List of `(batch, num_logits)`.
    Returns:
        `(batch, num_logits)`, float32.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape: Sequence[Shape]) -> None:
        num_logits = as_shapes(input_shape)[0][-1]
        self.bias = self.add_weight((num_logits,), initializer="zeros", name="bias")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return sum(inputs, start=self.bias)


def split(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """Cuts the last axis into parts of the given widths, one or more.

    A single one is the whole: TensorFlow takes no empty list of cuts.
    """
    cuts = list(itertools.accumulate(widths))[:-1]
    return list(ops.split(x, cuts, axis=-1)) if cuts else [x]


class Split(Layer):
    """Cuts the last axis into parts of the given widths.

    Call arguments:
        inputs: `(batch, ..., sum of widths)`.
    Returns:
        List of `(batch, ..., width)`.
    """

    def __init__(self, widths: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widths = tuple(widths)

    def call(self, inputs: Tensor) -> list[Tensor]:
        return split(inputs, self.widths)


class Stack(Layer):
    """From a list of `(batch, dim)` to `(batch, len(list), dim)`."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return ops.stack(inputs, axis=1)


class Unstack(Layer):
    """From `(batch, n, dim)` to a list of n `(batch, dim)`."""

    def call(self, inputs: Tensor) -> list[Tensor]:
        return list(ops.unstack(inputs, inputs.shape[1], axis=1))


class Zeros(Layer):
    """Zeros for each row: `(batch, dim)`.

    Args:
        dim: How many.
    Call arguments:
        inputs: Any tensor, `(batch, ...)`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim

    def call(self, inputs: Tensor) -> Tensor:
        return ops.zeros((ops.shape(inputs)[0], self.dim), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.dim)


class SumUnits(Layer):
    """From `(batch, width)` to the sum of each row, `(batch, 1)`, float32."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sum(ops.cast(inputs, "float32"), axis=-1, keepdims=True)


class WeightedSum(Layer):
    """Sum of its inputs, each times a trainable number that starts at 1.

    Call arguments:
        inputs: List of `(batch, width)`.
    Returns:
        `(batch, width)`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        self.scale = self.add_weight(
            shape=(len(input_shape),), initializer="ones", name="scale"
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        terms = [x * self.scale[i] for i, x in enumerate(inputs)]
        return sum(terms[1:], start=terms[0])


class AppendOne(Layer):
    """Appends 1 to a vector: the factor of a bias in a dot product.

    Call arguments:
        inputs: `(batch, ..., dim)`.
    Returns:
        `(batch, ..., dim + 1)`.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.concatenate([inputs, ops.ones_like(inputs[..., :1])], axis=-1)


class UnitLength(Layer):
    """Divides a vector by its length, float32; zeros stay zero, in every export.

    Call arguments:
        inputs: `(batch, ..., dim)`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Tensor) -> Tensor:
        squares = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(squares, 1e-24))


class Identity(Layer):
    """Returns its input; it gives an output its name."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs


class StopGradient(Layer):
    """Returns its input; no gradient passes."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.stop_gradient(inputs)
