"""Softmax over the rows of a list."""

from typing import Any

from keras import ops

from recsys.saving import saved
from recsys.train.losses.joint import JointLoss, Terms, log_sum_exp
from recsys.types import Tensor


@saved
class ListwiseSoftmax(JointLoss):
    r"""Cross-entropy of the labels of a list and the softmax of its logits (ListNet).

        mean over lists of -\sum_j w_j y_j / (\sum y) \log softmax(z)_j

    Lists without a positive label do not count.

    Args:
        group: Column of `x` that tells which list a row is in. Default: the batch is
            one list.
        reduction, name, **kwargs: Arguments of `JointLoss`.
    Call arguments:
        y_true: Labels or grades of at least 0, `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Example:
    >>> loss = ListwiseSoftmax()
    >>> lists = np.array([7, 7, 8, 8])
    >>> round(float(loss([1, 0, 0, 0], [0.0, 0.0, 3.0, 1.0], groups=lists)), 4)
    0.6931

    Reference:
        Cao et al., ICML 2007, https://doi.org/10.1145/1273496.1273513 (top one)
    """

    def __init__(
        self,
        group: str | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "listwise_softmax",
        **kwargs: Any,
    ) -> None:
        super().__init__(group, reduction, name=name, **kwargs)

    def terms(self, y: Tensor, z: Tensor, weight: Tensor, segment: Tensor) -> Terms:
        valid = weight > 0
        y = ops.where(valid, y, 0.0)
        total = ops.take(ops.segment_sum(y, segment, ops.shape(y)[0]), segment)
        share = y / ops.where(total > 0, total, 1.0)  # sums to 1 in each list
        losses = weight * share * (log_sum_exp(z, valid, segment) - z)
        return Terms(losses, weight * share, share)
