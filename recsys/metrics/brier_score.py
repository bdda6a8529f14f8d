"""Brier score: mean squared error of probabilities."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.probability import probability_rows


def brier_score(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    r"""Mean squared error of probabilities, `\sum w (p - y)^2 / \sum w`.

    Args:
        y_true: Labels in [0, 1], `(num_rows,)`; NaN is missing, such rows do not count.
        y_prob: Probabilities, `(num_rows,)`.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.

    Returns:
        The mean, in [0, 1]; NaN if no row counts.

    Raises:
        ValueError: If a label or probability is outside [0, 1], a weight is negative,
            or the arguments differ in length.

    Example:
    >>> brier_score([1, 0], [0.5, 0.5])
    0.25

    Reference:
        Brier, Monthly Weather Review 1950
    """
    y, p, weight, _ = probability_rows(y_true, y_prob, sample_weight)
    if not len(y):
        return float("nan")
    return float(np.average((p - y) ** 2, weights=weight))
