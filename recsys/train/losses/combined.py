"""Cross-entropy and ranking on the same logits."""

from typing import Any

from keras import ops

from recsys.feature._constraints import Number
from recsys.saving import saved
from recsys.train.losses.joint import Terms
from recsys.train.losses.pairwise import RankingLoss
from recsys.train.losses.pointwise import cross_entropy
from recsys.types import Tensor


@saved
class CombinedLoss(RankingLoss):
    r"""`a CE + (1 - a) RankingLoss`, in one pass.

    Where positives are rare, the gradient of cross-entropy on negatives vanishes with
    their probability; that of the ranking part does not.

    Args:
        alpha: a, in [0, 1]. At 1 it is cross-entropy.
        temperature, group, reduction, name, **kwargs: Arguments of `RankingLoss`.
    Call arguments:
        y_true: Labels 0 or 1, `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Raises:
        ValueError: If `alpha` is outside [0, 1], or `temperature` not above 0.
    Example:
    >>> round(float(CombinedLoss()([1, 0], [0.0, 0.0])), 4)
    0.6931

    Reference:
        Lin et al., KDD 2024, https://arxiv.org/abs/2403.00793
    """

    _constraints = {**RankingLoss._constraints, "alpha": Number(0, most=1)}

    def __init__(
        self,
        alpha: float = 0.7,
        group: str | None = None,
        temperature: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "combined_loss",
        **kwargs: Any,
    ) -> None:
        self.alpha = alpha
        super().__init__(
            reduction, name, temperature=temperature, group=group, **kwargs
        )

    def terms(self, y: Tensor, z: Tensor, weight: Tensor, segment: Tensor) -> Any:
        counts = ops.cast(weight > 0, z.dtype)
        rows = Terms(weight * cross_entropy(y, z), weight, counts)
        return rows, super().terms(y, z, weight, segment)

    def reduced(self, terms: Any) -> Tensor:  # of the rows, and of the pairs
        rows, pairs = (super(CombinedLoss, self).reduced(each) for each in terms)
        return self.alpha * rows + (1 - self.alpha) * pairs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}
