"""Rows to evaluate: a label, a score and, where given, a weight and a group."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_array, as_numbers


class Scored(NamedTuple):
    """The rows that count, each array `(num_rows,)`."""

    label: NDArray[Any]
    score: NDArray[Any]
    weight: NDArray[np.float64]
    group: Any  # None if there are no groups


def valid_rows(
    y_true: ArrayLike,
    y_score: ArrayLike,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Scored:
    """Flattens the columns and drops rows that do not count.

    A row does not count if its label is NaN (missing) or its weight is 0.

    Args:
        y_true: Labels, `(num_rows,)` or `(num_rows, 1)`, as all other arguments.
        y_score: Scores, probabilities or logits.
        sample_weight: Weights, finite and at least 0, or one number for all rows.
            Default: 1.
        groups: The group of each row.

    Raises:
        ValueError: If the columns differ in length, have several values per row or,
            groups aside, are no numbers, if a weight is negative or not finite, or if
            the score of a row that counts is NaN.
    """
    label, score = _column("y_true", y_true), _column("y_score", y_score)
    if sample_weight is None:
        weight = np.ones(len(label))
    else:
        sample_weight = as_numbers("sample_weight", sample_weight)
        if sample_weight.ndim == 0:
            sample_weight = np.broadcast_to(sample_weight, len(label))
        weight = _column("sample_weight", sample_weight).astype(np.float64)
    group = None
    if groups is not None:
        group = _one_value_a_row("groups", as_array("groups", groups))
    for name, column in (("y_score", score), ("weight", weight), ("groups", group)):
        if column is not None and len(column) != len(label):
            raise ValueError(
                f"{name} must have as many rows as y_true, {len(label)}. "
                f"Received: {len(column)} rows"
            )
    if not (weight >= 0).all() or np.isinf(weight).any():
        raise ValueError(
            "sample_weight must be finite and at least 0. "
            f"Received: {weight.min()} to {weight.max()}"
        )

    counts = weight != 0
    if label.dtype.kind == "f":
        counts &= ~np.isnan(label)
    if not counts.all():
        label, score, weight = label[counts], score[counts], weight[counts]
        group = None if group is None else group[counts]
    if score.dtype.kind == "f" and np.isnan(score).any():
        raise ValueError(
            f"y_score must not be NaN. Received: {np.isnan(score).sum()} NaN scores "
            f"in {len(score)} rows"
        )
    return Scored(label, score, weight, group)


def _column(name: str, values: ArrayLike) -> NDArray[Any]:
    return _one_value_a_row(name, as_numbers(name, values))


def _one_value_a_row(name: str, column: NDArray[Any]) -> NDArray[Any]:
    if column.shape not in ((column.size,), (column.size, 1)):
        raise ValueError(
            f"{name} must have one value per row, shape (num_rows,) or (num_rows, 1). "
            f"Received: shape {column.shape}"
        )
    return column.reshape(-1)
