"""Which loss, metric, label and weight belongs to which output.

Everything maps by the order in which a model's outputs were made. (Keras sorts them
by name, and swaps the losses of a list without a word.)
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import keras
from keras import ops

from recsys.layers.core import PredictLayer
from recsys.train.losses import PoissonOfLogits

LOGIT = "logit"
"""The output that is no task: see `Task.return_logit`."""

Heads = Mapping[str, PredictLayer | None]
"""The outputs of a model in order, each with its head if it has one."""


def tasks(heads: Heads) -> list[str]:
    """Returns the outputs that are tasks, in order."""
    return [
        name
        for name, head in heads.items()
        if (name != LOGIT or len(heads) == 1) and (head is None or head.is_task)
    ]


def by_output(
    what: str, given: Any, heads: Heads, num_layers: int = 0
) -> tuple[dict[str, Any], list[Any]]:
    """Sorts an argument of `compile` by output.

    Args:
        what: Name of the argument, for errors.
        given: One value for every task, a dict by output, or a list in order.
        heads: The outputs.
        num_layers: Number of loss layers; further entries of a list are theirs.

    Returns:
        The values by output, and those of the loss layers.

    Raises:
        ValueError: If a key is no output, or a list does not fit.
    """
    if given is None:
        return {}, []
    if isinstance(given, Mapping):
        for name in given:
            if name not in heads:
                raise ValueError(
                    f"{what} must be keyed by outputs of the model, {[*heads]}. "
                    f"Received: {name!r}"
                )
        return dict(given), []
    if not isinstance(given, (list, tuple)):
        return dict.fromkeys(tasks(heads), given), []
    names = tasks(heads) if len(given) == len(tasks(heads)) else list(heads)
    if not len(names) <= len(given) <= len(names) + num_layers:
        raise ValueError(
            f"{what} must have one entry for each output, {list(heads)}, and at most "
            f"{num_layers} more for loss layers. Received: {len(given)} entries"
        )
    return dict(zip(names, given, strict=False)), list(given[len(names) :])


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the known names most like `name`, or all, for an error."""
    known = list(map(str, known))
    return ", ".join(difflib.get_close_matches(str(name), known) or sorted(known))


_CROSSENTROPIES = {
    "binary": keras.losses.BinaryCrossentropy,
    "multiclass": keras.losses.SparseCategoricalCrossentropy,
}


def on_logits(loss: Any, head: PredictLayer | None) -> Any:
    """Returns the loss that takes the logit of a head, if there is one.

    A cross-entropy on a prediction becomes the same on the logit: a sigmoid output
    loses what lies beyond z = 16. So does a Poisson loss on a count: the logarithm of
    exp z would.
    """
    if loss is None:
        return None
    if head is None:
        return keras.losses.get(loss)
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        loss = _CROSSENTROPIES[head.task]()
    loss = keras.losses.get(loss)
    of_function = {
        keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
        keras.losses.binary_focal_crossentropy: keras.losses.BinaryFocalCrossentropy,
        keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
        keras.losses.sparse_categorical_crossentropy: (
            keras.losses.SparseCategoricalCrossentropy
        ),
        keras.losses.poisson: keras.losses.Poisson,
    }
    if loss in of_function:
        loss = of_function[loss]()
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    if head.task == "count" and isinstance(loss, keras.losses.Poisson):
        return PoissonOfLogits(name=loss.name, reduction=loss.reduction)
    if config.get("from_logits") is not False:
        return loss
    loss = loss.__class__.from_config({**config, "from_logits": True})
    loss.from_logits = True
    return loss


def takes_logits(loss_or_metric: Any) -> bool:
    """Whether a loss or metric is to be given logits in place of predictions."""
    own = getattr(loss_or_metric, "from_logits", None)
    if own is None and isinstance(loss_or_metric, keras.losses.Loss):
        own = loss_or_metric.get_config().get("from_logits")
    return bool(own)


def columns_of(loss_or_metric: Any) -> dict[str, str]:
    """Columns of `x` that a loss or metric is given, by argument."""
    columns = {
        "groups": getattr(loss_or_metric, "group", None),
        "by": getattr(loss_or_metric, "by", None),
    }
    return {key: name for key, name in columns.items() if name is not None}


def second_of_two(seen: Any, head: PredictLayer | None, of_logits: bool) -> Any:
    """Returns the score of the second class, if a task has two and each its logit.

    Args:
        seen: Logits or predictions, `(batch, num_classes)`.
        head: The head they are of.
        of_logits: Which of them.
    """
    if head is None or head.task != "multiclass" or head.num_classes != 2:
        return seen
    if of_logits:
        return seen[:, 1] - seen[:, 0]  # softmax is the sigmoid of it
    return seen[:, 1]


