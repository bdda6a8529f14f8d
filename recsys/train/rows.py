"""What a user feeds a model: checked, and in the form that Keras takes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from recsys.data.reader import as_columns, fingerprint_of, is_frame
from recsys.train import feed, routing
from recsys.train.columns import Column, check_columns, check_groups, check_labels


@dataclass(frozen=True)
class Needs:
    """What a model reads, and what its loss and metrics need besides.

    Attributes:
        columns: The model's inputs.
        heads: Its outputs.
        losses: Outputs that have a loss.
        groups: Columns that metrics and losses group by.
        of_losses: Columns that loss layers read, e.g. what weighs the rows.
        capacities: Rows that each exact metric holds, by name.
        fingerprints: Of the fitted pipelines whose fields the model was built from.
    """

    columns: Mapping[str, Column]
    heads: routing.Heads
    losses: Collection[str]
    groups: set[str]
    of_losses: Mapping[str, Column]
    capacities: Mapping[str, int]
    fingerprints: Collection[str]


def prepared(
    needs: Needs,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    validate: bool = False,
    for_loss: bool = True,
) -> tuple[Any, ...]:
    """Returns columns, labels and weights, those that there are, after checks.

    Args:
        needs: What the model needs of them.
        x: Columns by name, a frame, or a dataset; other things pass as they are.
        y: Labels, as `routing.labels_by_output` takes them, or a frame.
        sample_weight: One array, or one by task.
        validate: Whether to look at all batches of a dataset, not at the first only.
        for_loss: Whether there is more to be done than to predict.

    Raises:
        ValueError: If the model would not take a column, label or weight as it is, or
            the data is known to come from another pipeline than its fields.
    """
    check_fingerprint(needs.fingerprints, x)
    if is_dataset(x):
        if not getattr(x, "recsys_checked", False):
            with feed.looking(x):
                for batch in x if validate else x.take(1):
                    parts = batch if isinstance(batch, tuple) else (batch,)
                    prepared(needs, *map(_to_numpy, parts), for_loss=for_loss)
        elif for_loss and isinstance(x.element_spec, tuple):
            specs = x.element_spec[0].items()
            none = {n: np.empty(0, spec.dtype.as_numpy_dtype) for n, spec in specs}
            check_groups(needs.groups, none)
        return (feed.prompt(x) if keras.backend.backend() == "tensorflow" else x,)
    if not is_frame(x):  # a generator or data loader: nothing to look at yet
        return tuple(part for part in (x, y, sample_weight) if part is not None)
    columns, keep = as_columns(x), set(needs.columns)
    check_columns(needs.columns, columns)
    if for_loss:
        labels, sample_weight = _labels(needs, y, sample_weight)
        groups = needs.groups if labels else set()
        check_groups(groups, columns)
        check_columns(needs.of_losses, columns)
        _check_capacity(needs, len(next(iter(columns.values()))))
        keep |= groups | needs.of_losses.keys()
    else:
        labels = sample_weight = None
    x = {
        name: _as_input(needs.columns[name], column)
        if name in needs.columns
        else _narrow(column)
        for name, column in columns.items()
        if name in keep
    }
    return tuple(part for part in (x, labels, sample_weight) if part is not None)


def check_fingerprint(wanted: Collection[str], data: Any) -> None:
    """Raises `ValueError` if data says that it is of another fitted pipeline."""
    found = fingerprint_of(data)
    if wanted and found is not None and found not in wanted:
        raise ValueError(
            "Data must be made by the pipeline, and after the fit, whose fields() the "
            "model was built from: another fit gives values other ids. Build a new "
            "model from the fields of this one, or load the pipeline saved with the "
            f"model. Received: data of {found}, a model of {', '.join(wanted)}"
        )


def is_dataset(x: Any) -> bool:
    """Whether `x` is a `tf.data.Dataset`."""
    return hasattr(x, "element_spec") and hasattr(x, "take")


def check_class_weight(
    heads: routing.Heads, x: Any, sample_weight: Any, class_weight: Any
) -> None:
    """Raises `ValueError` unless `fit` can weigh the rows of one task by its labels.

    Args:
        heads: The outputs of the model.
        x: Columns, or a dataset.
        sample_weight: What else weighs the rows.
        class_weight: Weights by label.
    """
    if len(routing.tasks(heads)) > 1:
        raise ValueError(
            "class_weight needs a single task; weigh the rows of each by "
            f"sample_weight={{task: ...}}. Received: tasks {routing.tasks(heads)}"
        )
    numbers = (int, float, np.number)
    if not isinstance(class_weight, Mapping) or not all(
        isinstance(each, numbers) for pair in class_weight.items() for each in pair
    ):
        raise ValueError(
            "class_weight must be a dict of the weight of each label, as {0: 1.0, 1: "
            f"5.0}}. Received: class_weight={class_weight!r}"
        )
    spec = x.element_spec if is_dataset(x) else ()
    if sample_weight is not None or (isinstance(spec, tuple) and len(spec) > 2):
        raise ValueError(
            "class_weight and sample_weight must not be given together; multiply the "
            "weights of rows. Received: both"
        )
    if isinstance(spec, tuple) and len(spec) > 1 and isinstance(spec[1], Mapping):
        raise ValueError(
            "class_weight over a dataset needs labels that are one tensor; a dataset "
            "of (x, y, sample_weight) weighs others. Received: labels by name, "
            f"{[*spec[1]]}"
        )


def weights_of_classes(
    heads: routing.Heads, y: Any, class_weight: Mapping[int, float]
) -> NDArray[Any]:
    """Returns sample weights that are those of the labels' classes, `(rows,)`."""
    if isinstance(y, Mapping):
        routing.check_names("class_weight", routing.tasks(heads), y)
    label = np.asarray(next(iter(routing.labels_by_output(y, heads).values())))
    label = label.reshape(-1)
    weights = np.ones(len(label), "float32")
    for value, weight in class_weight.items():
        weights[label == value] = weight
    return weights


