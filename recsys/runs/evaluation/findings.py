"""What is found of the rows of one task, in one file or several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recsys import metrics
from recsys.runs.evaluation.predictions import Predictions

OF_ORDER = ("auc", "average_precision")


OF_PROBABILITY = (
    "log_loss",
    "normalized_entropy",
    "brier_score",
    "pcoc",
    "calibration_bias",
    "ece",
    "mce",
)


OF_GROUPS = ("gauc",)


OF_LISTS = (
    "ndcg",
    "recall",
    "precision",
    "f1",
    "hit_rate",
    "mrr",
    "mean_average_precision",
)


BY_DOMAIN = ("auc", "gauc", "log_loss", "pcoc")


ALL_ROWS = "all rows"


@dataclass(frozen=True)
class Findings:
    """What is found of the rows of one task.

    Attributes:
        name: The task.
        files: Its rows in each file.
        values: By metric and file: value and interval.
        skipped: Groups without a value, by metric.
        paired: By metric, the difference of each other file to the first and its
            p-value.
        domains: By metric, a breakdown of each file.
    """

    name: str
    files: Sequence[Predictions]
    values: dict[str, list[metrics.Interval]]
    skipped: dict[str, int]
    paired: dict[str, list[tuple[metrics.Interval, float]]]
    domains: dict[str, list[metrics.Breakdown]]


def names_of(file: Predictions, calibrated: bool, k: int) -> list[str]:
    """Names of the metrics that a file has the columns for."""
    names = list(OF_ORDER)
    if calibrated:
        names += OF_PROBABILITY
    if file.group is not None:
        names += [*OF_GROUPS, *(f"{name}@{k}" for name in OF_LISTS)]
    return names


def evaluate(
    name: str,
    files: Sequence[Predictions],
    names: Sequence[str],
    resamples: int,
    seed: int,
) -> Findings:
    """Computes the metrics of one task, in one file or in several of the same rows."""
    draws = [
        metrics.bootstrap(
            names, f.label, f.score, **f.rows(), resamples=resamples, seed=seed
        )
        for f in files
    ]
    values = {each: [metrics.interval(draw[each]) for draw in draws] for each in names}
    paired = {}
    for each in names if len(files) > 1 else ():
        differences = [draw[each] - draws[0][each] for draw in draws[1:]]
        paired[each] = [(metrics.interval(d), metrics.p_value(d)) for d in differences]
    skipped = {}
    first = files[0]
    if first.group is not None:
        groups = metrics.group_auc(first.label, first.score, **first.rows())
        queries = metrics.judge(first.label, first.score, **first.rows())
        empty = int((queries.num_relevant == 0).sum())
        skipped = {each: empty for each in names if metrics.NamedMetric(each).grouped}
        skipped["gauc"] = int(np.isnan(groups.auc).sum())
    domains: dict[str, list[metrics.Breakdown]] = {}
    for each in BY_DOMAIN:
        for f in files if each in names else ():
            if f.domain is not None:
                metric = metrics.NamedMetric(each)
                table = metrics.breakdown(
                    metric, f.label, f.score, by=f.domain, **f.rows()
                )
                domains.setdefault(each, []).append(table)
    return Findings(name, files, values, skipped, paired, domains)


def by_task(files: Sequence[Predictions]) -> Iterator[tuple[str, list[Predictions]]]:
    """Splits files by task, if they tell tasks apart."""
    task = files[0].task
    if task is None:
        yield ALL_ROWS, list(files)
        return
    for name in np.unique(task):
        yield str(name), [file.where(task == name) for file in files]