@dataclass(frozen=True)
class TaskMetric:
    """A metric, the output it looks at, and its name in the logs."""

    name: str
    metric: Any
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


def labels_by_output(y: Any, heads: Heads) -> dict[str, Any]:
    """Sorts labels by output; the logit of a task has the task's labels.

    Args:
        y: An array, a list in order, or a dict by task.
        heads: The outputs.

    Raises:
        ValueError: If the labels of several tasks are one array, or as many arrays
            as there are no tasks.
    """
    names = tasks(heads)
    if y is None:
        return {}
    listed = isinstance(y, (list, tuple)) and len(y) == len(names)
    if listed and not (len(names) == 1 and isinstance(y[0], Number)):  # of one row
        y = dict(zip(names, y, strict=True))
    elif not isinstance(y, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"Labels must be a dict by task, {names}, or a list in that order. "
                f"Received: {len(y) if isinstance(y, (list, tuple)) else 'one array'}"
            )
        y = {names[0]: y}
    if LOGIT in heads and names[0] in y:
        y = {LOGIT: y[names[0]], **y}
    return {name: y[name] for name in heads if name in y}


def labels_of_tasks(y: Any, heads: Heads) -> dict[str, Any]:
    """Returns what `labels_by_output` does, without those of a task's logit."""
    names = tasks(heads)
    found = labels_by_output(y, heads)
    return {n: each for n, each in found.items() if n in names or n != LOGIT}


def without_missing(label: Any) -> tuple[Any, Any]:
    """Replaces NaN in labels.

    Args:
        label: `(batch,)`, `(batch, 1)` or `(batch, classes)`.

    Returns:
        The labels, with at least two axes and 0 for NaN; and where they were not
        NaN, `(batch,)` float32, or `None` for integer labels.
    """
    label = ops.convert_to_tensor(label)
    if getattr(label.shape, "rank", 0) is None:  # batches came with and without axis 1
        label = ops.reshape(label, (-1, 1))
    if len(label.shape) == 1:
        label = ops.expand_dims(label, -1)
    if not keras.backend.is_float_dtype(label.dtype):
        return label, None
    missing = ops.isnan(label)
    present = ops.logical_not(ops.any(missing, axis=-1))
    return ops.where(missing, 0, label), ops.cast(present, "float32")


def weight_of(sample_weight: Any, name: str, heads: Heads) -> Any:
    """Returns the sample weights of one output, `(batch,)`, or `None`.

    As with labels, the logit of a task has those of the task.
    """
    if isinstance(sample_weight, Mapping):
        sample_weight = labels_by_output(sample_weight, heads).get(name)
    if sample_weight is None:
        return None
    weight = ops.cast(sample_weight, "float32")
    if getattr(weight.shape, "rank", 0) is None:  # as with labels
        return ops.reshape(weight, (-1,))
    return ops.squeeze(weight, -1) if len(weight.shape) == 2 else weight


def masked(weight: Any, present: Any) -> Any:
    """Returns weight times presence; `None` stands for ones."""
    if weight is None or present is None:
        return present if weight is None else weight
    return weight * present


def per_valid_row(weight: Any, present: Any) -> Any:
    """Returns weights with which a mean over the batch is one over valid rows."""
    if present is None:
        return weight
    rows = ops.cast(ops.shape(present)[0], "float32")
    valid = ops.maximum(ops.sum(present), 1.0)
    return masked(weight, present) * (rows / valid)


def is_mean_over_rows(loss: Any) -> bool:
    """Whether a loss divides a batch's sum by its rows, and so is given what mends it.

    Others are sums, divide by the weights, or are joint ones, which know better.
    """
    reduction = getattr(loss, "reduction", "mean")
    mean = reduction in ("mean", "sum_over_batch_size")
    return mean and not getattr(loss, "joint", False)


def counted(loss: Any, rows: Any, valid: Any, weight: Any) -> Any:
    """Returns by how much a batch's value of a loss counts in a mean over batches.

    Args:
        loss: The loss.
        rows: Rows of the batch.
        valid: Those of them that have a label.
        weight: Their weights, `(batch,)`, or `None` for ones.
    """
    reduction = getattr(loss, "reduction", "mean")
    if reduction == "sum":
        return rows
    by_weight = reduction == "mean_with_sample_weight" and weight is not None
    return ops.sum(weight) if by_weight else valid


def check_names(what: str, names: Sequence[str], labels: Mapping[str, Any]) -> None:
    """Raises `ValueError` if an output has no labels."""
    for name in names:
        if name not in labels:
            raise ValueError(
                f"The labels of {name!r} are missing, which {what} needs. "
                f"Received: labels {sorted(labels)}"
            )
