"""What of a row is the user's: that is what a match model is asked with."""

from recsys.feature.schema.columns import Column, RawColumn
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Data
from recsys.runs.samples.wanted import sources


def asked_columns(schema: Schema) -> list[Column]:
    """Returns the columns that are not the item's."""
    return [
        column
        for column in schema.columns
        if not (isinstance(column, RawColumn) and column.belong == "item")
    ]


def asked_sources(schema: Schema, data: Data) -> list[str]:
    """Returns the raw columns that they are made from, the user's id first."""
    names: dict[str, None] = {str(data.user): None}
    for column in asked_columns(schema):
        if isinstance(column, History):
            names |= dict.fromkeys((column.user, column.time))
        names |= dict.fromkeys(sources(column))
    return [*names]
