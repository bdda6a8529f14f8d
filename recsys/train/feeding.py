"""Rows that a user feeds a model: checked, and in the form that Keras takes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from recsys.data.reader import as_columns, fingerprint_of, is_frame
from recsys.feature._arrays import as_array
from recsys.feature._names import nearest
from recsys.train import class_weights, routing
from recsys.train.columns import (
    ColumnSpec,
    check_columns,
    check_groups,
    check_labels,
    check_positives,
    check_weights,
)


@dataclass(frozen=True)
class Reads:
    """What a model reads, and what its loss and metrics need besides.

    Attributes:
        columns: The model's inputs.
        heads: Its outputs.
        losses: Outputs that have a loss.
        groups: Columns that metrics and losses group by.
        of_losses: Columns that loss layers read, e.g. what weighs the rows.
        weights: Those of them that weigh rows.
        positives: Whether every row is a positive, and nothing reads labels.
        capacities: Rows that each exact metric holds, by name.
        fingerprints: Those of the pipelines whose fields the model was built from.
        classes: What weighs rows by their label, if that is how they are weighed.
    """

    columns: Mapping[str, ColumnSpec]
    heads: routing.Heads
    losses: Collection[str]
    groups: set[str]
    of_losses: Mapping[str, ColumnSpec]
    weights: Collection[str]
    positives: bool
    capacities: Mapping[str, int]
    fingerprints: Collection[str]
    classes: Mapping[int, float] | None = None


@dataclass(frozen=True)
class Rows:
    """Columns that are read, and labels and weights by output, as they came.

    Integers of those in `ids`, which losses or metrics read, are not rounded.
    """

    count: int
    columns: Mapping[str, NDArray[Any]]
    ids: Collection[str] = ()
    labels: Mapping[str, NDArray[Any]] | None = None
    weights: Mapping[str, NDArray[Any]] | NDArray[Any] | None = None


def checked(
    reads: Reads,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    for_loss: bool,
    values: bool = True,
) -> Rows:
    """Returns rows after checks, of a batch or of all there are.

    Args:
        reads: What the model reads of them.
        x: Columns by name, or a frame.
        y: Labels, as `routing.labels_by_output` takes them, or a frame.
        sample_weight: One array, or one by task.
        for_loss: Whether there is more to be done than to predict.
        values: Whether to look at more than shapes and types.

    Raises:
        ValueError: If the model would not take a column, label or weight as it is.
    """
    read = {**reads.columns, **(reads.of_losses if for_loss else {})}
    columns = as_columns(x, {*read, *(reads.groups if for_loss else ())})
    check_columns(read, columns, values)
    count = len(columns[next(iter(reads.columns))])
    labels, weights, ids = None, None, set[str]()
    if for_loss:
        if values and reads.positives and y is not None:
            check_positives(as_columns(y if is_frame(y) else {"y": y}))
        labels, weights = _labels(reads, y, sample_weight, count, values)
        ids = reads.of_losses.keys() - reads.weights
        if labels:
            check_groups(reads.groups, columns, count)
            ids |= reads.groups
        for name in reads.weights:
            whose = f"Column {name!r}, which weighs rows,"
            check_weights(whose, columns[name], count, values)
        _check_capacity(reads, count)
    kept = {n: columns[n] for n in columns if n in read or n in ids}
    return Rows(count, kept, ids, labels, weights)


def as_fed(reads: Reads, rows: Rows) -> tuple[Any, ...]:
    """Returns columns, labels and weights, those that there are, as Keras takes them.

    Args:
        reads: What the model reads of them.
        rows: What `checked` returned.
    """
    x = {}
    for name, column in rows.columns.items():
        spec = reads.columns.get(name)
        # Ids may have come as float64 and be above 2^24.
        if spec is not None and spec.ids:
            column = column.astype("int32", copy=False)
        else:
            column = _narrow(column, as_ids=name in rows.ids)
        if spec is not None and spec.shape is not None:
            column = column.reshape(len(column), *spec.shape)  # an axis of 1 or none
        x[name] = column
    y = rows.labels and {name: _upright(each) for name, each in rows.labels.items()}
    fed = (x, y) if y is not None else (x,)
    if rows.weights is None:
        return fed
    return *fed, keras.tree.map_structure(_flat, rows.weights)


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


def _labels(
    reads: Reads, y: Any, sample_weight: Any, rows: int, values: bool
) -> tuple[dict[str, NDArray[Any]] | None, Any]:
    """Returns labels and weights by output, `None` if there are none."""
    if reads.classes is not None and y is None:
        raise ValueError("class_weight needs labels. Received: y=None")
    if reads.classes is not None and sample_weight is not None:
        raise ValueError(
            "class_weight and sample_weight must not be given together; multiply the "
            "weights of rows. Received: both"
        )
    if y is None:
        if reads.losses:
            raise ValueError(
                f"Labels of {', '.join(map(repr, reads.losses))} must be given, as y "
                "or in each batch of a dataset, (x, y). Received: none"
            )
        if sample_weight is not None:
            raise ValueError(
                "sample_weight must come with labels, which it weighs; a match model "
                "takes weights as a column of x. Received: y=None"
            )
        return None, None
    names = routing.tasks(reads.heads)
    y = as_columns(y, reads.heads) if is_frame(y) else y
    listed = isinstance(y, (list, tuple)) and np.ndim(y[:1]) < 3  # not of one array
    if rows == 1 and len(names) == 1 and listed:
        y = {names[0]: y}  # of classes it may be a list of one label for each
    found = routing.labels_of_tasks(y, reads.heads)
    given = y if isinstance(y, Mapping) else found  # also those of no output
    needed = [n for n in names if n in reads.losses or reads.classes is not None]
    routing.check_names("the model", needed, given)
    labels = as_columns(found)
    check_labels(labels, reads.heads, rows, values)
    if reads.classes is not None:
        return labels, class_weights.of_rows(labels, reads.classes)
    if sample_weight is None:
        return labels, None
    if not is_frame(sample_weight):
        weight = as_array("sample_weight", sample_weight)
        check_weights("sample_weight", weight, rows, values)
        return labels, weight
    weights = as_columns(sample_weight)
    for name, weight in weights.items():
        if name not in labels:
            raise ValueError(
                "sample_weight must be keyed by tasks that have labels: "
                f"{nearest(name, labels)}. Received: {name!r}"
            )
        check_weights(f"sample_weight of task {name!r}", weight, rows, values)
    return labels, {name: weights.get(name, np.ones(rows)) for name in labels}


def _check_capacity(reads: Reads, rows: int) -> None:
    """Raises before the first step what an exact metric would at the end."""
    for name, capacity in reads.capacities.items():
        if rows > capacity:
            raise ValueError(
                f"Metric {name!r} holds capacity={capacity} rows: pass a larger "
                f"capacity. Received: {rows} rows"
            )


def _upright(label: NDArray[Any]) -> NDArray[Any]:
    """As `(rows, 1)`: one shape for all, lest Keras compiles for unknown ranks."""
    array = label.astype("float32") if label.dtype == "float64" else label
    return array[:, None] if array.ndim == 1 else array


def _flat(weight: NDArray[Any]) -> NDArray[Any]:
    return weight.astype("float32").reshape(-1)


def _narrow(column: NDArray[Any], as_ids: bool = False) -> NDArray[Any]:
    """Of the one type that all batches have: they may be read as the first one is."""
    ids = as_ids and column.dtype.kind in "iu"
    return column.astype("int64" if ids else "float32", copy=False)
