"""From raw columns to the model input, written once as Ibis expressions.

The raw columns are first checked and cast to few types. They are then called `/name`,
which no column of the model input can be called; what joins need is called `//...`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import ibis
import pyarrow as pa

from recsys.data.files.csv import FILLED
from recsys.data.files.types import is_number
from recsys.data.fitted import Fitted
from recsys.data.history import EVENT, TIME, USER, key
from recsys.data.layout import ROW, Part
from recsys.data.raw import (
    CATEGORIES,
    NUMBERS,
    TIMES,
    as_category,
    as_integers,
    as_missing,
    as_number,
    as_weights,
    category_of,
    check_where,
    counts_of,
    family_of,
    is_floating,
    is_like,
    is_text,
    kept_values,
    known_type,
    list_type,
    log1p,
    raw_value,
    typed_value,
    user_and_time,
    weight_rules,
    who_is,
)
from recsys.data.vocabulary import bucketed, group_key, hashed, with_ids
from recsys.feature.schema.columns import (
    LARGEST,
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


class Preparation:
    """Applies a schema, and what `fit` learned, to tables.

    Args:
        schema: The columns, labels and groups.
        fitted: What `fit` learned; `check`, `rows` and `values` use `families` only.
        part: Which of the columns, labels and groups are to be made.
    """

    def __init__(self, schema: Schema, fitted: Fitted, part: Part) -> None:
        self.schema = schema
        self.fitted = fitted
        self.part = part

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

    def rows(self, table: Any, log: bool = False) -> Any:
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

    def values(self, rows: Any, column: MultiValue) -> Any:
        """Returns one row for each value that is kept: `//row`, `//place`, `/name`."""
        name = f"/{column.name}"
        values = rows.select(ROW, **{name: kept_values(rows[name], column)})
        values = values.unnest(name, offset="//place")
        kind = CATEGORIES[self.fitted.families[column.name]]
        return values.mutate(**{name: values[name].try_cast(kind)})

    def check(self, rows: Any, run: Callable[[Any], pa.Table]) -> int:
        """Returns the number of rows; values that are not allowed are an error.

        Args:
            rows: Table as `rows` returns it.
            run: Evaluates an Ibis table.

        Raises:
            ValueError: If there are no rows, or a column has such values.
        """
        rules = self._rules(rows)
        counts = {"rows": rows.count()}
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
                raise ValueError(
                    f"{who}: {wanted}. "
                    f"Received: {such} (in {found[who]} of {total} rows)"
                )
        return total

    def model_input(self, rows: Any, log: bool) -> Any:
        """Returns the columns of the model input, in any order, and `ROW`.

        Ids are integers and numbers floating; lists are as long as they happen to be.
        In place of histories it has what `Windows.of` wants of the rows.

        Args:
            rows: Table as `rows` returns it.
            log: As in `rows`.
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
            rows: Table as `rows` returns it.
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
        value, found = category_of(table, column)
        wanted = self.fitted.families[column.name]
        if found != wanted and not is_text(table, column):
            raise ValueError(
                f"{who_is(column)}: raw column {column.source!r} must be of type "
                f"{wanted}, as `fit` saw it. Received: {found}"
            )
        return value

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
        counts: Any = ibis.literal(True)
        for source, wanted in history.where.items():
            value = raw_value(table, history, source)
            wanted = wanted if isinstance(wanted, list) else [wanted]
            check_where(history, source, value.type(), wanted)
            if value.type().is_string():
                value = value.fill_null("")  # as a CSV file has it
            if value.type().is_boolean():
                value = value.cast("int8")
            wanted = [int(v) if isinstance(v, bool) else v for v in wanted]
            counts = counts & value.isin(wanted).fill_null(False)
        values = {
            f"/{column.name}": self._value(table, column)
            for column in self._attributes(history)
        }
        return {key(history, EVENT): counts, **values}

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

    def _scaled(self, value: Any, column: Numeric) -> Any:
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


_ONE_ID = (Categorical, Hashed, Bucketed)


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
