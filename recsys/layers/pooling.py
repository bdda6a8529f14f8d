"""Poolings of a sequence that ask nothing of it."""

from collections.abc import Sequence

from keras import ops

from recsys.layers.base import Layer
from recsys.layers.masking import masked_sum
from recsys.layers.mlp import as_shapes
from recsys.types import Shape, Tensor, Tensors


def history_of(inputs: Tensors) -> Tensor:
    return inputs[-1] if isinstance(inputs, (list, tuple)) else inputs


class _Pooling(Layer):
    """A pooling that ignores the query and keeps the width."""

    def compute_output_shape(self, input_shape: Shape | Sequence[Shape]) -> Shape:
        *batch, _, width = as_shapes(input_shape)[-1]
        return (*batch, width)


class SumPoolingLayer(_Pooling):
    """The sum of the behaviours.

    Call arguments:
        inputs: The history, or `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
        weights: `(batch, length)`, factor of each behaviour.
    Returns:
        `(batch, width)`.
    """

    def call(
        self,
        inputs: Tensors,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        history = history_of(inputs)
        if weights is not None:
            history = history * ops.expand_dims(ops.cast(weights, history.dtype), -1)
        return masked_sum(history, valid)


class MeanPoolingLayer(_Pooling):
    """The mean of the behaviours; of none, zero.

    Call arguments:
        inputs: The history, or `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
        weights: `(batch, length)`, at least 0: a weighted mean.
    Returns:
        `(batch, width)`.
    Example:
    >>> history = np.array([[[1.0], [3.0], [9.0]]])
    >>> MeanPoolingLayer()(history, valid=np.array([[True, True, False]])).numpy()
    array([[2.]], dtype=float32)
    """

    def call(
        self,
        inputs: Tensors,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        history = history_of(inputs)
        if weights is None:
            weights = ops.ones(ops.shape(history)[:-1])
        weights = ops.expand_dims(ops.cast(weights, history.dtype), -1)
        total = masked_sum(weights, valid)
        return masked_sum(history * weights, valid) / ops.where(total > 0, total, 1)


class MaxPoolingLayer(_Pooling):
    """The largest value of each unit over the behaviours; of none, zero.

    Call arguments:
        inputs: The history, or `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
    Returns:
        `(batch, width)`.
    """

    def call(self, inputs: Tensors, valid: Tensor | None = None) -> Tensor:
        history = history_of(inputs)
        if valid is None:
            return ops.max(history, axis=-2)
        valid = ops.expand_dims(valid, -1)
        largest = ops.max(ops.where(valid, history, -1e30), axis=-2)
        return ops.where(ops.any(valid, axis=-2), largest, 0)
