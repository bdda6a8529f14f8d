"""Metrics by name, as a run's file has them, and which way they are better."""

import difflib
from collections.abc import Sequence
from typing import Any, Literal

import keras

from recsys import metrics
from recsys.feature.task import Kind
from recsys.metrics import streaming
from recsys.metrics.streaming.exact import RowMetric

OF_KIND: dict[Kind, Sequence[str]] = {
    "binary": ("auc", "log_loss", "pcoc"),
    "multiclass": ("sparse_categorical_accuracy",),
    "count": ("root_mean_squared_error",),
    "regression": ("root_mean_squared_error",),
}
WITHIN_GROUPS = "gauc"
MOST_ROWS = 2**23  # 100 MB of an exact metric
LOSSES: dict[Kind, str] = {
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
    "count": "poisson",
    "regression": "mean_squared_error",
}
_OF_KERAS = (
    "sparse_categorical_accuracy",
    "root_mean_squared_error",
    "mean_absolute_error",
)
_SMALLER = {"loss", "root_mean_squared_error", "mean_absolute_error"} | {
    "log_loss",
    "normalized_entropy",
    "brier_score",
    "ece",
    "mce",
    "field_ece",
}
_NEITHER = {"pcoc", "copc", "calibration_bias"}  # of these 1, or 0, is best


def metric_of(name: str, group: str | None, rows: int) -> keras.metrics.Metric:
    """Returns the metric of a name, such as `auc` or `ndcg@10`.

    Args:
        name: Of a function of `recsys.metrics`, or one of Keras' for regression.
        group: Key of the groups, for metrics within them.
        rows: Most rows that it is to hold. The AUC of more than `MOST_ROWS` is that of
            bins (`recsys.metrics.BinnedAUC`).

    Raises:
        ValueError: If there is no such metric, or it needs groups and there are none.
    """
    if name in _OF_KERAS:
        of_keras: keras.metrics.Metric = keras.metrics.get(name)
        return of_keras
    base, _, k = name.partition("@")
    by_letters = {each.lower(): each for each in streaming.__all__}
    classes = {
        each: by_letters[letters]
        for each in metrics.__all__
        if each.islower() and (letters := each.replace("_", "")) in by_letters
    }
    if base not in classes or not _is_metric_of_rows(name):
        known = sorted([*filter(_is_metric_of_rows, classes), *_OF_KERAS])
        near = difflib.get_close_matches(base, known, 3)
        raise ValueError(
            f"a metric must be one of {', '.join(known)}, those of lists with a cut as "
            f"in ndcg@10{f' (nearest: {chr(44).join(near)})' if near else ''}. "
            f"Received: {name!r}"
        )
    made: Any = getattr(metrics, classes[base])
    options: dict[str, Any] = {"k": int(k)} if k else {}
    if metrics.NamedMetric(name).grouped:
        if group is None:
            raise ValueError(
                f"{name} is a metric within groups: schema.groups must have one, such "
                "as {user: user_id}. Received: none"
            )
        options["group"] = group
    if made is metrics.AUC and rows > MOST_ROWS:
        made = metrics.BinnedAUC
    elif issubclass(made, RowMetric):
        options["capacity"] = rows
    metric: keras.metrics.Metric = made(**options, name=name)
    return metric


def direction_of(monitor: str) -> Literal["min", "max"]:
    """Returns whether less or more of a metric in the logs is better.

    Raises:
        ValueError: If neither is, as of a ratio that is best at 1.
    """
    name = monitor.removeprefix("val_").removesuffix("_task_macro")
    name = name.removesuffix("_task_weighted").partition("@")[0]
    if any(name == each or name.endswith(f"_{each}") for each in _NEITHER):
        raise ValueError(
            "training.monitor must be a metric of which more, or less, is better. "
            f"Received: {monitor!r}"
        )
    smaller = any(name == each or name.endswith(f"_{each}") for each in _SMALLER)
    return "min" if smaller else "max"


def _is_metric_of_rows(name: str) -> bool:
    try:
        metrics.NamedMetric(name)
    except ValueError:
        return False
    return True
