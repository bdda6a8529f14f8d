"""Types of columns, and the smallest that holds the values of several."""

from collections.abc import Collection, Mapping
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa

EXACT = 2**53  # doubles hold all integers below


MOST_DIGITS = 38  # of a decimal


Types = Mapping[str, dt.DataType]


def arrow_types(schema: pa.Schema, columns: Collection[str], who: str) -> Types:
    """Returns the types of some columns, those that are there.

    Args:
        schema: Schema of Arrow.
        columns: Their names.
        who: Begins an error.

    Raises:
        ValueError: If engines do not have the type of a column.
    """
    types = {}
    for name in columns:
        if name in schema.names:
            found = schema.field(name).type
            try:
                types[name] = plain(dt.DataType.from_pyarrow(found))
            except Exception as error:  # Ibis has several for what it does not know
                raise ValueError(
                    f"{who} {name!r} must be of a type that engines have. "
                    f"Received: {found}"
                ) from error
    return types


def as_read(value: Any) -> Any:
    """Returns a column in a form that DuckDB does not see through.

    For a cast of a column of a CSV file it reads the text anew, as the other type: True
    is then no number, ` 7` as text has its blank, and a time has lost its zone.
    """
    return value.notnull().ifelse(value, ibis.null(value.type()))


def is_finite(value: Any) -> Any:
    """Returns whether a number is neither NaN nor infinite.

    DuckDB 2.0 takes `isnan`, and comparisons, of a parquet column to be what the
    column's smallest and largest value make them; those leave NaN out.
    """
    return value - value == 0


def is_number(value: Any) -> Any:
    """Returns whether a floating number is not NaN, as `is_finite` does it."""
    return is_finite(value) | value.isinf()


def zoned(types: Types) -> list[str]:
    """Returns the names of the columns of times with a zone."""
    return [n for n, dtype in types.items() if dtype.is_timestamp() and dtype.timezone]


def common_type(types: Collection[dt.DataType]) -> dt.DataType | None:
    """Returns the smallest type that holds all values of some types, if there is one.

    A double holds integers of 64 bits up to `EXACT` only. A date is no timestamp: its
    events would come before all others of the day.
    """
    kinds = [*({*types} - {dt.null})]
    if len(kinds) <= 1:
        return kinds[0] if kinds else dt.null
    if all(kind.is_array() for kind in kinds):
        inner = common_type([kind.value_type for kind in kinds])
        return None if inner is None else dt.Array(inner)
    if all(kind.is_integer() for kind in kinds):
        unsigned = [kind.nbytes for kind in kinds if kind.is_unsigned_integer()]
        signed = [kind.nbytes for kind in kinds if kind.is_signed_integer()]
        size = max(signed + [2 * size if signed else size for size in unsigned])
        name = f"{'int' if signed else 'uint'}{8 * size}"
        return None if size > 8 else dt.dtype(name)
    if all(kind.is_integer() or kind.is_floating() for kind in kinds):
        return dt.float64
    if all(kind.is_decimal() for kind in kinds):
        scale = max(kind.scale for kind in kinds)
        digits = scale + max(kind.precision - kind.scale for kind in kinds)
        return None if digits > MOST_DIGITS else dt.Decimal(digits, scale)
    if all(kind.is_timestamp() for kind in kinds):
        zones = {kind.timezone for kind in kinds}
        scale = max(kind.scale for kind in kinds)
        return dt.Timestamp(*zones, scale=scale) if len(zones) == 1 else None
    return None


def plain(dtype: dt.DataType) -> dt.DataType:
    """The type as engines have it, who know no halves and no lengths of lists."""
    if dtype.is_array():
        return dt.Array(plain(dtype.value_type))
    if dtype.is_decimal() and dtype.precision > MOST_DIGITS:
        raise TypeError(f"{dtype} is too wide")
    if dtype.is_timestamp():
        zone = None if dtype.timezone is None else "UTC"
        return dt.Timestamp(zone, scale=9 if dtype.scale == 9 else 6)
    return dt.float32 if dtype.is_float16() else dtype.copy(nullable=True)


def of_engines(dtype: dt.DataType) -> dt.DataType:
    """What engines have in place of a type."""
    if dtype.is_array():
        return dt.Array(of_engines(dtype.value_type))
    if dtype.is_null():
        return dt.float64  # as pandas has no values
    nanoseconds = dtype.is_timestamp() and dtype.scale == 9
    return dt.Timestamp(scale=9) if nanoseconds else dtype  # in UTC if with a zone


def element(dtype: dt.DataType) -> dt.DataType:
    return dtype.value_type if dtype.is_array() else dtype
