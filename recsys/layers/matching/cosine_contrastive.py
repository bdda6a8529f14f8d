"""The cosine contrastive loss of SimpleX."""

from typing import Any

from keras import ops

from recsys.layers.matching.negatives import NegativesOfRows
from recsys.types import Tensor


class CosineContrastive(NegativesOfRows):
    r"""Pulls the positive up, and pushes down negatives above a margin.

        loss = max(0, 1 - s_pos) + w / |N| \sum_{j in N} max(0, s_j - m)

    Args:
        vocabulary_size, num_negatives, reserved, unseen, weight, sample_weight: Of
            `NegativesOfRows`; the scores have no temperature.
        margin: m, in [0, 1].
        negative_weight: w; `None` means |N|, the sum.
    Call arguments and returns: as `NegativesOfRows`.
    Reference:
        SimpleX: A Simple and Strong Baseline for Collaborative Filtering, CIKM 2021,
        eq. 2.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_negatives: int | None = 1000,
        reserved: int = 1,
        margin: float = 0.5,
        negative_weight: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, num_negatives, reserved=reserved, **kwargs)
        self.margin = margin
        self.negative_weight = negative_weight

    def of_scores(self, positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
        w = self.negative_weight
        share = 1.0 if w is None else w / negative.shape[1]
        hinges = ops.where(counts, ops.relu(negative - self.margin), 0)
        # Above 1 only where dropout has scaled what is left of a unit vector.
        return ops.relu(1 - positive) + share * ops.sum(hinges, axis=1)
