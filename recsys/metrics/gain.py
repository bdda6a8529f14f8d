"""Gain curve: how many positives the rows with the highest scores hold."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.codes import first_of_each, score_codes
from recsys.metrics.pairs import check_binary
from recsys.metrics.scored import valid_rows


class Gain(NamedTuple):
    """Points of the curve from (0, 0) to (1, 1), each array `(num_points,)`."""

    rows: NDArray[np.float64]  # share of the rows, those of the highest scores
    positives: NDArray[np.float64]  # share of the positives among them


def gain_curve(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Gain:
    """Share of the positives among the rows of the highest scores, for each share.

    Rows of equal score come together.

    Args:
        y_true: Labels 0 or 1, `(num_rows,)`; NaN is missing, such rows do not count.
        y_score: Scores, `(num_rows,)`.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.

    Returns:
        One point for each distinct score, and (0, 0); no point if no row is positive.

    Raises:
        ValueError: If a label is neither 0, 1 nor NaN, a score is NaN, a weight is
            negative, or the arguments differ in length.

    Example:
    >>> gain_curve([1, 0, 1, 0], [0.9, 0.1, 0.4, 0.4])
    Gain(rows=array([0.  , 0.25, 0.75, 1.  ]), positives=array([0. , 0.5, 1. , 1. ]))
    """
    rows = valid_rows(y_true, y_score, sample_weight)
    positive = check_binary(rows.label)
    if not positive.any():
        return Gain(np.empty(0), np.empty(0))
    code = score_codes(rows.score)
    order = np.argsort(-code)
    tie = first_of_each(code[order])
    weight = rows.weight[order]
    share, found = (
        np.concatenate([[0], np.cumsum(np.add.reduceat(each, tie))])
        for each in (weight, weight * positive[order])
    )
    return Gain(share / share[-1], found / found[-1])
