"""Rows whose score is a probability."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.scored import Scored, valid_rows


def probability_rows(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Scored:
    """As `valid_rows`, with labels and scores as float64 in [0, 1].

    Raises:
        ValueError: As `valid_rows`, and if a label or a score is outside [0, 1].
    """
    label, score, weight, group = valid_rows(y_true, y_prob, sample_weight, groups)
    y, p = label.astype(np.float64), score.astype(np.float64)
    check_unit_interval("y_true", y)
    check_unit_interval("y_prob", p, "; logits must pass a sigmoid first")
    return Scored(y, p, weight, group)


def check_unit_interval(name: str, values: NDArray[Any], hint: str = "") -> None:
    """Raises `ValueError` if a value is outside [0, 1]."""
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f"{name} must be in [0, 1]{hint}. "
            f"Received: {values.min():g} to {values.max():g}"
        )
