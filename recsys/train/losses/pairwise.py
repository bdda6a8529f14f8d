"""Losses of pairs of rows, one of which should be above the other."""

from typing import Any

from keras import ops

from recsys.feature._constraints import Number, check
from recsys.saving import saved
from recsys.train.losses.joint import JointLoss, Terms
from recsys.types import Tensor


class PairLoss(JointLoss):
    """A loss of the difference of the logits of two rows of one group.

    A pair is two rows of which one has the higher label; its weight is the product of
    theirs. Takes memory of the square of the batch: with 4096 rows 64 MiB for each of
    a handful of arrays.
    """

    def terms(self, y: Tensor, z: Tensor, weight: Tensor, segment: Tensor) -> Terms:
        def above(a: Tensor) -> Tensor:
            return ops.expand_dims(a, 1)

        pair = (above(y) > y) & (above(segment) == segment)
        pair &= above(weight > 0) & (weight > 0)
        product = ops.where(pair, above(weight) * weight, 0.0)
        losses = product * self.of_difference(above(z) - z)
        counts = ops.cast(pair, z.dtype)
        return Terms(*(ops.sum(each, axis=1) for each in (losses, product, counts)))

    def of_difference(self, difference: Tensor) -> Tensor:
        """Returns the loss of pairs, of any shape."""
        raise NotImplementedError


@saved
class RankingLoss(PairLoss):
    r"""Cross-entropy of the order of two rows (RankNet).

        mean over pairs with y_i > y_j of w_i w_j softplus(-(z_i - z_j) / \tau)

    With cross-entropy beside it, it keeps the gradient of negatives that are right
    already, where positives are rare: `CombinedLoss`, or in a model that returns its
    logit `loss=[BinaryCrossentropy(), RankingLoss()], loss_weights=[0.7, 0.3]`.

    Args:
        temperature: Divides the differences, above 0.
        group, reduction, name, **kwargs: Arguments of `JointLoss`.
    Call arguments:
        y_true: Labels or grades, `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Raises:
        ValueError: If `temperature` is not above 0.
    Example:
    >>> loss = RankingLoss()
    >>> round(float(loss([1, 0, 0], [2.0, 2.0, 2.0])), 4)  # log 2
    0.6931

    Reference:
        Burges et al., ICML 2005, https://doi.org/10.1145/1102351.1102363;
        Lin et al., KDD 2024, https://arxiv.org/abs/2403.00793
    """

    _constraints = {"temperature": Number(above=0)}

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "ranking_loss",
        *,
        temperature: float = 1.0,
        group: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group, reduction, name=name, **kwargs)
        self.temperature = temperature
        check(self)

    def of_difference(self, difference: Tensor) -> Tensor:
        return ops.softplus(-difference / self.temperature)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@saved
class HingeRankingLoss(PairLoss):
    r"""Distance of the order of two rows from a margin.

        mean over pairs with y_i > y_j of w_i w_j max(0, m - (z_i - z_j))

    Args:
        margin: m, above 0.
        group, reduction, name, **kwargs: Arguments of `JointLoss`.
    Call arguments:
        y_true: Labels or grades, `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Raises:
        ValueError: If `margin` is not above 0.
    Example:
    >>> float(HingeRankingLoss()([1, 0, 0], [2.0, 1.5, 0.0]))
    0.25
    """

    _constraints = {"margin": Number(above=0)}

    def __init__(
        self,
        margin: float = 1.0,
        group: str | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "hinge_ranking_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(group, reduction, name=name, **kwargs)
        self.margin = margin
        check(self)

    def of_difference(self, difference: Tensor) -> Tensor:
        return ops.relu(self.margin - difference)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}


def ranking_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Returns the mean `RankingLoss` of a batch, a scalar.

    Args:
        y_true: Labels of any numeric dtype, `(batch,)` or `(batch, 1)`.
        y_pred: Logits, alike.

    Example:
    >>> round(float(ranking_loss([1, 0], [0.0, 0.0])), 4)
    0.6931
    """
    return RankingLoss()(y_true, y_pred)
