"""From raw columns to the model input, written once as Ibis expressions.

The raw columns are first checked and cast to few types. They are then called `/name`,
which no column of the model input can be called; what joins need is called `//...`.
"""

from typing import Any

import ibis

from recsys.data.files.types import is_number
from recsys.data.history import EVENT, TIME, USER, key
from recsys.data.layout import ROW
from recsys.data.raw import (
    NUMBERS,
    as_category,
    as_number,
    as_weights,
    family_of,
    kept_values,
    typed_value,
    user_and_time,
    who_is,
)
from recsys.data.values import ONE_ID, Values
from recsys.data.vocabulary import group_key
from recsys.feature.schema.columns import (
    Column,
    MultiValue,
    Numeric,
    RawColumn,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.vector import Vector


class Preparation(Values):
    """Applies a schema, and what `fit` learned, to tables.

    Args:
        schema: The columns, labels and groups.
        fitted: What `fit` learned; `typed_rows` and `values` use its `families` only.
        part: Which of the columns, labels and groups are to be made.
    """

    def typed_rows(self, table: Any, log: bool = False) -> Any:
        """Returns the raw columns, checked and cast, and the number of each row.

        Args:
            table: The raw rows.
            log: Whether they are the events of the histories, too.
        """
        typed: dict[str, Any] = {}
        for column in self.part.columns:
            if isinstance(column, History):
                typed |= user_and_time(table, column)
                typed |= self._events(table, column) if log else {}
            elif isinstance(column, RawColumn):
                typed[f"/{column.name}"] = self._value(table, column)
            if isinstance(column, MultiValue) and column.weight:
                typed |= as_weights(table, column, column.weight)
        for label in self.part.labels:
            value = typed_value(table, label, label.source, NUMBERS).cast("float64")
            known = is_number(value)
            typed[f"/{label.name}"] = known.ifelse(value, ibis.null("float64"))
        if self.part.sample_weight:
            weight = self.part.sample_weight
            typed["/sample_weight"] = as_number(table, "Sample weight", weight)
        for group, source in self.part.groups.items():
            typed[f"/{group}"] = as_category(table, f"Group {group!r}", source)
        return table.select(**typed).mutate(**{ROW: ibis.row_number()})

    def model_input(self, rows: Any, log: bool) -> Any:
        """Returns the columns of the model input, in any order, and `ROW`.

        Ids are integers and numbers floating; lists are as long as they happen to be.
        In place of histories it has what `Windows.of` wants of the rows.

        Args:
            rows: Table as `typed_rows` returns it.
            log: As in `typed_rows`.
        """
        columns: dict[str, Column] = {c.name: c for c in self.part.columns}
        histories = [c for c in columns.values() if isinstance(c, History)]
        if log:
            columns |= {c.name: c for h in histories for c in self._attributes(h)}
        single = [c for c in columns.values() if isinstance(c, ONE_ID)]
        joined = self._with_ids(rows, single)
        for column in columns.values():
            if isinstance(column, MultiValue):
                row = f"//row/{column.name}"
                lists = self._lists(rows, column).rename({row: ROW})
                joined = joined.left_join(lists, [(ROW, row)])

        made: dict[str, Any] = {ROW: ROW}
        for column in self.part.columns:
            if isinstance(column, History):
                made |= self._of_history(joined, column, log)
                continue
            for name in column.outputs:
                made[name] = name
            if isinstance(column, Numeric):
                made[column.name] = self.scaled(joined[f"/{column.name}"], column)
            if isinstance(column, Vector):
                made[column.name] = f"/{column.name}"
            if isinstance(column, MultiValue) and column.weight:
                made[column.weight] = kept_values(joined[f"/{column.weight}"], column)
        for group in self.part.groups:
            made[group] = group_key(joined[f"/{group}"])
        for label in self.part.labels:
            made[label.name] = f"/{label.name}"
        if self.part.sample_weight:
            made["sample_weight"] = "/sample_weight"
        return joined.select(**made)

    def events(self, rows: Any, table: Any, history: History) -> Any:
        """Returns what `Windows.of` wants of events that are not the rows.

        Args:
            rows: Table as `typed_rows` returns it.
            table: The raw event log.
            history: A column of the part.
        """
        typed = table.select(
            **user_and_time(table, history), **self._events(table, history)
        )
        for name in (key(history, USER), key(history, TIME)):
            if family_of(rows[name].type()) != family_of(typed[name].type()):
                raise ValueError(
                    f"{who_is(history)}: {name.rpartition('/')[2]} must be of one type "
                    f"in rows and events. Received: {rows[name].type()} and "
                    f"{typed[name].type()}"
                )
        log = typed.filter(typed[key(history, EVENT)])
        attributes = self._attributes(history)
        log = self._with_ids(log, [c for c in attributes if isinstance(c, ONE_ID)])
        for column in attributes:
            if isinstance(column, MultiValue):
                log = self._with_lists(log, column)
        return log.select(**self._of_history(log, history, log=True))
