"""Softmax losses over items: all of them, those of the batch, or a sample.

Match models draw their negatives in loss layers (`recsys.layers.matching`); these are
for scores that are there already.
"""

from typing import Any

from keras import ops

from recsys.feature._constraints import Integer, Number, check
from recsys.layers.matching.match_loss import softmax_loss
from recsys.layers.row_means import mean_of_rows
from recsys.saving import saved
from recsys.train.losses.pointwise import RowLoss
from recsys.types import Tensor


def in_batch_softmax(
    scores: Tensor,
    ids: Tensor,
    *,
    log_q: Tensor | None = None,
    known: Tensor | None = None,
    temperature: float = 1.0,
    symmetric: bool = False,
    hard_negatives: int | None = None,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Softmax in which the items of the other rows are the negatives of a row.

        l_ij = scores_ij / temperature - log Q_j
        L = \sum_i w_i (-l_ii + log \sum_{j not masked} exp l_ij) / B

    Column j of row i is masked where its id is the row's own, or known to be positive;
    the diagonal never is. Without `log_q` it is InfoNCE.

    Args:
        scores: `(batch, batch)`, of each row's user with each row's item.
        ids: Items of the rows, `(batch,)`.
        log_q: Logarithm of the probability of each row's item to be in a batch,
            `(batch,)`, finite.
        known: Which columns are positives of a row, `(batch, batch)`, bool.
        temperature: Divides the scores, before log Q is subtracted.
        symmetric: Whether to average with the softmax of each item over the users,
            which has no log Q.
        hard_negatives: How many of the highest negatives count. Default: all.
        sample_weight: `(batch,)`.

    Returns:
        A scalar, float32.

    Example:
    >>> scores = np.zeros((2, 2), "float32")
    >>> round(float(in_batch_softmax(scores, np.array([5, 6]))), 4)
    0.6931
    >>> float(in_batch_softmax(scores, np.array([5, 5])))  # no negative left
    0.0

    Reference:
        Yi et al., RecSys 2019, https://doi.org/10.1145/3298689.3346996, eq. 3-5;
        van den Oord et al., 2018, https://arxiv.org/abs/1807.03748
    """
    scores = ops.cast(scores, "float32") / temperature
    ids = ops.reshape(ops.convert_to_tensor(ids), (-1,))
    masked = ops.expand_dims(ids, 1) == ids
    if known is not None:
        masked |= ops.cast(known, "bool")
    corrected = scores
    if log_q is not None:
        corrected = scores - ops.cast(ops.reshape(log_q, (1, -1)), "float32")
    own = ops.diagonal(corrected)
    rows = softmax_loss(own, corrected, masked, hard_negatives)
    if symmetric:
        own, masked = ops.diagonal(scores), ops.transpose(masked)
        of_items = softmax_loss(own, ops.transpose(scores), masked, hard_negatives)
        rows = (rows + of_items) / 2
    return _mean(rows, sample_weight)


def sampled_softmax(
    positive: Tensor,
    negative: Tensor,
    *,
    ids: Tensor,
    drawn: Tensor,
    log_q: Tensor | None = None,
    log_q_drawn: Tensor | None = None,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Softmax of the positive over itself and drawn items.

        L = \sum_i w_i (-l_i + log(exp l_i + \sum_{j drawn, j != i} exp l_j)) / B

    where l is the score minus log Q. All items drawn once, without log Q, is the full
    softmax. Without log Q otherwise, popular items are held down.

    Args:
        positive: Scores of the positive items, `(batch,)`.
        negative: Scores of the drawn items, `(batch, num_drawn)`.
        ids: The positive items, `(batch,)`.
        drawn: The drawn items, `(num_drawn,)` or `(batch, num_drawn)`.
        log_q, log_q_drawn: Logarithms of how often each is expected among the draws,
            shaped as the ids.
        sample_weight: `(batch,)`.

    Returns:
        A scalar, float32.

    Example:
    >>> zeros = np.zeros((1, 3), "float32")
    >>> loss = sampled_softmax(zeros[:, 0], zeros, ids=[7], drawn=[7, 8, 9])
    >>> round(float(loss), 4)  # log 3
    1.0986

    Reference:
        Jean et al., ACL 2015, https://arxiv.org/abs/1412.2007, section 3.2
    """
    positive = ops.reshape(ops.cast(positive, "float32"), (-1,))
    negative = ops.cast(negative, "float32")
    if log_q is not None:
        positive -= ops.cast(ops.reshape(log_q, (-1,)), "float32")
    if log_q_drawn is not None:
        negative -= ops.cast(log_q_drawn, "float32")
    own = ops.reshape(ops.convert_to_tensor(ids), (-1, 1))
    rows = softmax_loss(positive, negative, own == ops.convert_to_tensor(drawn))
    return _mean(rows, sample_weight)


def _mean(rows: Tensor, sample_weight: Tensor | None) -> Tensor:
    if sample_weight is not None:
        sample_weight = ops.cast(ops.reshape(sample_weight, (-1,)), "float32")
    return mean_of_rows(rows, sample_weight)


@saved
class FullSoftmax(RowLoss):
    r"""Softmax over all items, ids that stand for none left out.

        -\sum_j t_j \log softmax(z)_j,    t = (1 - e) onehot(y) + e / num_items

    Args:
        reserved: Ids below it are no items.
        label_smoothing: e, in [0, 1).
        reduction, name, **kwargs: Arguments of `keras.losses.Loss`.
    Call arguments:
        y_true: Item ids, `(batch, 1)`; a row whose id is reserved has no loss.
        y_pred: Logits, `(batch, vocabulary_size)`.
    Example:
    >>> loss = FullSoftmax()
    >>> round(float(loss(np.array([2]), np.array([[99.0, 0, 0, 0]]))), 4)  # log 3
    1.0986
    """

    one_logit = False

    _constraints = {"reserved": Integer(0), "label_smoothing": Number(0, below=1)}

    def __init__(
        self,
        reserved: int = 1,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "full_softmax",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.reserved = reserved
        self.label_smoothing = label_smoothing
        check(self)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits = y_pred[:, self.reserved :]
        item = ops.cast(ops.reshape(y_true, (-1,)), "int32") - self.reserved
        log_softmax = ops.log_softmax(logits, axis=-1)
        own = ops.one_hot(item, logits.shape[-1], dtype=logits.dtype)  # none: all 0
        losses = -(1 - self.label_smoothing) * ops.sum(own * log_softmax, axis=-1)
        losses -= self.label_smoothing * ops.mean(log_softmax, axis=-1)
        return ops.where(item >= 0, losses, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reserved": self.reserved,
            "label_smoothing": self.label_smoothing,
        }
