"""Calibration of probabilities, by bins of them and by the values of a field."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._constraints import Integer
from recsys.metrics.codes import first_of_each, sum_by
from recsys.metrics.probability import probability_rows

Strategy = Literal["quantile", "uniform"]


def check_bins(bins: int, strategy: str) -> None:
    """Raises `ValueError` if rows cannot be put in such bins."""
    if not Integer(1).accepts(bins) or strategy not in get_args(Strategy):
        raise ValueError(
            "bins must be an integer of at least 1 and strategy one of "
            f"{get_args(Strategy)}. Received: bins={bins!r}, strategy={strategy!r}"
        )


class Calibration(NamedTuple):
    """The non-empty bins in ascending order, each array `(num_bins,)`."""

    predicted: NDArray[np.float64]  # mean probability
    observed: NDArray[np.float64]  # mean label
    weight: NDArray[np.float64]  # weight of the rows

    def gaps(self) -> NDArray[np.float64]:
        """How far probabilities are from labels in each bin."""
        return np.abs(self.predicted - self.observed)


def calibration_curve(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    bins: int = 20,
    strategy: Strategy = "quantile",
) -> Calibration:
    """Mean probability and mean label in bins of the probability; see `ece`.

    Example:
    >>> curve = calibration_curve([0, 1, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2)
    >>> curve.predicted, curve.observed, curve.weight
    (array([0.2, 0.9]), array([0.5, 1. ]), array([2., 2.]))
    """
    check_bins(bins, strategy)
    y, p, weight, _ = probability_rows(y_true, y_prob, sample_weight)
    if not len(y):
        return Calibration(np.empty(0), np.empty(0), np.empty(0))
    if strategy == "uniform":
        place = np.minimum((p * bins).astype(np.intp), bins - 1)
    else:
        order = np.argsort(p, kind="stable")
        y, p, weight = y[order], p[order], weight[order]
        tie = first_of_each(p)
        mass = np.add.reduceat(weight, tie)
        middle = np.cumsum(mass) - mass / 2
        of_tie = np.minimum((bins * (middle / mass.sum())).astype(np.intp), bins - 1)
        place = np.repeat(of_tie, np.diff(tie, append=len(p)))
    mass, predicted, observed = (
        sum_by(place, values, bins) for values in (weight, weight * p, weight * y)
    )
    kept = mass > 0
    mass = mass[kept]
    return Calibration(predicted[kept] / mass, observed[kept] / mass, mass)


def ece(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    bins: int = 20,
    strategy: Strategy = "quantile",
) -> float:
    r"""Expected calibration error of the probability of a click.

        ECE = \sum_b W_b / W |mean probability_b - mean label_b|

    Where clicks are rare, bins of uniform width hold all rows in the first of them and
    say no more than the overall bias: hence the default.

    Args:
        y_true: Labels in [0, 1], `(num_rows,)`; NaN is missing, such rows do not count.
        y_prob: Probabilities, `(num_rows,)`.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.
        bins: Number of bins. Empty ones do not count.
        strategy: `"quantile"`: bins of equal weight, where rows of equal probability
            stay together, in the bin that the middle of their weight is in.
            `"uniform"`: bins of equal width in [0, 1], closed on the left, the last on
            both sides.

    Returns:
        The error, in [0, 1]; NaN if no row counts.

    Raises:
        ValueError: If a label or probability is outside [0, 1], a weight is negative,
            the arguments differ in length, or `bins` or `strategy` is unknown.

    Example:
    >>> round(ece([0, 1, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2), 3)
    0.2

    Reference:
        Naeini et al., AAAI 2015 (there of the most likely class)
    """
    curve = calibration_curve(
        y_true, y_prob, sample_weight=sample_weight, bins=bins, strategy=strategy
    )
    if not len(curve.weight):
        return float("nan")
    return float(np.average(curve.gaps(), weights=curve.weight))


def mce(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    bins: int = 20,
    strategy: Strategy = "quantile",
) -> float:
    """Maximum calibration error: the largest gap of a bin; arguments as in `ece`.

    Example:
    >>> round(mce([0, 1, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2), 3)
    0.3
    """
    curve = calibration_curve(
        y_true, y_prob, sample_weight=sample_weight, bins=bins, strategy=strategy
    )
    return float(curve.gaps().max()) if len(curve.weight) else float("nan")


def field_ece(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    groups: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Calibration error by the values of a field, e.g. of advertisers.

        \sum_v |\sum_{i in v} w_i (y_i - p_i)| / \sum_i w_i

    Args:
        y_true, y_prob, sample_weight: As in `ece`.
        groups: The value of the field in each row, `(num_rows,)`.

    Returns:
        The error, in [0, 1]; NaN if no row counts.

    Raises:
        ValueError: As `ece`.

    Example:
    >>> field_ece([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], groups=[7, 7, 8, 8])
    0.25

    Reference:
        Pan et al., WWW 2020, https://arxiv.org/abs/1905.10713
    """
    y, p, weight, group = probability_rows(y_true, y_prob, sample_weight, groups)
    if not len(y):
        return float("nan")
    value = np.unique(group, return_inverse=True)[1]
    gaps = np.abs(np.bincount(value, weight * (y - p)))
    return float(gaps.sum() / weight.sum())
