"""Raw columns: families of types, casts, and what must hold of values."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import ibis

from recsys.data.files.csv import FILLED
from recsys.data.files.types import is_finite
from recsys.data.history import TIME, USER, key
from recsys.feature._names import nearest
from recsys.feature.schema.columns import (
    LARGEST,
    Bucketed,
    Categorical,
    Column,
    Hashed,
    MultiValue,
    Numeric,
    RawColumn,
    Vocabulary,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.feature.schema.vector import Vector

CATEGORIES = {
    "integer": "int64",
    "string": "string",
    "boolean": "boolean",
    "date": "date",
}


NUMBERS = ("integer", "floating", "decimal", "boolean")


TIMES = ("integer", "floating", "decimal", "date", "timestamp")


def log1p(value: Any) -> Any:
    """Returns `sign(x) * log(1 + |x|)`."""
    return value.sign() * (value.abs() + 1).ln()


def who_is(declaration: Any) -> str:
    if isinstance(declaration, str):
        return declaration
    return f"{type(declaration).__name__} {declaration.name!r}"


def raw_value(table: Any, declaration: Any, source: str) -> Any:
    if source not in table.columns:
        raise ValueError(
            f"{who_is(declaration)}: the data must have a column {source!r}. "
            f"Received: {nearest(source, table.columns) or 'no columns'}"
        )
    return table[source]


def family_of(dtype: Any) -> str:
    for name in (*CATEGORIES, "floating", "decimal", "timestamp", "array"):
        if getattr(dtype, f"is_{name}")():
            return name
    return str(dtype)


def typed_value(
    table: Any, declaration: Any, source: str, wanted: Sequence[str] = NUMBERS
) -> Any:
    value = raw_value(table, declaration, source)
    if family_of(value.type()) not in wanted:
        raise ValueError(
            f"{who_is(declaration)}: raw column {source!r} must be of type "
            f"{', '.join(wanted)}. Received: {value.type()}"
        )
    return value


def as_category(
    table: Any, declaration: Any, source: str, empty_is_missing: bool = True
) -> Any:
    value = typed_value(table, declaration, source, tuple(CATEGORIES))
    value = value.cast(CATEGORIES[family_of(value.type())])
    return without_empty(value) if empty_is_missing else value


def without_empty(value: Any) -> Any:
    """Null for an empty string, in lists too: most files do not tell them apart."""
    if value.type().is_array():
        strings = value.type().value_type.is_string()
        return value.map(without_empty) if strings else value
    return value.nullif("") if value.type().is_string() else value


def as_number(table: Any, declaration: Any, source: str) -> Any:
    """The column as float64, null where it is not finite or beyond float32."""
    value = typed_value(table, declaration, source).cast("float64")
    good = is_finite(value) & value.between(-LARGEST, LARGEST)
    return good.ifelse(value, ibis.null("float64"))


def category_of(table: Any, column: RawColumn) -> tuple[Any, str]:
    """The values, or lists of values, of a column and their family."""
    if not isinstance(column, MultiValue):
        empty_is_missing = cast(Categorical | Hashed, column).empty_is_missing
        value = as_category(table, column, column.source, empty_is_missing)
        return value, family_of(value.type())
    if is_text(table, column):
        value = split_text(table[column.source], column.separator)
        return without_empty(value) if column.empty_is_missing else value, "string"
    value = typed_value(table, column, column.source, ["array"])
    element = family_of(value.type().value_type)
    if element not in CATEGORIES:
        raise ValueError(
            f"{who_is(column)}: raw column {column.source!r} must be of lists of type "
            f"{', '.join(CATEGORIES)}. Received: {value.type()}"
        )
    value = value.cast(f"array<{CATEGORIES[element]}>")
    return without_empty(value) if column.empty_is_missing else value, element


def as_weights(table: Any, column: MultiValue, source: str) -> dict[str, Any]:
    """The weights of the values, null where not finite; what is no number, if any."""
    text = ["string"] if column.separator else []
    value = typed_value(table, column, source, ["array", *text])
    if value.type().is_string():
        texts = without_empty(split_text(value, column.separator))
        value = texts.map(lambda each: each.try_cast("float64"))
        wrong = texts.filter(lambda e: e.notnull() & e.try_cast("float64").isnull())
        bad = {text_of(source): wrong[0]}
    elif family_of(value.type().value_type) in NUMBERS:
        value, bad = value.cast("array<float64>"), {}
    else:
        raise ValueError(
            f"{who_is(column)}: raw column {source!r} must be of lists of type "
            f"{', '.join(NUMBERS)}. Received: {value.type()}"
        )
    finite = value.map(lambda each: is_finite(each).ifelse(each, ibis.null("float64")))
    return {f"/{source}": finite, **bad}


def text_of(source: str) -> str:
    """Name of the column of the texts among weights that are no numbers."""
    return f"//text/{source}"


def such(table: Any, declaration: Any, where: Mapping[str, Any]) -> Any:
    """Whether raw columns have the values, or one of the values, that are wanted."""
    found: Any = ibis.literal(True)
    for source, wanted in where.items():
        value = raw_value(table, declaration, source)
        wanted = wanted if isinstance(wanted, list) else [wanted]
        check_where(declaration, source, value.type(), wanted)
        if value.type().is_string():
            value = value.fill_null("")  # as a CSV file has it
        if value.type().is_boolean():
            value = value.cast("int8")
        wanted = [int(v) if isinstance(v, bool) else v for v in wanted]
        found = found & value.isin(wanted).fill_null(False)
    return found


def check_where(
    declaration: Any, source: str, dtype: Any, wanted: Sequence[Any]
) -> None:
    """Raises if values cannot be those of a raw column."""
    family = family_of(dtype)
    kinds = {
        "string": (str,),
        "date": (datetime.date,),
        "timestamp": (datetime.datetime,),
        **dict.fromkeys(NUMBERS, (bool, int, float)),
    }.get(family, ())
    for value in wanted:
        good = isinstance(value, kinds)
        if isinstance(value, datetime.datetime):
            zoned = family == "timestamp" and dtype.timezone is not None
            good = family == "timestamp" and zoned == (value.tzinfo is not None)
        if not good:
            raise ValueError(
                f"{who_is(declaration)}: where must have values of the type of raw "
                f"column {source!r}, {dtype}. Received: {value!r}"
            )


def is_text(table: Any, column: RawColumn) -> bool:
    """Whether the values of a column are delimited in a string."""
    value = raw_value(table, column, column.source)
    separated = isinstance(column, MultiValue) and column.separator is not None
    return separated and bool(value.type().is_string())


def split_text(value: Any, separator: str | None) -> Any:
    # Some engines read any separator as a pattern, so all of them are given one.
    return value.nullif("").re_split(re.escape(separator or ""))


def kept_values(values: Any, column: MultiValue) -> Any:
    """The first `length` values of a list, the last of a history."""
    if column.belong == "history":
        return values[ibis.greatest(values.length() - column.length, 0) :]
    return values[: column.length]


def as_time(table: Any, declaration: Any, source: str) -> Any:
    """A raw column of times in one of five types, null where it is not finite."""
    time = typed_value(table, declaration, source, TIMES)
    kind = family_of(time.type())
    if kind == "floating":
        time = time.cast("float64")
        time = is_finite(time).ifelse(time, ibis.null("float64"))
    elif kind == "decimal":
        time = time.cast("decimal(38, 12)")
    elif kind == "integer":
        time = time.cast("int64")
    elif kind == "timestamp":
        time = time.cast(f"timestamp({9 if time.type().scale == 9 else 6})")
    return time


def user_and_time(table: Any, history: History) -> dict[str, Any]:
    user = as_category(table, history, history.user)
    time = as_time(table, history, history.time)
    return {key(history, USER): user, key(history, TIME): time}


def raw_columns(
    schema: Schema, columns: Sequence[Column], families: Mapping[str, str]
) -> dict[str, str]:
    """Returns what is read of files: the raw columns, as `read_files` wants them.

    Args:
        schema: The columns, labels and groups.
        columns: Columns of the schema that are to be made.
        families: As in `Fitted`; empty before `fit`.
    """
    histories = [column for column in columns if isinstance(column, History)]
    attributes = [schema.column(name) for h in histories for name in h.of]
    raw: dict[str, str] = {}
    for column in (*columns, *attributes):
        if isinstance(column, (Numeric, Bucketed)):
            raw.setdefault(column.source, "float64")
        elif isinstance(column, Vector):
            raw.setdefault(column.source, "string" if column.separator else "")
        elif isinstance(column, MultiValue) and column.separator:
            raw |= dict.fromkeys(filter(None, (column.source, column.weight)), "string")
        elif isinstance(column, (Vocabulary, Hashed)):
            kind = families.get(column.name)
            if kind in (None, "string") and not column.empty_is_missing:
                raw[column.source] = FILLED
            raw.setdefault(column.source, CATEGORIES[kind] if kind else "")
        if isinstance(column, MultiValue) and column.weight:
            raw.setdefault(column.weight, "")
    for label in schema.labels:
        raw.setdefault(label.source, "float64")
    if schema.sample_weight:
        raw.setdefault(schema.sample_weight, "float64")
    # What is no number to all that read it, is not read as one.
    others = [name for h in histories for name in (h.user, h.time, *h.where)]
    ids = (Categorical, Hashed)
    others += [c.source for c in (*columns, *attributes) if isinstance(c, ids)]
    for name in (*others, *schema.groups.values()):
        if raw.get(name, "float64") == "float64":
            raw[name] = ""
    for name, wanted in ((n, w) for h in histories for n, w in h.where.items()):
        texts = wanted if isinstance(wanted, list) else [wanted]
        if raw[name] == "" and all(isinstance(text, str) for text in texts):
            raw[name] = "string"
    return raw


def families(table: Any, schema: Schema) -> dict[str, str]:
    """Returns the type of the raw values of each column with a vocabulary or hash.

    Raises:
        ValueError: If a column is missing, has a type that is no category, or shares a
            vocabulary of another type.
    """
    columns = [c for c in schema.columns if isinstance(c, (Vocabulary, Hashed))]
    found = {column.name: category_of(table, column)[1] for column in columns}
    for column in columns:
        owner = schema.owner(column)
        if found[column.name] != found[owner.name] and not is_text(table, column):
            raise ValueError(
                f"{who_is(column)}: raw column {column.source!r} must be of type "
                f"{found[owner.name]} like {owner.name!r}, whose table it shares. "
                f"Received: {found[column.name]}"
            )
    return {c.name: found[schema.owner(c).name] for c in columns}
