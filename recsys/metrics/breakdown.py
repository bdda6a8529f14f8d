"""A metric of each domain or task, and its means over them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.scored import valid_rows


class Breakdown(NamedTuple):
    """A metric by value of a column, in ascending order of the values."""

    values: dict[Any, float]  # NaN where the metric is undefined
    weights: dict[Any, float]  # weight of the rows that count

    def macro(self) -> float:
        """Mean of the values that are defined; NaN if none is."""
        return self._mean(dict.fromkeys(self.values, 1.0))

    def weighted(self) -> float:
        """Mean by rows of the values that are defined; NaN if none is."""
        return self._mean(self.weights)

    def skipped(self) -> list[Any]:
        """Where the metric is undefined."""
        return [each for each, value in self.values.items() if np.isnan(value)]

    def _mean(self, weights: dict[Any, float]) -> float:
        defined = [each for each, value in self.values.items() if not np.isnan(value)]
        if not defined:
            return float("nan")
        return float(
            np.average(
                [self.values[each] for each in defined],
                weights=[weights[each] for each in defined],
            )
        )


def breakdown(
    metric: Callable[..., float],
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    by: ArrayLike,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    **options: Any,
) -> Breakdown:
    """Computes a metric for each value of a column, e.g. of each domain or task.

    Args:
        metric: A function of this package that takes rows, or one like them.
        y_true, y_score, sample_weight, groups: Its arguments, `(num_rows,)`.
        by: The value of the column in each row, `(num_rows,)`.
        **options: Further arguments of `metric`.

    Raises:
        ValueError: As `metric`, and if the arguments differ in length.

    Example:
    >>> from recsys.metrics import auc
    >>> table = breakdown(auc, [0, 1, 1, 0, 1], [1, 2, 1, 3, 9], by=[5, 5, 6, 6, 7])
    >>> table.values
    {5: 1.0, 6: 0.0, 7: nan}
    >>> table.macro(), table.skipped()
    (0.5, [7])
    """
    columns = {"by": np.asarray(by).reshape(-1)}
    if groups is not None:
        columns["groups"] = np.asarray(groups).reshape(-1)
    index = np.arange(np.size(y_true))
    for name, column in columns.items():
        if len(column) != len(index):
            raise ValueError(
                f"{name} must have as many rows as y_true, {len(index)}. "
                f"Received: {len(column)} rows"
            )
    label, score, weight, kept = valid_rows(y_true, y_score, sample_weight, index)
    names, code = np.unique(columns.pop("by"), return_inverse=True)
    code = code[kept]
    order = np.argsort(code, kind="stable")
    counts = np.bincount(code, minlength=len(names))
    values, weights = {}, {}
    for name, end, count in zip(
        names.tolist(), np.cumsum(counts).tolist(), counts.tolist(), strict=True
    ):
        part = order[end - count : end]
        mine = {key: column[kept[part]] for key, column in columns.items()}
        if sample_weight is not None:
            mine["sample_weight"] = weight[part]
        values[name] = metric(label[part], score[part], **mine, **options)
        weights[name] = float(weight[part].sum())
    return Breakdown(values, weights)
