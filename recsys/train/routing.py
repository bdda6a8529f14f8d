"""Which loss, metric, label and weight belongs to which output.

Everything maps by the order in which a model's outputs were made. (Keras sorts them
by name, and swaps the losses of a list without a word.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers.heads import PredictLayer
from recsys.protocols import Divided, Grouped
from recsys.train.losses import PoissonOfLogits
from recsys.train.losses.joint import JointLoss
from recsys.types import Loss, Tensor, TensorLike

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


def takes_logits(loss_or_metric: Loss | keras.metrics.Metric) -> bool:
    """Whether a loss or metric is to be given logits in place of predictions."""
    own = getattr(loss_or_metric, "from_logits", None)
    if own is None and isinstance(loss_or_metric, keras.losses.Loss):
        own = loss_or_metric.get_config().get("from_logits")
    return bool(own)


def needed_columns(loss_or_metric: Any) -> dict[str, str]:
    """Columns of `x` that a loss or metric is given, by argument."""
    of = loss_or_metric
    columns = {
        "groups": of.group if isinstance(of, Grouped) else None,
        "by": of.by if isinstance(of, Divided) else None,
    }
    return {key: name for key, name in columns.items() if name is not None}


def second_of_two(seen: Tensor, head: PredictLayer | None, of_logits: bool) -> Tensor:
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
    if listed and (len(names) > 1 or np.ndim(y[0])):  # else it may be of one row
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


def without_missing(label: TensorLike) -> tuple[Tensor, Tensor | None]:
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


def weight_of(sample_weight: Any, name: str, heads: Heads) -> Tensor | None:
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


def masked(weight: Tensor | None, present: Tensor | None) -> Any:
    """Returns weight times presence; `None` stands for ones."""
    if weight is None or present is None:
        return present if weight is None else weight
    return weight * present


def per_valid_row(weight: Tensor | None, present: Tensor | None) -> Any:
    """Returns weights with which a mean over the batch is one over valid rows."""
    if present is None:
        return weight
    rows = ops.cast(ops.shape(present)[0], "float32")
    valid = ops.maximum(ops.sum(present), 1.0)
    return masked(weight, present) * (rows / valid)


def is_mean_over_rows(loss: Loss) -> bool:
    """Whether a loss divides a batch's sum by its rows, and so is given what mends it.

    Others are sums, divide by the weights, or are joint ones, which know better.
    """
    reduction = getattr(loss, "reduction", "mean")
    mean = reduction in ("mean", "sum_over_batch_size")
    return mean and not isinstance(loss, JointLoss)


def counted(loss: Loss, rows: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor:
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
    if reduction == "mean_with_sample_weight" and weight is not None:
        return ops.sum(weight)
    return valid


def check_names(what: str, names: Sequence[str], labels: Mapping[str, Any]) -> None:
    """Raises `ValueError` if an output has no labels."""
    for name in names:
        if name not in labels:
            raise ValueError(
                f"The labels of {name!r} are missing, which {what} needs. "
                f"Received: labels {sorted(labels)}"
            )
