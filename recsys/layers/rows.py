"""From the losses of rows to that of a batch."""

from typing import Any

from keras import ops


def mean_of_rows(losses: Any, weights: Any | None) -> Any:
    """Returns the mean of `w l`, a scalar.

    Args:
        losses: `(batch,)` or `(batch, 1)`.
        weights: `(batch,)`, as `LossLayer.loss` is given them; `None` means ones.

    Example:
    >>> float(mean_of_rows(np.array([1.0, 2.0, 3.0]), np.array([1.5, 1.5, 0.0])))
    1.5
    """
    losses = ops.reshape(losses, (-1,))
    return ops.mean(losses if weights is None else weights * losses)
