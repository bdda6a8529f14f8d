"""Expressions of values: typed, as ids, as numbers, as lists."""

from collections.abc import Sequence
from typing import Any, cast

import ibis

from recsys.data.fitted import Fitted
from recsys.data.history import EVENT, TIME, USER, key
from recsys.data.layout import ROW, Selection
from recsys.data.raw import (
    CATEGORIES,
    as_number,
    category_of,
    is_text,
    kept_values,
    log1p,
    such,
    who_is,
)
from recsys.data.vectors import as_vector
from recsys.data.vocabulary import bucketed, hashed, with_ids
from recsys.feature.schema.columns import (
    UNSEEN,
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

ONE_ID = (Categorical, Hashed, Bucketed)


class Values:
    """Makes expressions of columns, of a schema and what `fit` learned."""

    def __init__(self, schema: Schema, fitted: Fitted, part: Selection) -> None:
        self.schema = schema
        self.fitted = fitted
        self.part = part

    def values(self, rows: Any, column: MultiValue) -> Any:
        """Returns one row for each value that is kept: `//row`, `//place`, `/name`."""
        name = f"/{column.name}"
        values = rows.select(ROW, **{name: kept_values(rows[name], column)})
        values = values.unnest(name, offset="//place")
        kind = CATEGORIES[self.fitted.families[column.name]]
        return values.mutate(**{name: values[name].try_cast(kind)})

    def _of_history(self, table: Any, history: History, log: bool) -> dict[str, Any]:
        """The columns of a table that a history is made from."""
        made = {key(history, name): key(history, name) for name in (USER, TIME)}
        if log:
            made[key(history, EVENT)] = key(history, EVENT)
            for name, of in history.attributes.items():
                ids = table[of]
                if ids.type().is_array():
                    ids = ids.fill_null(ibis.literal([], ids.type()))
                made[key(history, name)] = ids
        return made

    def _value(self, table: Any, column: RawColumn) -> Any:
        if isinstance(column, (Numeric, Bucketed)):
            return as_number(table, column, column.source)
        if isinstance(column, Vector):
            return as_vector(table, column)
        value, found = category_of(table, column)
        wanted = self.fitted.families[column.name]
        if found != wanted and not is_text(table, column):
            raise ValueError(
                f"{who_is(column)}: raw column {column.source!r} must be of type "
                f"{wanted}, as `fit` saw it. Received: {found}"
            )
        return value

    def _with_ids(self, table: Any, columns: Sequence[Column]) -> Any:
        """Returns `table` and, for each column of values, `/name`, its ids, `name`."""
        joined = table
        for name in (column.name for column in columns):
            owner = self.schema.owner(self.schema.column(name))
            if isinstance(owner, Vocabulary):
                words = with_ids(self.fitted.vocabularies[owner.name])
                words = words.rename({f"//value/{name}": "value", f"//id/{name}": "id"})
                joined = joined.left_join(words, [(f"/{name}", f"//value/{name}")])
        ids = {column.name: self._id(joined, column) for column in columns}
        return joined.select(*table.columns, **ids)

    def _id(self, joined: Any, column: Column) -> Any:
        value = joined[f"/{column.name}"]
        owner = self.schema.owner(column)
        if isinstance(owner, Hashed):
            return hashed(value, owner.num_buckets)
        if isinstance(owner, Bucketed):
            return bucketed(value, self.fitted.statistics[owner.name]["edges"])
        return joined[f"//id/{column.name}"].fill_null(UNSEEN)

    def _lists(self, rows: Any, column: MultiValue) -> Any:
        """Returns the lists of ids of a column by `//row`, without the empty ones."""
        values = self._with_ids(self.values(rows, column), [column])
        # Sorted pairs, since not every engine collects in a given order.
        pair = ibis.struct({"place": values["//place"], "id": values[column.name]})
        pairs = values.group_by(ROW).aggregate(pairs=pair.collect().sort())
        ids = pairs.pairs.map(lambda pair: pair["id"])
        return pairs.select(ROW, **{column.name: ids})

    def _events(self, table: Any, history: History) -> dict[str, Any]:
        """The raw attributes of events, and which of them count."""
        values = {
            f"/{column.name}": self._value(table, column)
            for column in self._attributes(history)
        }
        return {key(history, EVENT): such(table, history, history.where), **values}

    def _attributes(self, history: History) -> list[RawColumn]:
        return [cast(RawColumn, self.schema.column(name)) for name in history.of]

    def _with_lists(self, log: Any, column: MultiValue) -> Any:
        """Returns `log` and, for a column of lists, `/name`, their ids, `name`."""
        # A list is its own number: not every engine numbers a log alike in each use.
        raw = f"/{column.name}"
        lists = log.select(**{ROW: raw, raw: raw}).distinct()
        here = f"//list/{column.name}"
        lists = self._lists(lists, column).rename({here: ROW})
        joined = log.left_join(lists, [(raw, here)])
        return joined.select(*log.columns, column.name)

    def scaled(self, value: Any, column: Numeric) -> Any:
        """Returns a number filled, and on the scale that the schema says."""
        statistics = self.fitted.statistics.get(column.name, {})
        if column.fill not in (None, "mean"):
            value = value.fill_null(column.fill)
        if column.log1p:
            value = log1p(value)
        if column.fill == "mean":
            value = value.fill_null(statistics["mean"])
        if column.standardize:
            value = (value - statistics["mean"]) / (statistics["std"] or 1.0)
        return value
