"""Average precision: the area under the precision-recall curve."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.codes import first_of_each, score_codes
from recsys.metrics.pairs import check_binary
from recsys.metrics.scored import valid_rows

Interpolation = Literal["step", "trapezoid"]


def check_interpolation(interpolation: str) -> None:
    """Raises `ValueError` if there is no such interpolation."""
    if interpolation not in get_args(Interpolation):
        raise ValueError(
            f"interpolation must be one of {get_args(Interpolation)}. "
            f"Received: interpolation={interpolation!r}"
        )


def average_precision(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    interpolation: Interpolation = "step",
) -> float:
    r"""Mean precision over the recall that each threshold adds, PR-AUC.

        AP = \sum_n (R_n - R_{n-1}) P_n

    over the distinct scores n, from the highest. A constant score has the base rate.

    Args:
        y_true: Labels 0 or 1, `(num_rows,)`; NaN is missing, such rows do not count.
        y_score: Scores, `(num_rows,)`.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.
        interpolation: `"step"` as above; `"trapezoid"` is the area under straight
            lines between the points (R, P), from (0, 1), which is too good.

    Returns:
        The area, in [0, 1]; NaN if no row is positive.

    Raises:
        ValueError: If a label is neither 0, 1 nor NaN, a score is NaN, a weight is
            negative, the arguments differ in length, or `interpolation` is unknown.

    Example:
    >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.833...

    Reference:
        Davis and Goadrich, ICML 2006, https://doi.org/10.1145/1143844.1143874
    """
    check_interpolation(interpolation)
    rows = valid_rows(y_true, y_score, sample_weight)
    positive = check_binary(rows.label)
    if not positive.any():
        return float("nan")
    code = score_codes(rows.score)
    order = np.argsort(-code)
    weight = rows.weight[order]
    tie = first_of_each(code[order])
    hits = np.add.reduceat(weight * positive[order], tie)
    return area_of_ties(hits, np.add.reduceat(weight, tie), interpolation)


def area_of_ties(
    hits: NDArray[np.float64],
    mass: NDArray[np.float64],
    interpolation: Interpolation = "step",
) -> float:
    """Returns the area of positives and of all rows by distinct score, falling."""
    found, seen = np.cumsum(hits), np.cumsum(mass)
    if not found[-1]:
        return float("nan")
    precision = found / np.where(seen == 0, 1, seen)
    if interpolation == "trapezoid":
        precision = (precision + np.concatenate([[1.0], precision[:-1]])) / 2
    return float(hits @ precision / found[-1])
