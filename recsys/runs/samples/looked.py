"""Columns as the checks of samples look at them: numbers, or texts of categories."""

from dataclasses import dataclass
from typing import Any, cast

import ibis

from recsys.data.files.types import is_number
from recsys.data.raw import as_category, as_number, category_of, typed_value
from recsys.feature.schema.columns import (
    Bucketed,
    Label,
    MultiValue,
    Numeric,
    RawColumn,
)
from recsys.feature.schema.schema import Schema
from recsys.feature.schema.vector import Vector
from recsys.runs.config import Data

VALUE = "//value"


@dataclass(frozen=True)
class Looked:
    """One raw column that the model reads.

    Args:
        source: Its name.
        column: What the schema makes of it.
        is_id: Whether it is the user or the item.
    """

    source: str
    column: RawColumn
    is_id: bool

    @property
    def who(self) -> str:
        """How sentences begin."""
        return f"Column {self.source!r}"

    @property
    def is_number(self) -> bool:
        """Whether values have an order."""
        return isinstance(self.column, (Numeric, Bucketed))

    @property
    def is_list(self) -> bool:
        """Whether a row has several values."""
        return isinstance(self.column, (MultiValue, Vector))

    def value(self, table: Any) -> Any:
        """Returns the number or the text of each row, null where it is missing."""
        if self.is_number:
            return as_number(table, self.column, self.source)
        value = table[self.source]
        if self.is_list:
            empty = value.length().fill_null(0) == 0
            return empty.ifelse(ibis.null("string"), "a list")
        return as_category(table, self.column, self.source).cast("string")


@dataclass(frozen=True)
class Held(Looked):
    """Whether a history that the files hold has the row's own item.

    Args:
        item: The raw column of the item.
    """

    item: str

    @property
    def who(self) -> str:
        return f"Column {self.source!r}, whether it holds the row's own {self.item!r},"

    @property
    def is_number(self) -> bool:
        return True

    @property
    def is_list(self) -> bool:
        return False

    def value(self, table: Any) -> Any:
        values, _ = category_of(table, self.column)
        texts = values.map(lambda value: value.cast("string"))
        item = as_category(table, "data.item", self.item).cast("string")
        return texts.contains(item).cast("float64")


def looked_at(schema: Schema, data: Data) -> list[Looked]:
    """Returns the raw columns of a schema, each once; ids first."""
    found: dict[str, Looked] = {}
    for column in schema.columns:
        if isinstance(column, RawColumn):
            is_id = column.source in (data.user, data.item)
            found.setdefault(column.source, Looked(column.source, column, is_id))
    return sorted(found.values(), key=lambda looked: not looked.is_id)


def held_in(schema: Schema, data: Data) -> list[Looked]:
    """Returns the histories of a schema that the files hold, of ids of the item."""
    items = {
        schema.owner(column).name
        for column in schema.columns
        if isinstance(column, RawColumn) and column.source == data.item
    }
    return [
        Held(column.source, column, False, cast(str, data.item))
        for column in schema.columns
        if isinstance(column, MultiValue)
        and column.belong == "history"
        and schema.owner(column).name in items
    ]


def label_of(table: Any, label: Label) -> Any:
    """Returns a label as a number, null where it is not known."""
    value = typed_value(table, label, label.source).cast("float64")
    return is_number(value).ifelse(value, ibis.null("float64"))