def _labels(needs: Needs, y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Returns labels and weights by task, `None` if there are none."""
    if y is None:
        if sample_weight is not None or needs.losses:
            raise ValueError(
                "This model is trained on labels, and sample_weight weighs them. "
                "Received: y=None (a match model takes weights as a column of x)"
            )
        return None, None
    names = routing.tasks(needs.heads)
    y = as_columns(y) if is_frame(y) else y
    labels = routing.labels_by_output(y, needs.heads)
    given = y if isinstance(y, Mapping) else labels  # also those of no output
    labels = {
        name: _upright(label)
        for name, label in labels.items()
        if name in names or name != routing.LOGIT
    }
    routing.check_names("the model", [n for n in names if n in needs.losses], given)
    check_labels(labels, needs.heads)
    if isinstance(sample_weight, Mapping):
        ones = np.ones(len(next(iter(labels.values()))), "float32")
        sample_weight = {name: sample_weight.get(name, ones) for name in labels}
    return labels, sample_weight


def _check_capacity(needs: Needs, rows: int) -> None:
    """Raises before the first step what an exact metric would at the end."""
    for name, capacity in needs.capacities.items():
        if rows > capacity:
            raise ValueError(
                f"Metric {name!r} holds capacity={capacity} rows: pass a larger "
                f"capacity. Received: {rows} rows"
            )


def _upright(label: Any) -> NDArray[Any]:
    """As `(rows, 1)`: one shape for all, lest Keras compiles for unknown ranks."""
    array = _narrow(np.asarray(label))
    return array[:, None] if array.ndim == 1 else array


def _as_input(wanted: Column, column: NDArray[Any]) -> NDArray[Any]:
    """As the input has it; ids may have come as float64 and be above 2^24."""
    column = column.astype("int32", copy=False) if wanted.ids else _narrow(column)
    if wanted.shape is None or column.shape[1:] == wanted.shape:
        return column
    return column.reshape(len(column), *wanted.shape)  # with or without an axis of 1


def _narrow(column: NDArray[Any]) -> NDArray[Any]:
    """Four bytes a number."""
    return column.astype("float32") if column.dtype == "float64" else column


def _to_numpy(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: _to_numpy(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_to_numpy(value) for value in part]
    return ops.convert_to_numpy(part)
