"""Which metric belongs to which output."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from recsys.layers.heads import PredictLayer
from recsys.train.routing import Heads, by_output, tasks


@dataclass(frozen=True)
class TaskMetric:
    """A metric, the output it looks at, and its name in the logs."""

    name: str
    metric: keras.metrics.Metric
    output: str
    weighted: bool
    of_all_tasks: bool  # a copy of one that every task has


def task_metrics(
    given: Any, heads: Heads, prefixed: bool, weighted: bool
) -> list[TaskMetric]:
    """Gives every output its metrics.

    Args:
        given: One metric or a flat list, for every task (each then gets copies of
            its own); a list of lists, one for each output; or a dict by output.
        heads: The outputs.
        prefixed: Whether names begin with that of the output.
        weighted: Whether sample weights count.
    """
    per_output = isinstance(given, Mapping) or (
        isinstance(given, (list, tuple))
        and any(isinstance(entry, (list, tuple)) for entry in given)
    )
    if given is None:
        chosen: dict[str, Any] = {}
    elif per_output:
        chosen, _ = by_output("metrics", given, heads)
    else:
        chosen = dict.fromkeys(tasks(heads), given)
    copied = not per_output and len(chosen) > 1
    entries = []
    for output, metrics in chosen.items():
        for entry in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            metric = _metric(entry, heads[output])
            if copied:
                metric = metric.__class__.from_config(metric.get_config())
            name = f"{output}_{metric.name}" if prefixed else metric.name
            entries.append(TaskMetric(name, metric, output, weighted, copied))
    return entries


def check_logs(losses: Iterable[str], entries: Sequence[TaskMetric]) -> None:
    """Raises `ValueError` if two logs of a model of several outputs have one name.

    What is logged of validation is called as in training, with `val_` before it.
    """
    of = [(f"{output}_loss", output) for output in losses]
    of += [(entry.name, entry.output) for entry in entries]
    owners = {"loss": "all tasks"}
    for name, output in of:
        if owners.setdefault(name, output) != output:
            raise ValueError(
                "The logs of tasks must differ in name: rename a task or a metric. "
                f"Received: {name!r} of {owners[name]!r} and of {output!r}"
            )
    for name, output in of:
        of_validation = owners.get(name.removeprefix("val_"))
        if name.startswith("val_") and of_validation is not None:
            raise ValueError(
                "The logs of tasks must differ in name: rename a task or a metric. "
                f"Received: {name!r} of {output!r} and of the validation of "
                f"{of_validation!r}"
            )


def _metric(entry: Any, head: PredictLayer | None) -> Any:
    """Resolves a name or function, `"accuracy"` by the kind of task."""
    multiclass = head is not None and head.task == "multiclass"
    if entry in ("accuracy", "acc"):
        kind = "SparseCategoricalAccuracy" if multiclass else "BinaryAccuracy"
        return getattr(keras.metrics, kind)(name=entry)
    if entry in ("crossentropy", "ce"):
        kind = "SparseCategoricalCrossentropy" if multiclass else "BinaryCrossentropy"
        return getattr(keras.metrics, kind)(name=entry)
    if entry is None:
        raise ValueError(
            "metrics must be names, functions or metrics of Keras. Received: None"
        )
    metric = keras.metrics.get(entry)
    if not isinstance(metric, keras.metrics.Metric):
        name = entry if isinstance(entry, str) else metric.__name__
        return keras.metrics.MeanMetricWrapper(metric, name=name)
    if isinstance(entry, str):
        metric = metric.__class__.from_config({**metric.get_config(), "name": entry})
    return metric
