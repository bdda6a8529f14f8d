"""The columns of the model input as arrays: which there are, how they are packed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.feature.schema.columns import Column, Label, MultiValue, Numeric
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.feature.schema.vector import Vector

Kind = Literal["int32", "float32"]
KINDS = get_args(Kind)
ROW = "//row"  # of which row of the data something is


@dataclass(frozen=True)
class Slot:
    """One column: `(rows, *shape)`, lists padded with 0."""

    name: str
    kind: Kind
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Numbers per row."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Selection:
    """What is to be made of a schema: all of it, or a part.

    Args:
        schema: The schema.
        columns: Columns of the schema.
        labels: Labels of the schema.
        sample_weight: Raw column of the sample weights.
        groups: Name of the key -> raw column.
    """

    schema: Schema
    columns: Sequence[Column]
    labels: Sequence[Label] = ()
    sample_weight: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema, labels: bool = True) -> "Selection":
        """Returns all of a schema, or all that is there when labels are not known."""
        if labels or not schema.labels:
            weight = schema.sample_weight
            return cls(schema, schema.columns, schema.labels, weight, schema.groups)
        return cls(schema, schema.columns, groups=schema.groups)

    @property
    def slots(self) -> list[Slot]:
        """The columns it becomes: inputs, groups, labels, sample weight."""
        slots: list[Slot] = []
        for column in self.columns:
            if isinstance(column, MultiValue):
                kinds: tuple[Kind, ...] = ("int32", "float32")  # ids, weights
                for name, kind in zip(column.outputs, kinds, strict=False):
                    slots.append(Slot(name, kind, (column.length,)))
            elif isinstance(column, History):
                for name in column.outputs:
                    of = self.schema.column(column.attributes.get(name, column.name))
                    values = (of.length,) if isinstance(of, MultiValue) else ()
                    slots.append(Slot(name, "int32", (column.length, *values)))
            elif isinstance(column, Vector):
                slots.append(Slot(column.name, "float32", (column.length,)))
            else:
                numeric = isinstance(column, Numeric)
                slots.append(Slot(column.name, "float32" if numeric else "int32"))
        slots += [Slot(key, "int32") for key in self.groups]
        slots += [Slot(label.name, "float32") for label in self.labels]
        slots += [Slot("sample_weight", "float32")] if self.sample_weight else []
        return slots


def by_row(table: pa.Table) -> pa.Table:
    """Returns a table in the order of its column `ROW`, without it.

    An engine that keeps the order by itself need not be asked to sort.
    """
    rows = table[ROW].to_numpy()
    table = table.drop([ROW])
    return table if (rows[1:] > rows[:-1]).all() else table.take(np.argsort(rows))


def room(num_rows: int, slots: Sequence[Slot]) -> dict[str, np.ndarray]:
    """Returns an array for each column, not yet filled."""
    return {slot.name: np.empty((num_rows, *slot.shape), slot.kind) for slot in slots}


def packed_room(
    num_rows: int, slots: Sequence[Slot]
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """Returns the same with columns that stand side by side, as in `side_by_side`.

    Returns:
        The integer matrix and the floating one; and the columns, parts of them.
    """
    columns: dict[str, np.ndarray] = {}

    def of(kind: Kind) -> np.ndarray:
        here = [slot for slot in slots if slot.kind == kind]
        matrix = np.empty((num_rows, sum(slot.width for slot in here)), kind)
        start = 0
        for slot in here:
            part = matrix[:, start : start + slot.width]
            columns[slot.name] = part.reshape(num_rows, *slot.shape)
            start += slot.width
        return matrix

    return (of("int32"), of("float32")), columns


def fill(
    columns: Mapping[str, np.ndarray], table: pa.Table, slots: Sequence[Slot]
) -> None:
    """Writes the columns that an Arrow table has.

    Nulls become NaN, but 0 in lists, which are padded.
    """
    for slot in slots:
        if slot.name in table.column_names:
            columns[slot.name][:] = _to_column(table[slot.name], slot.kind, slot.shape)


def side_by_side(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Returns arrays of one type as one matrix, `(rows, sum of widths)`.

    A row is then one piece of memory: to gather shuffled rows costs one cache miss for
    each row instead of one for each number.
    """
    flat = [array.reshape(len(array), -1) for array in arrays]
    return np.concatenate(flat, axis=1)


def apart(matrix: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Returns the tensors, `(rows, *shape)`, that stand side by side in another."""
    import tensorflow as tf

    if not shapes:
        return []
    parts = tf.split(matrix, [math.prod(shape) for shape in shapes], axis=1)
    return [
        tf.reshape(part, (-1, *shape))
        for part, shape in zip(parts, shapes, strict=True)
    ]


def _to_column(
    column: pa.ChunkedArray, kind: Kind, shape: tuple[int, ...]
) -> np.ndarray:
    if not shape:
        plain: np.ndarray = column.to_numpy()
        return plain.astype(kind, copy=False)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    flat, inner = pc.list_flatten(column), shape[1:]
    values = _to_column(flat, kind, inner) if inner else flat.to_numpy()
    row = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(values)) - np.repeat(lengths.cumsum() - lengths, lengths)
    padded = np.zeros((len(lengths), *shape), kind)
    if kind == "float32":
        values = np.where(np.isfinite(values), values, 0)
    padded[row, place] = values
    return padded
