"""From raw columns to the model input, written once as Ibis expressions.

The raw columns are first checked and cast to few types. They are then called `/name`,
which no column of the model input can be called; what joins need is called `//...`.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ibis
import pyarrow as pa

from recsys.data.files.types import is_number
from recsys.data.history import EVENT, TIME, USER, key
from recsys.data.layout import ROW
from recsys.data.raw import (
    CATEGORIES,
    NUMBERS,
    TIMES,
    as_category,
    as_integers,
    as_missing,
    as_number,
    as_weights,
    counts_of,
    family_of,
    is_floating,
    is_like,
    kept_values,
    known_type,
    list_type,
    typed_value,
    user_and_time,
    weight_rules,
    who_is,
)
from recsys.data.source import Source
from recsys.data.values import _ONE_ID, Values
from recsys.data.vocabulary import group_key
from recsys.feature.schema.columns import (
    LARGEST,
    Bucketed,
    Column,
    Hashed,
    MultiValue,
    Numeric,
    RawColumn,
    Vocabulary,
)
from recsys.feature.schema.history import History


class Preparation(Values):
    """Applies a schema, and what `fit` learned, to tables.

    Args:
        schema: The columns, labels and groups.
        fitted: What `fit` learned; `check`, `typed_rows` and `values` use its
            `families` only.
        part: Which of the columns, labels and groups are to be made.
    """

    def settled(
        self, table: Any, run: Callable[[Any], pa.Table], other: Any = None
    ) -> Any:
        """Returns raw rows whose columns have the types that missing values hid.

        A column without any value has no type, or that of NaN; integers with a gap are
        floating in pandas. What is of a wrong type otherwise stays as it is.

        Args:
            table: The raw rows, or the event log of their histories.
            run: Evaluates an Ibis table.
            other: The one of both that `table` is not, if any.
        """
        wanted = {
            name: dtype
            for name, dtype in self._types(table, other).items()
            if name in table.columns and not is_like(table[name].type(), dtype)
        }
        counts: dict[str, Any] = {}
        for name in wanted:
            counts |= counts_of(table[name], name)
        found = run(table.aggregate(**counts)).to_pylist()[0] if counts else {}
        settled = {}
        for name, dtype in wanted.items():
            if not found[f"{name}/values"]:
                settled[name] = as_missing(table[name], dtype)
            elif "int64" in dtype and not found[f"{name}/fractions"]:
                settled[name] = as_integers(table[name])
        return table.mutate(**settled)

    def _types(self, table: Any, other: Any) -> dict[str, str]:
        """Raw column -> the Ibis type that its values should have."""
        columns = [*self.part.columns]
        histories = [column for column in columns if isinstance(column, History)]
        columns += [column for h in histories for column in self._attributes(h)]
        types: dict[str, str] = {}
        for column in columns:
            if isinstance(column, (Vocabulary, Hashed)):
                kind = self.fitted.families.get(column.name)
                if kind is None and not is_floating(table, column.source):
                    continue  # `fit` is about to see it
                dtype = CATEGORIES[kind or "integer"]
                if isinstance(column, MultiValue):
                    dtype = list_type(table, column, column.source, dtype)
                types.setdefault(column.source, dtype)
        for history in histories:
            for source, kinds in ((history.user, CATEGORIES), (history.time, TIMES)):
                types.setdefault(source, known_type([other, table], source, kinds))
        for source in self.part.groups.values():
            types.setdefault(source, known_type([table], source, CATEGORIES))
        for column in columns:
            if isinstance(column, (Numeric, Bucketed)):
                types.setdefault(column.source, "float64")
            if isinstance(column, MultiValue) and column.weight:
                dtype = list_type(table, column, column.weight, "float64")
                types.setdefault(column.weight, dtype)
        for label in self.part.labels:
            types.setdefault(label.source, "float64")
        if self.part.sample_weight:
            types.setdefault(self.part.sample_weight, "float64")
        return types

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

    def check(
        self, rows: Any, run: Callable[[Any], pa.Table], source: Source | None = None
    ) -> int:
        """Returns the number of rows; values that are not allowed are an error.

        Args:
            rows: Table as `typed_rows` returns it.
            run: Evaluates an Ibis table.
            source: Where they come from; the error then says of which file.

        Raises:
            ValueError: If there are no rows, or a column has such values.
        """
        rules = self._rules(rows)
        counts = {"rows": rows.count()}
        for column in self.part.columns:  # else no engine reads those that are filled
            if isinstance(column, (Numeric, Bucketed)):
                counts[f"{column.name}/there"] = rows[f"/{column.name}"].count()
        for who, (bad, _, value) in rules.items():
            counts[who] = bad.sum()
            counts[f"{who}/example"] = value.max(where=bad)
        found = run(rows.aggregate(**counts)).to_pylist()[0]
        total: int = found["rows"]
        if not total:
            raise ValueError("The data must have rows. Received: none")
        for who, (_, wanted, _) in rules.items():
            if found[who]:
                example = found[f"{who}/example"]
                such = "missing" if example is None else f"{example}"
                files = self._files_with(who, run, source)
                raise ValueError(
                    f"{', '.join([*files, who])}: {wanted}. "
                    f"Received: {such} (in {found[who]} of {total} rows)"
                )
        return total

    def _files_with(
        self, who: str, run: Callable[[Any], pa.Table], source: Source | None
    ) -> list[str]:
        """The first of several files that breaks a rule by itself, if one does."""
        if source is None or source.alone is None or len(source.files) < 2:
            return []
        for file in source.files:
            # Alone it may be of other types; what is raised is the error of all files.
            with suppress(Exception):
                bad, *_ = self._rules(self.typed_rows(source.alone(file)))[who]
                if run(bad.as_table().aggregate(n=bad.sum()))["n"][0].as_py():
                    return [file]
        return []

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
        single = [c for c in columns.values() if isinstance(c, _ONE_ID)]
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
                made[column.name] = self._scaled(joined[f"/{column.name}"], column)
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
        log = self._with_ids(log, [c for c in attributes if isinstance(c, _ONE_ID)])
        for column in attributes:
            if isinstance(column, MultiValue):
                log = self._with_lists(log, column)
        return log.select(**self._of_history(log, history, log=True))

    def _rules(self, rows: Any) -> dict[str, tuple[Any, str, Any]]:
        """Who -> which rows are bad, what is wanted, and the values to show."""
        rules: dict[str, tuple[Any, str, Any]] = {}
        for column in self.part.columns:
            if isinstance(column, Numeric) and column.fill is None:
                value = rows[f"/{column.name}"]
                wanted = "values must be finite, or the schema must say how to `fill`"
                rules[who_is(column)] = (value.isnull(), wanted, value)
            known = column.name in self.fitted.statistics  # but not in `fit`
            if isinstance(column, Numeric) and column.standardize and known:
                value = rows[f"/{column.name}"]
                bad = ~self._scaled(value, column).between(-LARGEST, LARGEST)
                wanted = "values must be such as float32 holds"
                rules[f"{who_is(column)}, standardized"] = (bad, wanted, value)
            if isinstance(column, MultiValue) and column.weight:
                names = (f"/{column.name}", f"/{column.weight}")
                values, weights = (rows[name].length().fill_null(0) for name in names)
                wanted = f"each row must have as many {column.weight!r} as values"
                rules[who_is(column)] = (values != weights, wanted, weights)
                rules |= weight_rules(rows, column, column.weight)
        for label in self.part.labels:
            value = rows[f"/{label.name}"]
            if label.belong == "binary":
                good, wanted = value.isin([0, 1]), "0, 1 or missing"
            elif label.belong == "multiclass":
                good = value.isin(range(label.num_classes))
                wanted = f"an integer in [0, {label.num_classes}) or missing"
            elif label.belong == "count":
                good, wanted = value.between(0, LARGEST), "at least 0 or missing"
            else:
                good, wanted = value.between(-LARGEST, LARGEST), "finite or missing"
            bad = value.notnull() & ~good
            rules[who_is(label)] = (bad, f"values must be {wanted}", value)
        if self.part.sample_weight:
            value = rows["/sample_weight"]
            bad = value.isnull() | (value < 0).fill_null(False)
            wanted = f"{self.part.sample_weight!r} must be finite and at least 0"
            rules["Sample weight"] = (bad, wanted, value)
        return rules
