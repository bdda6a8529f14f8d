"""Decisions by a threshold on the score."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.pairs import check_binary
from recsys.metrics.scored import valid_rows


def accuracy(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    threshold: float,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the rows on the right side of a threshold.

    Where clicks are rare, "no" to all is nearly always right: this says little then.

    Args:
        y_true: Labels 0 or 1, `(num_rows,)`; NaN is missing, such rows do not count.
        y_score: Scores, `(num_rows,)`.
        threshold: Scores above it mean 1.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.

    Returns:
        The share by weight, in [0, 1]; NaN if no row counts.

    Raises:
        ValueError: If a label is neither 0, 1 nor NaN, a score is NaN, a weight is
            negative, or the arguments differ in length.

    Example:
    >>> accuracy([1, 0, 1], [0.9, 0.2, 0.4], threshold=0.5)
    0.666...
    """
    rows = valid_rows(y_true, y_score, sample_weight)
    right = check_binary(rows.label) == (rows.score > threshold)
    return float(np.average(right, weights=rows.weight)) if len(right) else np.nan


def f1_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    threshold: float,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Harmonic mean of precision and recall at a threshold; arguments as `accuracy`.

    `recsys.metrics.f1` is that of the first k of a list.

    Returns:
        In [0, 1]; NaN if no row is positive, nor called so.

    Example:
    >>> f1_score([1, 0, 1], [0.9, 0.2, 0.4], threshold=0.5)
    0.666...
    """
    rows = valid_rows(y_true, y_score, sample_weight)
    positive, called = check_binary(rows.label), rows.score > threshold
    total = rows.weight @ positive + rows.weight @ called
    return float(2 * (rows.weight @ (positive & called)) / total) if total else np.nan
