"""From the losses of rows to that of a batch."""

from keras import ops

from recsys.types import Operand, Tensor, TensorLike


def mean_of_rows(losses: Operand, weights: Operand | None) -> Tensor:
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


def weights_of_rows(weights: TensorLike, rows: int, dtype: str) -> Tensor:
    """Returns one weight for each row, `(rows,)`.

    Args:
        weights: `(rows,)`, `(rows, 1)`, or one number for all rows.
        rows: How many.
        dtype: What to return.

    Example:
    >>> weights_of_rows(2, 3, "float32").numpy()
    array([2., 2., 2.], dtype=float32)
    """
    weights = ops.reshape(ops.cast(weights, dtype), (-1,))
    return ops.broadcast_to(weights, (rows,))
