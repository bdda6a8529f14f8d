"""Cross-entropy, BPR and the losses of GRU4Rec, on drawn items."""

from typing import Any

from keras import ops

from recsys.layers.matching.match_loss import IMPOSSIBLE
from recsys.layers.matching.negatives import NegativesOfRows
from recsys.types import Tensor


class SampledCrossentropy(NegativesOfRows):
    r"""Cross-entropy of one positive and some negatives.

        loss = -log \sigma(s_pos) - \sum_j log(1 - \sigma(s_j))

    Args, call arguments and returns: of `NegativesOfRows`.
    Reference:
        Neural Collaborative Filtering, WWW 2017, eq. 7; Self-Attentive Sequential
        Recommendation, ICDM 2018, section III-E.
    """

    def of_scores(self, positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
        others = ops.where(counts, ops.softplus(negative), 0)
        return ops.softplus(-positive) + ops.sum(others, axis=1)


class SampledBPR(NegativesOfRows):
    r"""Bayesian personalised ranking: the positive before each negative.

        loss = mean_j -log \sigma(s_pos - s_j)

    Args, call arguments and returns: of `NegativesOfRows`.
    Reference:
        BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009.
    """

    def of_scores(self, positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
        losses = ops.softplus(negative - ops.expand_dims(positive, 1))
        count = ops.sum(ops.cast(counts, "float32"), axis=1)
        losses = ops.sum(ops.where(counts, losses, 0), axis=1)
        return losses / ops.maximum(count, 1)


class Top1(NegativesOfRows):
    r"""TOP1: the share of negatives before the positive, and their size.

        loss = mean_j \sigma(s_j - s_pos) + \sigma(s_j^2)

    Args, call arguments and returns: of `NegativesOfRows`.
    Reference:
        Session-based Recommendations with Recurrent Neural Networks, ICLR 2016,
        section 3.2.
    """

    def of_scores(self, positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
        losses = ops.sigmoid(negative - ops.expand_dims(positive, 1))
        losses += ops.sigmoid(ops.square(negative))
        count = ops.sum(ops.cast(counts, "float32"), axis=1)
        return ops.sum(ops.where(counts, losses, 0), axis=1) / ops.maximum(count, 1)


class BPRMax(NegativesOfRows):
    r"""BPR-max: BPR against the largest of the negatives, smoothed.

        w = softmax_j s_j
        loss = -log \sum_j w_j \sigma(s_pos - s_j) + regularization \sum_j w_j s_j^2

    Args:
        vocabulary_size, num_negatives, ...: Of `NegativesOfRows`.
        regularization: Regularization of the scores.
    Call arguments and returns: as `NegativesOfRows`.
    Reference:
        Recurrent Neural Networks with Top-k Gains for Session-based Recommendations,
        CIKM 2018, eq. 9.
    """

    def __init__(self, *args: Any, regularization: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.regularization = regularization

    def of_scores(self, positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
        log_w = ops.log_softmax(ops.where(counts, negative, IMPOSSIBLE), axis=1)
        before = -ops.softplus(negative - ops.expand_dims(positive, 1))
        loss = -ops.logsumexp(log_w + before, axis=1)
        size = ops.sum(ops.exp(log_w) * ops.square(negative), axis=1)
        loss += self.regularization * size
        return ops.where(ops.any(counts, axis=1), loss, 0)
