"""The types of raw columns that missing values hid."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import ibis
import pyarrow as pa

from recsys.data.files.types import is_finite, is_number
from recsys.data.layout import Selection
from recsys.data.raw import CATEGORIES, NUMBERS, TIMES, family_of, without_empty
from recsys.feature.schema.columns import (
    Bucketed,
    Hashed,
    MultiValue,
    Numeric,
    Vocabulary,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.vector import Vector


def settled(
    table: Any,
    part: Selection,
    families: Mapping[str, str],
    run: Callable[[Any], pa.Table],
    other: Any = None,
) -> Any:
    """Returns raw rows whose columns have the types that missing values hid.

    A column without any value has no type, or that of NaN; integers with a gap are
    floating in pandas. What is of a wrong type otherwise stays as it is.

    Args:
        table: The raw rows, or the event log of their histories.
        part: The columns, labels and groups that are to be made.
        families: As in `Fitted`; empty before `fit`.
        run: Evaluates an Ibis table.
        other: The one of both that `table` is not, if any.
    """
    wanted = {
        name: dtype
        for name, dtype in _types(table, part, families, other).items()
        if name in table.columns and not _is_like(table[name].type(), dtype)
    }
    counts: dict[str, Any] = {}
    for name in wanted:
        counts |= _counts_of(table[name], name)
    found = run(table.aggregate(**counts)).to_pylist()[0] if counts else {}
    settled = {}
    for name, dtype in wanted.items():
        if not found[f"{name}/values"]:
            settled[name] = _as_missing(table[name], dtype)
        elif "int64" in dtype and not found[f"{name}/fractions"]:
            settled[name] = _as_integers(table[name])
    return table.mutate(**settled)


def _types(
    table: Any, part: Selection, families: Mapping[str, str], other: Any
) -> dict[str, str]:
    """Raw column -> the Ibis type that its values should have."""
    columns = [*part.columns]
    histories = [column for column in columns if isinstance(column, History)]
    columns += [part.schema.column(name) for h in histories for name in h.of]
    types: dict[str, str] = {}
    for column in columns:
        if isinstance(column, (Vocabulary, Hashed)):
            kind = families.get(column.name)
            if kind is None and not _is_floating(table, column.source):
                continue  # `fit` is about to see it
            dtype = CATEGORIES[kind or "integer"]
            if isinstance(column, MultiValue):
                dtype = _list_type(table, column, column.source, dtype)
            types.setdefault(column.source, dtype)
    for history in histories:
        for source, kinds in ((history.user, CATEGORIES), (history.time, TIMES)):
            types.setdefault(source, _known_type([other, table], source, kinds))
    for source in part.groups.values():
        types.setdefault(source, _known_type([table], source, CATEGORIES))
    for column in columns:
        if isinstance(column, (Numeric, Bucketed)):
            types.setdefault(column.source, "float64")
        if isinstance(column, Vector):
            dtype = _list_type(table, column, column.source, "float64")
            types.setdefault(column.source, dtype)
        if isinstance(column, MultiValue) and column.weight:
            dtype = _list_type(table, column, column.weight, "float64")
            types.setdefault(column.weight, dtype)
    for label in part.labels:
        types.setdefault(label.source, "float64")
    if part.sample_weight:
        types.setdefault(part.sample_weight, "float64")
    return types


def _known_type(tables: Sequence[Any], source: str, kinds: Collection[str]) -> str:
    """The type of a raw column in the first table where it has one of some kinds."""
    for table in tables:
        if table is not None and source in table.columns:
            kind = family_of(table[source].type())
            if kind in kinds:
                known = {"integer": "int64", "floating": "float64"}
                return known.get(kind, str(table[source].type().copy(nullable=True)))
    return "int64"


def _is_floating(table: Any, source: str) -> bool:
    dtype = table[source].type() if source in table.columns else None
    dtype = dtype.value_type if dtype is not None and dtype.is_array() else dtype
    return dtype is not None and bool(dtype.is_floating())


def _list_type(table: Any, column: MultiValue | Vector, source: str, dtype: str) -> str:
    """The type of a raw column of lists, or of strings that hold them."""
    lists = source in table.columns and table[source].type().is_array()
    return f"array<{dtype}>" if lists or column.separator is None else "string"


def _is_like(dtype: Any, wanted: str) -> bool:
    """Whether a column of a type can be cast to another without a look at it."""
    like = ibis.dtype(wanted)
    if dtype.is_array() and like.is_array():
        return _is_like(dtype.value_type, str(like.value_type))
    if like.is_floating() and family_of(dtype) in NUMBERS:
        return True
    return family_of(dtype) == family_of(like)


def _counts_of(column: Any, name: str) -> dict[str, Any]:
    """How many values a column has, and how many of them are no exact integers."""

    def known(value: Any) -> Any:
        if value.type().is_floating():
            return is_number(value)
        return without_empty(value).notnull()

    def broken(value: Any) -> Any:
        if not value.type().is_floating():
            return known(value)
        return known(value) & ~((value % 1 == 0) & (value.abs() < 2.0**53))

    counts = {"values": known, "fractions": broken}
    if column.type().is_array():
        return {
            f"{name}/{what}": column.filter(which).length().sum()
            for what, which in counts.items()
        }
    return {f"{name}/{what}": which(column).sum() for what, which in counts.items()}


def _as_integers(column: Any) -> Any:
    def whole(value: Any) -> Any:
        return is_finite(value).ifelse(value, ibis.null("float64")).cast("int64")

    return column.map(whole) if column.type().is_array() else whole(column)


def _as_missing(column: Any, dtype: str) -> Any:
    """A column of a type and without values; lists keep their lengths."""
    if not (column.type().is_array() and ibis.dtype(dtype).is_array()):
        return ibis.null(dtype)
    missing = ibis.null(ibis.dtype(dtype).value_type)
    return column.map(lambda value: value.isnull().ifelse(missing, missing))
