"""Calibration in the large: predicted over observed clicks."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.probability import probability_rows


def pcoc(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    r"""Predicted clicks over observed clicks, `\sum w p / \sum w y`; 1 is calibrated.

    Args:
        y_true: Labels in [0, 1], `(num_rows,)`; NaN is missing, such rows do not count.
        y_prob: Probabilities, `(num_rows,)`.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.

    Returns:
        The ratio; NaN if nothing was observed.

    Raises:
        ValueError: If a label or probability is outside [0, 1], a weight is negative,
            or the arguments differ in length.

    Example:
    >>> pcoc([1, 0, 0], [0.5, 0.5, 0.5])
    1.5
    """
    predicted, observed = _clicks(y_true, y_prob, sample_weight)
    return predicted / observed if observed else float("nan")


def copc(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Observed clicks over predicted clicks: 1 / `pcoc`; arguments as there.

    Example:
    >>> copc([1, 0, 0], [0.5, 0.5, 0.5])
    0.666...
    """
    predicted, observed = _clicks(y_true, y_prob, sample_weight)
    return observed / predicted if predicted else float("nan")


def calibration_bias(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Predicted minus observed clicks, by weight; arguments as in `pcoc`.

    Example:
    >>> calibration_bias([1, 0, 0], [0.5, 0.5, 0.5])
    0.5
    """
    predicted, observed = _clicks(y_true, y_prob, sample_weight)
    return predicted - observed


def _clicks(
    y_true: ArrayLike, y_prob: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[float, float]:
    y, p, weight, _ = probability_rows(y_true, y_prob, sample_weight)
    return float(np.dot(weight, p)), float(np.dot(weight, y))
