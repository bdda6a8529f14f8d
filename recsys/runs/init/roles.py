"""Which file is what: events, the items, the users, or a part of the events."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from recsys.data.files.paths import CSV, named
from recsys.data.raw import family_of
from recsys.data.source import Source, open_source
from recsys.runs.init.names import ITEM, USER, id_score, tokens

Home = Literal["events", "items", "users"]

PARTS = {
    "train": {"train", "training"},
    "valid": {"valid", "validation", "val", "dev"},
    "test": {"test", "testing"},
}
NUMBER = r"^-?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?$"  # 007 is a name
EXPONENT = r"\d\.?[eE][+-]?\d"
MOST_REPEATED = 0.9  # an approximate count of ids that are all different is above


@dataclass(frozen=True)
class Table:
    """Files of the same columns, read as one.

    Args:
        paths: As given.
        source: Their rows.
        columns: Their columns.
    """

    paths: Sequence[str]
    source: Source
    columns: Sequence[str]

    @classmethod
    def of(cls, paths: Sequence[str], connection: Any) -> "Table":
        """Opens files, all columns of them."""
        columns = open_source([*paths], connection, {}).table.columns
        wanted = dict.fromkeys(columns, "")
        source = open_source([*paths], connection, wanted)
        numbers = _numbers_in_texts(source, connection)
        if numbers:
            wanted |= dict.fromkeys(numbers, "float64")
            source = open_source([*paths], connection, wanted)
        return cls(paths, source, columns)

    @property
    def name(self) -> str:
        """Their names, for errors."""
        return named(self.paths)


@dataclass(frozen=True)
class Roles:
    """What each of the given files is for.

    Args:
        tables: The events, and what is joined to them.
        keys: Of items and users, the column that they are joined by.
        valid, test: Paths of parts of the events; `events` are then those that train.
        left_out: Path -> why it is not read.
    """

    tables: Mapping[Home, Table]
    keys: Mapping[Home, str] = field(default_factory=dict)
    valid: Sequence[str] = ()
    test: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def roles_of(
    paths: Sequence[str], connection: Any, run: Callable[[Any], pa.Table]
) -> Roles:
    """Returns what each file is for.

    Files named train, valid and test are the parts of a split. Of all others, those of
    the same columns are one table; one that has a row for each value of a column that
    it shares with the events is of items or of users.

    Args:
        paths: Files, folders or patterns.
        connection: The Ibis backend.
        run: Evaluates an Ibis table.

    Raises:
        OSError: If there is no such file.
        ValueError: If one is unreadable, given twice, or of no such kind.
    """
    twice = [path for path in paths if [*paths].count(path) > 1]
    if not paths or twice:
        raise ValueError(
            "FILES must be one or more, each once. "
            f"Received: {f'{twice[0]} twice' if twice else 'none'}"
        )
    heads = {
        path: frozenset(open_source([path], connection, {}).table.columns)
        for path in paths
    }
    valid, test, left_out = _parts(heads)
    groups: dict[frozenset[str], list[str]] = {}
    for path, head in heads.items():
        if path not in (*valid, *test, *left_out):
            groups.setdefault(head, []).append(path)
    tables = [Table.of(group, connection) for group in groups.values()]
    events, keys = _keys(tables, run)
    sides: dict[Home, Table] = {"events": events}
    by: dict[Home, str] = {}
    for table, key in keys:
        home = _home_of(table, key)
        if home in by:
            raise ValueError(
                f"FILES must have one table of {home} at most. Received: "
                f"{sides[home].name} by {by[home]!r}, {table.name} by {key!r}"
            )
        _check_join(events, table, key, [*sides.values()])
        sides[home], by[home] = table, key
    return Roles(sides, by, valid, test, left_out)


def _numbers_in_texts(source: Source, connection: Any) -> list[str]:
    """Columns of CSV files that are text for a number such as 1e-05 in them.

    Read as a number where the schema says that they are, but not otherwise.
    """
    if not source.files[0].endswith(CSV):
        return []
    looks = {}
    for name in source.table.columns:
        text = source.table[name]
        if text.type().is_string():
            number = text.re_search(NUMBER) & text.try_cast("float64").notnull()
            good = text.isnull() | number
            looks[name] = good.all() & text.re_search(EXPONENT).any()
    if not looks:
        return []
    with source.reading():
        found = connection.to_pyarrow(source.table.aggregate(**looks)).to_pylist()[0]
    return [name for name in looks if found[name]]


def _parts(
    heads: Mapping[str, frozenset[str]],
) -> tuple[list[str], list[str], dict[str, str]]:
    """The files of a split by files, and those that are left out for want of one."""
    part = {path: _part_of(path) for path in heads}
    train, valid, test = (
        [path for path in heads if part[path] == wanted] for wanted in PARTS
    )
    if not train or not (valid or test):
        return [], [], {}
    alike = len({heads[path] for path in (*train, *valid, *test)}) == 1
    if valid and test and alike:
        return valid, test, {}
    why = (
        "a split by files takes train, valid and test, all three of the same columns; "
        "`recsys predict` and `recsys evaluate` read it later"
    )
    return [], [], dict.fromkeys([*valid, *test], why)


def _part_of(path: str) -> str | None:
    """Which part of a split the name of a file, or a folder, says that it is."""
    place = Path(path)
    if has_magic(place.name):  # as of `train/*.parquet`
        place = place.parent
    words = {*re.split(r"[^a-z]+", place.name.lower())}
    found = [part for part, names in PARTS.items() if words & names]
    return found[0] if len(found) == 1 else None


def _keys(
    tables: Sequence[Table], run: Callable[[Any], pa.Table]
) -> tuple[Table, list[tuple[Table, str]]]:
    """The events, and the other tables with the columns that they are joined by."""
    if len(tables) == 1:
        return tables[0], []
    rows: dict[str, int] = {}
    unique: dict[str, list[str]] = {}
    for table in tables:
        others = {n for each in tables if each is not table for n in each.columns}
        shared = [name for name in table.columns if name in others]
        rows[table.name], unique[table.name] = _unique(table, shared, run)
    for events in sorted(tables, key=lambda table: -rows[table.name]):
        found = [
            (table, [key for key in unique[table.name] if key in events.columns])
            for table in tables
            if table is not events
        ]
        if all(keys for _, keys in found):
            return events, [(table, max(keys, key=_likely)) for table, keys in found]
    raise ValueError(
        "FILES must be events, all of the same columns, and beside them at most one "
        "table of items and one of users, with one row for each value of a column of "
        "the events. Received: "
        + "; ".join(f"{each.name} with {', '.join(each.columns)}" for each in tables)
    )


def _unique(
    table: Table, names: Sequence[str], run: Callable[[Any], pa.Table]
) -> tuple[int, list[str]]:
    """How many rows there are, and which columns have another value in each."""
    rows = table.source.table
    counts = {f"{name}/about": rows[name].approx_nunique() for name in names}
    with table.source.reading():
        found = run(rows.aggregate(rows=rows.count(), **counts)).to_pylist()[0]
        likely = [
            name
            for name in names
            if found[f"{name}/about"] > MOST_REPEATED * found["rows"]
        ]
        exact = {name: rows[name].nunique() for name in likely}
        counted = run(rows.aggregate(**exact)).to_pylist()[0] if exact else {}
    return found["rows"], [n for n in likely if counted[n] == found["rows"]]


def _likely(key: str) -> float:
    return max(id_score(key, USER), id_score(key, ITEM))


def _home_of(table: Table, key: str) -> Home:
    of_user, of_item = id_score(key, USER), id_score(key, ITEM)
    if of_user == of_item:  # as of a column `id`
        words = {word for path in table.paths for word in tokens(Path(path).name)}
        return "users" if words & {*USER, "users"} else "items"
    return "users" if of_user > of_item else "items"


def _check_join(events: Table, table: Table, key: str, others: Sequence[Table]) -> None:
    """Raises `ValueError` if a table cannot be joined to events."""
    kinds = [family_of(each.source.table[key].type()) for each in (events, table)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"Column {key!r} must be of one type in all files. Received: {kinds[0]} in "
            f"{events.name}, {kinds[1]} in {table.name}"
        )
    for other in others:
        both = [n for n in table.columns if n in other.columns and n != key]
        if both:
            raise ValueError(
                f"Column {both[0]!r} must be in one table alone, as they are joined by "
                f"{key!r}. Received: it in {other.name} and {table.name}"
            )
