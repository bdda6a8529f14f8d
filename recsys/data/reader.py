"""Frames of any kind as Arrow tables and as NumPy columns."""

import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.feature._arrays import unmasked

FINGERPRINT = "recsys_fingerprint"
"""Where data says which fitted pipeline made it: a dataset as an attribute of that
name, an Arrow table in its metadata."""
ROWS = "recsys_rows"
"""Where a parquet part of model input says how many rows there are in all parts."""


def fingerprint_of(data: Any) -> str | None:
    """Returns the fingerprint of the fitted pipeline that made some data, if known."""
    if isinstance(data, pa.Table):
        found = (data.schema.metadata or {}).get(FINGERPRINT.encode())
        return None if found is None else found.decode()
    return getattr(data, FINGERPRINT, None) if not is_frame(data) else None


def as_columns(
    frame: Any, only: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Returns the columns of a frame as raw arrays, nothing filled or rounded.

    Missing numbers become NaN, so an integer column with gaps becomes floating. What a
    NumPy array masks is missing.

    Args:
        frame: A pandas, polars or Arrow table, a mapping of names to arrays, or a list
            of rows, each a dict. List columns must hold lists of one length.
        only: Columns to read, if not all: of the others, of whatever form, the array is
            empty.

    Returns:
        Name -> `(rows,)`, or `(rows, length)` for a list column.

    Raises:
        ValueError: If two columns have the same name, a name is no string, or the lists
            of a column differ in length.

    Example:
    >>> as_columns(pa.table({"user": [7, 8], "clicked": [[1, 2], [3, 0]]}))
    {'user': array([7, 8]), 'clicked': array([[1, 2], [3, 0]])}
    """
    if is_rows(frame):
        frame = _turned(frame)
    unread = np.empty(0)
    if isinstance(frame, Mapping):
        _refuse_other_names(frame)
        return {
            name: _as_array(name, values) if only is None or name in only else unread
            for name, values in frame.items()
        }
    found = {}
    objects = type(frame).__module__.partition(".")[0] in ("pandas", "polars")
    if only is not None and objects:  # of which Arrow need not know
        found = dict.fromkeys(map(str, frame.columns), unread)
        frame = frame[[name for name in frame.columns if name in only]]
    table = as_arrow(frame)
    for name, column in zip(table.column_names, table.columns, strict=True):
        read = only is None or name in only
        found[name] = _to_numpy(name, column.combine_chunks()) if read else unread
    return found


def is_frame(data: Any) -> bool:
    """Whether `as_columns` takes it: a table of some kind, a mapping, or rows."""
    pandas = type(data).__module__.partition(".")[0] == "pandas"
    return (
        isinstance(data, Mapping)
        or is_rows(data)
        or (pandas and hasattr(data, "columns"))
        or (hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns"))
    )


def is_rows(data: Any) -> bool:
    """Whether data is a list of rows: dicts from names to values."""
    listed = isinstance(data, (list, tuple)) and len(data) > 0
    return listed and all(isinstance(row, Mapping) for row in data)


def as_arrow(frame: Any) -> pa.Table:
    """Returns a frame as an Arrow table of types that all engines have.

    Categories are written out, float16 is float32, and what is always missing is a
    number. What a NumPy array masks is missing.

    Args:
        frame: A pandas, polars or Arrow table, a mapping of names to arrays or lists,
            or a list of rows, each a dict; what a row has not is missing.

    Raises:
        TypeError: If it is none of them.
        ValueError: If two columns have the same name, a name is no string, or a column
            has no one type.
    """
    columns = hasattr(frame, "columns")  # a series has none
    if is_rows(frame):
        frame = _turned(frame)
    if isinstance(frame, Mapping):
        table = _from_mapping(frame)
    elif type(frame).__module__.partition(".")[0] == "pandas" and columns:
        refuse_duplicates(frame.columns, "The frame")
        table = _converted(frame, _from_pandas)
        for name, dtype in frame.dtypes.items():
            if dtype.kind == "O":
                _refuse_some_zones(name, frame[name], table[str(name)].type)
    elif hasattr(frame, "to_arrow") and columns:
        # polars; its stream has types Arrow cannot cast
        table = _converted(frame, lambda part: part.to_arrow())
    elif hasattr(frame, "__arrow_c_stream__") and not hasattr(frame, "dtype"):
        table = pa.table(frame)
    else:
        raise TypeError(
            "Data must be a pandas, polars or Arrow table, an Ibis table, a mapping of "
            "names to arrays, a list of dicts, or paths of files. "
            f"Received: {type(frame)}"
        )
    refuse_duplicates(table.column_names, "The frame")
    named = zip(table.column_names, table.columns, strict=True)
    for place, (name, column) in enumerate(named):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        column = column.cast(_had(column.type))
        table = table.set_column(place, name, column)
    return table


def _from_pandas(frame: Any) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def _converted(frame: Any, convert: Callable[[Any], pa.Table]) -> pa.Table:
    """Converts a frame; an error names the column."""
    try:
        return convert(frame)
    except Exception:
        for name in frame.columns:
            try:
                convert(frame[[name]])
            except Exception as error:  # Arrow, pandas and polars have many
                text = " ".join(map(str, error.args))
                raise ValueError(
                    f"Column {name!r}: values must be of one type that Arrow has. "
                    f"Received: {text}"
                ) from error
        raise


def _had(dtype: pa.DataType) -> pa.DataType:
    """What DuckDB has in place of a type."""
    if pa.types.is_float16(dtype):
        return pa.float32()
    if pa.types.is_null(dtype):
        return pa.float64()  # as pandas has no values
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(_had(dtype.value_type), dtype.list_size)
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return pa.list_(_had(dtype.value_type))
    return dtype


def refuse_duplicates(names: Iterable[str], who: str) -> None:
    """Raises `ValueError` if two names are equal or differ in case only."""
    seen: dict[str, str] = {}
    for name in map(str, names):
        if name.lower() in seen:
            raise ValueError(
                f"{who} must have columns of different names, case aside. "
                f"Received: {seen[name.lower()]!r} and {name!r}"
            )
        seen[name.lower()] = name


def _refuse_other_names(frame: Mapping[Any, Any]) -> None:
    for name in frame:
        if not isinstance(name, str):
            raise ValueError(f"Names of columns must be strings. Received: {name!r}")


def _refuse_some_zones(name: str, values: Iterable[Any], dtype: pa.DataType) -> None:
    """Raises if times with and without a zone are one column; Arrow takes UTC."""
    if pa.types.is_timestamp(dtype):
        times = [v for v in values if isinstance(v, datetime.datetime) and v == v]
        if len({time.tzinfo is None for time in times}) > 1:
            raise ValueError(
                f"Column {name!r}: times must all have a zone, or none. "
                "Received: some with, some without"
            )


def _turned(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """From rows to columns."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _from_mapping(frame: Mapping[str, Any]) -> pa.Table:
    _refuse_other_names(frame)
    columns = {name: _to_arrow(name, values) for name, values in frame.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len({*lengths.values()}) > 1:
        raise ValueError(f"All columns must have as many rows. Received: {lengths}")
    return pa.table(columns)


def _to_arrow(name: str, values: Any) -> pa.Array:
    listed = isinstance(values, (list, tuple))
    masked = np.ma.isMaskedArray(values)
    array = np.empty(0) if listed else values if masked else np.asarray(values)
    if not listed and not array.ndim:
        raise ValueError(
            f"Column {name!r}: values must be an array or a list. Received: {values!r}"
        )
    try:
        if all(array.shape) and array.dtype != object:
            return _from_numpy(array)
        # NumPy would write 1 and NaN out where they stand among strings.
        rows = unmasked(values)
        lists = [v.tolist() if isinstance(v, np.ndarray) else v for v in rows]
        column = pa.array(lists, from_pandas=True)
        _refuse_some_zones(name, lists, column.type)
        if pa.types.is_timestamp(column.type) and any(
            getattr(value, "nanosecond", 0) for value in values
        ):
            column = pa.array(lists, pa.timestamp("ns", column.type.tz))
        return column
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"Column {name!r}: values must be of one type. Received: {error}"
        ) from error


def _as_array(name: str, values: Any) -> np.ndarray:
    try:
        listed = isinstance(values, (list, tuple))
        if listed and any(np.ma.isMaskedArray(value) for value in values):
            return _to_numpy(name, _to_arrow(name, values))
        return np.asarray(unmasked(values))
    except ValueError as error:  # NumPy refuses ragged lists
        raise ValueError(
            f"Column {name!r}: lists must be of one length. Received: {error}"
        ) from error


def _from_numpy(array: np.ndarray) -> pa.Array:
    if array.ndim < 2:
        masked = np.ma.isMaskedArray(array)
        mask = np.ma.getmaskarray(array) if masked else None
        return pa.array(np.ma.getdata(array), mask=mask)
    return pa.FixedSizeListArray.from_arrays(
        _from_numpy(array.reshape(-1, *array.shape[2:])), array.shape[1]
    )


def _to_numpy(name: str, array: pa.Array) -> np.ndarray:
    if not (
        pa.types.is_list(array.type)
        or pa.types.is_large_list(array.type)
        or pa.types.is_fixed_size_list(array.type)
    ):
        plain: np.ndarray = array.to_numpy(zero_copy_only=False)
        return plain
    if array.null_count:
        raise ValueError(
            f"Column {name!r}: lists must not be missing. "
            f"Received: {array.null_count} missing of {len(array)}"
        )
    lengths = pc.list_value_length(array)
    shortest, longest = pc.min_max(lengths).values()
    if shortest != longest:
        raise ValueError(
            f"Column {name!r}: lists must be of one length. "
            f"Received: lengths {shortest} to {longest}"
        )
    values: np.ndarray = _to_numpy(name, pc.list_flatten(array))
    length = longest.as_py() or 0
    return values.reshape(len(array), length, *values.shape[1:])
