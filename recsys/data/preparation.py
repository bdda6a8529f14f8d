"""From raw columns to the model input, written once as Ibis expressions.

The raw columns are first checked and cast to few types. They are then called `/name`,
which no column of the model input can be called; what joins need is called `//...`.
"""

import datetime
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import ibis
import pyarrow as pa

from recsys.data.files import FILLED, is_finite, is_number
from recsys.data.fitted import Fitted
from recsys.data.history import EVENT, TIME, USER, key
from recsys.data.layout import ROW, Part
from recsys.data.source import Source
from recsys.data.vocabulary import bucketed, group_key, hashed, with_ids
from recsys.feature.schema import (
    LARGEST,
    UNSEEN,
    Bucketed,
    Categorical,
    Column,
    Hashed,
    History,
    MultiValue,
    Numeric,
    RawColumn,
    Schema,
    Vocabulary,
    nearest,
)

CATEGORIES = {
    "integer": "int64",
    "string": "string",
    "boolean": "boolean",
    "date": "date",
}
NUMBERS = ("integer", "floating", "decimal", "boolean")
TIMES = ("integer", "floating", "decimal", "date", "timestamp")


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
            if name in table.columns and not _is_like(table[name].type(), dtype)
        }
        counts: dict[str, Any] = {}
        for name in wanted:
            counts |= _counts(table[name], name)
        found = run(table.aggregate(**counts)).to_pylist()[0] if counts else {}
        settled = {}
        for name, dtype in wanted.items():
            if not found[f"{name}/values"]:
                settled[name] = _as_missing(table[name], dtype)
            elif "int64" in dtype and not found[f"{name}/fractions"]:
                settled[name] = _as_integers(table[name])
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
                if kind is None and not _is_floating(table, column.source):
                    continue  # `fit` is about to see it
                dtype = CATEGORIES[kind or "integer"]
                if isinstance(column, MultiValue):
                    dtype = _list_type(table, column, column.source, dtype)
                types.setdefault(column.source, dtype)
        for history in histories:
            for source, kinds in ((history.user, CATEGORIES), (history.time, TIMES)):
                types.setdefault(source, _known_type([other, table], source, kinds))
        for source in self.part.groups.values():
            types.setdefault(source, _known_type([table], source, CATEGORIES))
        for column in columns:
            if isinstance(column, (Numeric, Bucketed)):
                types.setdefault(column.source, "float64")
            if isinstance(column, MultiValue) and column.weight:
                dtype = _list_type(table, column, column.weight, "float64")
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
                typed |= _user_and_time(table, column)
                typed |= self._events(table, column) if log else {}
            elif isinstance(column, RawColumn):
                typed[f"/{column.name}"] = self._value(table, column)
            if isinstance(column, MultiValue) and column.weight:
                typed |= _weights(table, column, column.weight)
        for label in self.part.labels:
            value = _typed(table, label, label.source, NUMBERS).cast("float64")
            known = is_number(value)
            typed[f"/{label.name}"] = known.ifelse(value, ibis.null("float64"))
        if self.part.sample_weight:
            weight = self.part.sample_weight
            typed["/sample_weight"] = _number(table, "Sample weight", weight)
        for group, source in self.part.groups.items():
            typed[f"/{group}"] = _category(table, f"Group {group!r}", source)
        return table.select(**typed).mutate(**{ROW: ibis.row_number()})

    def values(self, rows: Any, column: MultiValue) -> Any:
        """Returns one row for each value that is kept: `//row`, `//place`, `/name`."""
        name = f"/{column.name}"
        values = rows.select(ROW, **{name: _kept(rows[name], column)})
        values = values.unnest(name, offset="//place")
        kind = CATEGORIES[self.fitted.families[column.name]]
        return values.mutate(**{name: values[name].try_cast(kind)})

    def check(
        self, rows: Any, run: Callable[[Any], pa.Table], source: Source | None = None
    ) -> int:
        """Returns the number of rows; values that are not allowed are an error.

        Args:
            rows: Table as `rows` returns it.
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
                bad, *_ = self._rules(self.rows(source.alone(file)))[who]
                if run(bad.as_table().aggregate(n=bad.sum()))["n"][0].as_py():
                    return [file]
        return []

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
                made[column.weight] = _kept(joined[f"/{column.weight}"], column)
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
            **_user_and_time(table, history), **self._events(table, history)
        )
        for name in (key(history, USER), key(history, TIME)):
            if _family(rows[name].type()) != _family(typed[name].type()):
                raise ValueError(
                    f"{_who(history)}: {name.rpartition('/')[2]} must be of one type "
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
            return _number(table, column, column.source)
        value, found = _category_of(table, column)
        wanted = self.fitted.families[column.name]
        if found != wanted and not _is_text(table, column):
            raise ValueError(
                f"{_who(column)}: raw column {column.source!r} must be of type "
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
                rules[_who(column)] = (value.isnull(), wanted, value)
            known = column.name in self.fitted.statistics  # but not in `fit`
            if isinstance(column, Numeric) and column.standardize and known:
                value = rows[f"/{column.name}"]
                bad = ~self._scaled(value, column).between(-LARGEST, LARGEST)
                wanted = "values must be such as float32 holds"
                rules[f"{_who(column)}, standardized"] = (bad, wanted, value)
            if isinstance(column, MultiValue) and column.weight:
                names = (f"/{column.name}", f"/{column.weight}")
                values, weights = (rows[name].length().fill_null(0) for name in names)
                wanted = f"each row must have as many {column.weight!r} as values"
                rules[_who(column)] = (values != weights, wanted, weights)
                rules |= _weight_rules(rows, column, column.weight)
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
            rules[_who(label)] = (bad, f"values must be {wanted}", value)
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
            value = _raw(table, history, source)
            wanted = wanted if isinstance(wanted, list) else [wanted]
            _check_where(history, source, value.type(), wanted)
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
    found = {column.name: _category_of(table, column)[1] for column in columns}
    for column in columns:
        owner = schema.owner(column)
        if found[column.name] != found[owner.name] and not _is_text(table, column):
            raise ValueError(
                f"{_who(column)}: raw column {column.source!r} must be of type "
                f"{found[owner.name]} like {owner.name!r}, whose table it shares. "
                f"Received: {found[column.name]}"
            )
    return {c.name: found[schema.owner(c).name] for c in columns}


def log1p(value: Any) -> Any:
    """Returns `sign(x) * log(1 + |x|)`."""
    return value.sign() * (value.abs() + 1).ln()


def _who(declaration: Any) -> str:
    if isinstance(declaration, str):
        return declaration
    return f"{type(declaration).__name__} {declaration.name!r}"


def _raw(table: Any, declaration: Any, source: str) -> Any:
    if source not in table.columns:
        raise ValueError(
            f"{_who(declaration)}: the data must have a column {source!r}. "
            f"Received: {nearest(source, table.columns) or 'no columns'}"
        )
    return table[source]


def _family(dtype: Any) -> str:
    for name in (*CATEGORIES, "floating", "decimal", "timestamp", "array"):
        if getattr(dtype, f"is_{name}")():
            return name
    return str(dtype)


def _typed(
    table: Any, declaration: Any, source: str, wanted: Sequence[str] = NUMBERS
) -> Any:
    value = _raw(table, declaration, source)
    if _family(value.type()) not in wanted:
        raise ValueError(
            f"{_who(declaration)}: raw column {source!r} must be of type "
            f"{', '.join(wanted)}. Received: {value.type()}"
        )
    return value


def _category(
    table: Any, declaration: Any, source: str, empty_is_missing: bool = True
) -> Any:
    value = _typed(table, declaration, source, tuple(CATEGORIES))
    value = value.cast(CATEGORIES[_family(value.type())])
    return _without_empty(value) if empty_is_missing else value


def _without_empty(value: Any) -> Any:
    """Null for an empty string, in lists too: most files do not tell them apart."""
    if value.type().is_array():
        strings = value.type().value_type.is_string()
        return value.map(_without_empty) if strings else value
    return value.nullif("") if value.type().is_string() else value


def _number(table: Any, declaration: Any, source: str) -> Any:
    """The column as float64, null where it is not finite or beyond float32."""
    value = _typed(table, declaration, source).cast("float64")
    good = is_finite(value) & value.between(-LARGEST, LARGEST)
    return good.ifelse(value, ibis.null("float64"))


def _category_of(table: Any, column: RawColumn) -> tuple[Any, str]:
    """The values, or lists of values, of a column and their family."""
    if not isinstance(column, MultiValue):
        empty_is_missing = cast(Categorical | Hashed, column).empty_is_missing
        value = _category(table, column, column.source, empty_is_missing)
        return value, _family(value.type())
    if _is_text(table, column):
        value = _split(table[column.source], column.separator)
        return _without_empty(value) if column.empty_is_missing else value, "string"
    value = _typed(table, column, column.source, ["array"])
    element = _family(value.type().value_type)
    if element not in CATEGORIES:
        raise ValueError(
            f"{_who(column)}: raw column {column.source!r} must be of lists of type "
            f"{', '.join(CATEGORIES)}. Received: {value.type()}"
        )
    value = value.cast(f"array<{CATEGORIES[element]}>")
    return _without_empty(value) if column.empty_is_missing else value, element


def _weights(table: Any, column: MultiValue, source: str) -> dict[str, Any]:
    """The weights of the values, null where not finite; what is no number, if any."""
    text = ["string"] if column.separator else []
    value = _typed(table, column, source, ["array", *text])
    if value.type().is_string():
        texts = _without_empty(_split(value, column.separator))
        value = texts.map(lambda each: each.try_cast("float64"))
        wrong = texts.filter(lambda e: e.notnull() & e.try_cast("float64").isnull())
        bad = {_text_of(source): wrong[0]}
    elif _family(value.type().value_type) in NUMBERS:
        value, bad = value.cast("array<float64>"), {}
    else:
        raise ValueError(
            f"{_who(column)}: raw column {source!r} must be of lists of type "
            f"{', '.join(NUMBERS)}. Received: {value.type()}"
        )
    finite = value.map(lambda each: is_finite(each).ifelse(each, ibis.null("float64")))
    return {f"/{source}": finite, **bad}


def _text_of(source: str) -> str:
    """Name of the column of the texts among weights that are no numbers."""
    return f"//text/{source}"


def _weight_rules(rows: Any, column: MultiValue, source: str) -> dict[str, Any]:
    """As `_rules`, of the weights of values."""
    weights = rows[f"/{source}"]
    least, most = weights.mins(), weights.maxs()
    bad = (least < 0) | (most > LARGEST)
    shown = (least < 0).ifelse(least, most)
    if _text_of(source) in rows.columns:
        text = rows[_text_of(source)]
        bad, shown = text.notnull() | bad, text.fill_null(shown.cast("string"))
    wanted = "values must be numbers of at least 0 that float32 holds"
    return {f"{_who(column)}, weight {source!r}": (bad, wanted, shown)}


def _check_where(
    history: History, source: str, dtype: Any, wanted: Sequence[Any]
) -> None:
    """Raises if values cannot be those of a raw column."""
    family = _family(dtype)
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
                f"{_who(history)}: where must have values of the type of raw column "
                f"{source!r}, {dtype}. Received: {value!r}"
            )


def _known_type(tables: Sequence[Any], source: str, kinds: Collection[str]) -> str:
    """The type of a raw column in the first table where it has one of some kinds."""
    for table in tables:
        if table is not None and source in table.columns:
            kind = _family(table[source].type())
            if kind in kinds:
                known = {"integer": "int64", "floating": "float64"}
                return known.get(kind, str(table[source].type().copy(nullable=True)))
    return "int64"


def _is_floating(table: Any, source: str) -> bool:
    dtype = table[source].type() if source in table.columns else None
    dtype = dtype.value_type if dtype is not None and dtype.is_array() else dtype
    return dtype is not None and bool(dtype.is_floating())


def _list_type(table: Any, column: MultiValue, source: str, dtype: str) -> str:
    """The type of a raw column of lists, or of strings that hold them."""
    lists = source in table.columns and table[source].type().is_array()
    return f"array<{dtype}>" if lists or column.separator is None else "string"


def _is_like(dtype: Any, wanted: str) -> bool:
    """Whether a column of a type can be cast to another without a look at it."""
    like = ibis.dtype(wanted)
    if dtype.is_array() and like.is_array():
        return _is_like(dtype.value_type, str(like.value_type))
    if like.is_floating() and _family(dtype) in NUMBERS:
        return True
    return _family(dtype) == _family(like)


def _counts(column: Any, name: str) -> dict[str, Any]:
    """How many values a column has, and how many of them are no exact integers."""

    def known(value: Any) -> Any:
        if value.type().is_floating():
            return is_number(value)
        return _without_empty(value).notnull()

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


def _is_text(table: Any, column: RawColumn) -> bool:
    """Whether the values of a column are delimited in a string."""
    value = _raw(table, column, column.source)
    separated = isinstance(column, MultiValue) and column.separator is not None
    return separated and bool(value.type().is_string())


def _split(value: Any, separator: str | None) -> Any:
    # Some engines read any separator as a pattern, so all of them are given one.
    return value.nullif("").re_split(re.escape(separator or ""))


def _kept(values: Any, column: MultiValue) -> Any:
    """The first `length` values of a list, the last of a history."""
    if column.belong == "history":
        return values[ibis.greatest(values.length() - column.length, 0) :]
    return values[: column.length]


def _user_and_time(table: Any, history: History) -> dict[str, Any]:
    user = _category(table, history, history.user)
    time = _typed(table, history, history.time, TIMES)
    kind = _family(time.type())
    if kind == "floating":
        time = time.cast("float64")
        time = is_finite(time).ifelse(time, ibis.null("float64"))
    elif kind == "decimal":
        time = time.cast("decimal(38, 12)")
    elif kind == "integer":
        time = time.cast("int64")
    elif kind == "timestamp":
        time = time.cast(f"timestamp({9 if time.type().scale == 9 else 6})")
    return {key(history, USER): user, key(history, TIME): time}
