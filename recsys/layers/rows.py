"""From the losses of rows to that of a batch."""

from typing import Any

from keras import ops


def mean_of_rows(losses: Any, weights: Any | None) -> Any:
    """Returns `sum of w l / number of rows that count`, a scalar.

    Args:
        losses: `(batch,)` or `(batch, 1)`.
        weights: `(batch,)`, as `LossLayer.loss` is given them: 0 where the label is
            missing. `None` means ones.

    Example:
    >>> float(mean_of_rows(np.array([1.0, 2.0, 4.0]), np.array([2.0, 1.0, 0.0])))
    2.0
    """
    losses = ops.reshape(losses, (-1,))
    if weights is None:
        return ops.mean(losses)
    count = ops.sum(ops.cast(ops.not_equal(weights, 0), losses.dtype))
    return ops.sum(weights * losses) / ops.maximum(count, 1)
