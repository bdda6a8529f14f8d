"""AUC inside groups, averaged: how well the items of one user are ordered."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.pairs import count_pairs
from recsys.metrics.scored import valid_rows

WeightBy = Literal["impressions", "clicks", "uniform"]


def check_weight_by(weight_by: str) -> None:
    """Raises `ValueError` if groups cannot be weighted by that."""
    if weight_by not in get_args(WeightBy):
        raise ValueError(
            f"weight_by must be one of {get_args(WeightBy)}. "
            f"Received: weight_by={weight_by!r}"
        )


class GroupAUC(NamedTuple):
    """AUC of each group; arrays `(num_groups,)`, groups in ascending order."""

    auc: NDArray[np.float64]  # NaN where a group has one class only
    impressions: NDArray[np.float64]  # weight of its rows
    clicks: NDArray[np.float64]  # weight of its positive rows

    def average(self, weight_by: WeightBy = "impressions") -> float:
        """Mean over the groups with both classes; NaN if there is none."""
        check_weight_by(weight_by)
        defined = ~np.isnan(self.auc)
        if not defined.any():
            return float("nan")
        weight = {
            "impressions": self.impressions,
            "clicks": self.clicks,
            "uniform": np.ones_like(self.auc),
        }[weight_by]
        return float(np.average(self.auc[defined], weights=weight[defined]))

    def coverage(self) -> tuple[float, float]:
        """Share of the groups, and of the impressions, that have both classes."""
        if not len(self.auc):
            return float("nan"), float("nan")
        defined = ~np.isnan(self.auc)
        share = self.impressions[defined].sum() / self.impressions.sum()
        return float(defined.mean()), float(share)


def group_auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> GroupAUC:
    """AUC of each group; arguments and errors as in `gauc`.

    Example:
    >>> table = group_auc([0, 1, 1, 1, 0], [1, 2, 0, 3, 5], groups=[7, 7, 8, 9, 9])
    >>> table.auc
    array([ 1., nan,  0.])
    >>> table.coverage()  # 2 of 3 groups, 4 of 5 rows
    (0.6666666666666666, 0.8)
    """
    pairs = count_pairs(valid_rows(y_true, y_score, sample_weight, groups))
    return GroupAUC(pairs.auc(), pairs.positives + pairs.negatives, pairs.positives)


def gauc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike,
    sample_weight: ArrayLike | None = None,
    weight_by: WeightBy = "impressions",
) -> float:
    r"""Mean of the AUC of each group, e.g. of each user.

        GAUC = \sum_u w_u AUC_u / \sum_u w_u    over the groups u with both classes

    Groups with one class have no AUC and are skipped; `group_auc(...).coverage()` tells
    how many. What is added to all scores of a group does not change the value.

    Args:
        y_true: Labels 0 or 1, `(num_rows,)`; NaN is missing, such rows do not count.
        y_score: Scores, `(num_rows,)`; infinite ones are allowed. float32 is fastest.
        groups: Group of each row, `(num_rows,)`, in any order. Integers are fastest.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.
        weight_by: What `w_u` is: `"impressions"`, the weight of the rows of u, as in
            the paper; `"clicks"`, that of its positive rows; `"uniform"`, 1.

    Returns:
        The mean, in [0, 1]; NaN if no group has both classes.

    Raises:
        ValueError: If a label is neither 0, 1 nor NaN, a score is NaN, a weight is
            negative, the arguments differ in length, or `weight_by` is unknown.

    Example:
    >>> gauc([0, 1, 1, 1, 0], [1, 2, 0, 3, 5], groups=[7, 7, 8, 9, 9])
    0.5

    Reference:
        Zhu et al., KDD 2017, https://arxiv.org/abs/1703.02091;
        Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978
    """
    table = group_auc(y_true, y_score, groups=groups, sample_weight=sample_weight)
    return table.average(weight_by)
