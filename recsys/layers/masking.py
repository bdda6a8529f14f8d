"""Padding: which positions of a sequence hold a value, and sums that skip the rest.

Masks are tensors like any other and are passed as `valid`, `(batch, length)`, true
where a position holds a value. Keras' own mask argument is not used: it travels
unseen and removes rows from the loss.
"""

from keras import ops

from recsys.layers.base import Layer
from recsys.types import Tensor


class ValidPositions(Layer):
    """Tells values from padding: id 0 of a history or multi-value column.

    Call arguments:
        ids: `(batch, length)`, 0 is padding.
    Returns:
        `(batch, length)`, bool.
    Example:
    >>> ValidPositions()(np.array([[3, 1, 0]])).numpy()
    array([[ True,  True, False]])
    """

    def call(self, ids: Tensor) -> Tensor:
        return ops.not_equal(ids, 0)


def masked_softmax(scores: Tensor, valid: Tensor | None) -> Tensor:
    """Softmax over the last axis among valid positions, in float32.

    Padding gets weight 0, and so does every position of a row without values:
    its pooled vector is zero, not the mean of its padding.

    Args:
        scores: `(..., length)`.
        valid: Bool, broadcastable to `scores`; `None` means all.

    Example:
    >>> masked_softmax(np.zeros((2, 2), "float32"), np.eye(2) > 0).numpy()
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    weights = ops.cast(scores, "float32")
    if valid is not None:
        # `where`, not addition: -1e9 + s forgets s in float32.
        weights = ops.where(valid, weights, -1e30)
    # Keras warns of a softmax of one number.
    one = scores.shape[-1] == 1
    weights = ops.ones_like(weights) if one else ops.softmax(weights, axis=-1)
    if valid is None:
        return ops.cast(weights, scores.dtype)
    return ops.cast(ops.where(valid, weights, 0.0), scores.dtype)


def masked_sum(values: Tensor, valid: Tensor | None) -> Tensor:
    """Sums `(..., length, dim)` over the valid positions, `(..., dim)`."""
    if valid is not None:
        values = ops.where(ops.expand_dims(valid, -1), values, 0)
    return ops.sum(values, axis=-2)


def zero_if_empty(pooled: Tensor, valid: Tensor | None) -> Tensor:
    """Returns `pooled`, `(batch, dim)`, and zeros for rows without valid positions."""
    if valid is None:
        return pooled
    return ops.where(ops.any(valid, axis=1, keepdims=True), pooled, 0)
