"""How far a metric would move on other data of the same kind: the bootstrap."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.average_precision import area_of_ties
from recsys.metrics.binned_auc import area_of_bins
from recsys.metrics.codes import first_of_each, sum_by
from recsys.metrics.gauc import group_auc
from recsys.metrics.log_loss import losses_of_probabilities
from recsys.metrics.named import OF_QUERIES, TOP_K, NamedMetric
from recsys.metrics.normalized_entropy import relative_to_entropy
from recsys.metrics.queries import judge
from recsys.metrics.scored import Scored, valid_rows

Floats = NDArray[np.float64]
OfCounts = Callable[[Floats], float]


class Interval(NamedTuple):
    """A value and the interval that holds 95 % of its resamples."""

    value: float
    low: float
    high: float


def bootstrap(
    metrics: Sequence[str],
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Floats]:
    """Computes metrics of resamples of the data.

    Groups are drawn whole, with replacement, as their rows depend on each other;
    without groups, rows are. The same seed draws the same groups or rows, so that the
    difference of two models can be taken resample by resample.

    Args:
        metrics: Names of functions of `recsys.metrics` that take rows, see
            `NamedMetric`.
        y_true: Labels, `(num_rows,)`; NaN is missing.
        y_score: Probabilities, or any scores where only their order counts.
        sample_weight, groups: `(num_rows,)`.
        resamples: How many.
        seed: Seed of the draws.

    Returns:
        For each metric its value on the data and on each resample, `(1 + resamples,)`;
        NaN where it is undefined.

    Raises:
        ValueError: If a metric is unknown or does not take the rows.

    Example:
    >>> values = bootstrap(["auc"], [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], resamples=50)
    >>> interval(values["auc"])
    Interval(value=0.75, low=0.0, high=1.0)

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993
    """
    rows = valid_rows(y_true, y_score, sample_weight, groups)
    order = np.argsort(rows.score, kind="stable")
    label, score, weight, group = rows
    group = None if group is None else group[order]
    rows = Scored(label[order], score[order], weight[order], group)
    if rows.group is None:
        units, unit = len(rows.label), order
    else:
        names, unit = np.unique(rows.group, return_inverse=True)
        units = len(names)
    prepared = {
        name: _prepare(NamedMetric(name), rows, unit, units) for name in metrics
    }
    rng = np.random.default_rng(seed)
    values = {name: np.full(1 + resamples, np.nan) for name in metrics}
    for i in range(1 + resamples if units else 0):
        drawn = rng.integers(units, size=units) if i else np.arange(units)
        counts = np.bincount(drawn, minlength=units).astype(np.float64)
        for name, of_counts in prepared.items():
            values[name][i] = of_counts(counts)
    return values


def interval(values: Floats) -> Interval:
    """Returns the first value, and the interval of the others that are defined."""
    others = values[1:][~np.isnan(values[1:])]
    if not len(others):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(others, [0.025, 0.975])
    return Interval(float(values[0]), float(low), float(high))


def p_value(differences: Floats) -> float:
    """Chance of as large a difference, either way, if there were none.

    Args:
        differences: Differences of two models, on the data and on each resample.

    Returns:
        Twice the share of resamples on the other side of 0, at most 1; NaN if none is
        defined.

    Example:
    >>> p_value(np.array([0.2, 0.1, 0.3, 0.2, -0.1]))
    0.8
    """
    others = differences[1:][~np.isnan(differences[1:])]
    if not len(others):
        return float("nan")
    less = min((others <= 0).sum(), (others >= 0).sum())
    return float(min(2 * (less + 1) / (len(others) + 1), 1.0))


def _prepare(metric: NamedMetric, rows: Scored, unit: Any, units: int) -> OfCounts:
    """Returns the metric as a function of how often each unit is there."""
    label, score, weight, group = rows
    if metric.base in ("gauc", *TOP_K):
        return _mean_of_groups(metric, rows)
    if metric.base in SUMS:
        terms, combine = SUMS[metric.base]
        columns = [
            sum_by(unit, weight * each, units)
            for each in terms(label.astype(np.float64), score)
        ]
        return lambda counts: combine(*(float(counts @ each) for each in columns))
    # The rest look at rows in the order of their scores.
    tie = first_of_each(score)
    positive = weight * label

    def of_counts(counts: Floats) -> float:
        times = counts[unit]
        hits = np.add.reduceat(times * positive, tie)
        mass = np.add.reduceat(times * weight, tie)
        if metric.base == "auc":
            return area_of_bins(hits, mass - hits).auc
        if metric.base == "average_precision":
            return area_of_ties(hits[::-1], mass[::-1])
        shown = mass > 0  # rows of equal probability are as one with their mean label
        return metric(
            hits[shown] / mass[shown], score[tie][shown], sample_weight=mass[shown]
        )

    if metric.grouped:
        return lambda counts: metric(
            label, score, sample_weight=weight * counts[unit], groups=group
        )
    return of_counts


def _mean_of_groups(metric: NamedMetric, rows: Scored) -> OfCounts:
    label, score, weight, group = rows
    given = {"groups": group, "sample_weight": weight}
    if metric.base == "gauc":
        table = group_auc(label, score, **given)
        values, weights = table.auc, table.impressions
    else:
        queries = judge(label, score, **given, k=metric.k)
        values, weights = OF_QUERIES[metric.base](queries), queries.weight
    defined = ~np.isnan(values)
    top = np.where(defined, values, 0) * weights
    bottom = defined * weights

    def of_counts(counts: Floats) -> float:
        total = float(counts @ bottom)
        return float(counts @ top) / total if total else float("nan")

    return of_counts


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("nan")


def _relative_entropy(loss: float, total: float, positive: float) -> float:
    if not total:
        return float("nan")
    return relative_to_entropy(loss / total, min(positive / total, 1.0))


# What is summed over rows, and the metric as a function of the sums.
SUMS: dict[str, tuple[Callable[..., list[Any]], Callable[..., float]]] = {
    "log_loss": (lambda y, p: [losses_of_probabilities(y, p), np.ones_like(y)], _ratio),
    "normalized_entropy": (
        lambda y, p: [losses_of_probabilities(y, p), np.ones_like(y), y],
        _relative_entropy,
    ),
    "brier_score": (lambda y, p: [(p - y) ** 2, np.ones_like(y)], _ratio),
    "pcoc": (lambda y, p: [p, y], _ratio),
    "copc": (lambda y, p: [y, p], _ratio),
    "calibration_bias": (lambda y, p: [p - y], float),
}
