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
from recsys.train import routing
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


@dataclass(frozen=True)
class Rows:
    """Columns, and labels and weights by output, as they came."""

    count: int
    columns: Mapping[str, NDArray[Any]]
    labels: Mapping[str, NDArray[Any]] | None = None
    weights: Mapping[str, NDArray[Any]] | NDArray[Any] | None = None


def checked(
    reads: Reads, x: Any, y: Any = None, sample_weight: Any = None, *, for_loss: bool
) -> Rows:
    """Returns rows after checks, of a batch or of all there are.

    Args:
        reads: What the model reads of them.
        x: Columns by name, or a frame.
        y: Labels, as `routing.labels_by_output` takes them, or a frame.
        sample_weight: One array, or one by task.
        for_loss: Whether there is more to be done than to predict.

    Raises:
        ValueError: If the model would not take a column, label or weight as it is.
    """
    columns = as_columns(x)
    check_columns({**reads.columns, **(reads.of_losses if for_loss else {})}, columns)
    count = len(columns[next(iter(reads.columns))])
    if not for_loss:
        return Rows(count, columns)
    if reads.positives and y is not None:
        check_positives(as_columns(y if is_frame(y) else {"y": y}))
    labels, weights = _labels(reads, y, sample_weight, count)
    if labels:
        check_groups(reads.groups, columns, count)
    for name in reads.weights:
        check_weights(f"Column {name!r}, which weighs rows,", columns[name], count)
    _check_capacity(reads, count)
    return Rows(count, columns, labels, weights)


def as_fed(reads: Reads, rows: Rows) -> tuple[Any, ...]:
    """Returns columns, labels and weights, those that there are, as Keras takes them.

    Args:
        reads: What the model reads of them.
        rows: What `checked` returned.
    """
    keep = set(reads.columns)
    if rows.labels is not None:
        keep |= reads.groups
    x = {
        name: _as_input(reads.columns[name], column)
        if name in reads.columns
        else _narrow(column)
        for name, column in rows.columns.items()
        if name in keep | reads.of_losses.keys()
    }
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
    reads: Reads, y: Any, sample_weight: Any, rows: int
) -> tuple[dict[str, NDArray[Any]] | None, Any]:
    """Returns labels and weights by output, `None` if there are none."""
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
    y = as_columns(y) if is_frame(y) else y
    found = routing.labels_of_tasks(y, reads.heads)
    given = y if isinstance(y, Mapping) else found  # also those of no output
    routing.check_names("the model", [n for n in names if n in reads.losses], given)
    labels = as_columns(found)
    check_labels(labels, reads.heads, rows)
    if sample_weight is None:
        return labels, None
    if not is_frame(sample_weight):
        weight = as_array("sample_weight", sample_weight)
        check_weights("sample_weight", weight, rows)
        return labels, weight
    weights = as_columns(sample_weight)
    for name, weight in weights.items():
        if name not in labels:
            raise ValueError(
                "sample_weight must be keyed by tasks that have labels: "
                f"{nearest(name, labels)}. Received: {name!r}"
            )
        check_weights(f"sample_weight of task {name!r}", weight, rows)
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
    array = _narrow(label)
    return array[:, None] if array.ndim == 1 else array


def _as_input(wanted: ColumnSpec, column: NDArray[Any]) -> NDArray[Any]:
    """As the input has it; ids may have come as float64 and be above 2^24."""
    column = column.astype("int32", copy=False) if wanted.ids else _narrow(column)
    if wanted.shape is None or column.shape[1:] == wanted.shape:
        return column
    return column.reshape(len(column), *wanted.shape)  # with or without an axis of 1


def _flat(weight: NDArray[Any]) -> NDArray[Any]:
    return weight.astype("float32").reshape(-1)


def _narrow(column: NDArray[Any]) -> NDArray[Any]:
    """Four bytes a number."""
    return column.astype("float32") if column.dtype == "float64" else column
