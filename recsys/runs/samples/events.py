"""The events: rows of all files, with what is known of their items and users."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis

from recsys.data.files.paths import named
from recsys.data.layout import ROW, Selection
from recsys.data.raw import as_category, as_time, family_of
from recsys.data.settling import settled
from recsys.data.source import Source
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.moments import moment
from recsys.runs.samples.wanted import Wanted

KEY, COUNT = "//key", "//count"


@dataclass(frozen=True)
class Events:
    """All events.

    Args:
        table: The raw columns and `ROW`, the place of the event in the files.
        rows: How many there are in `data.files`, and in the files of the other parts.
        items: One row for each item of `data.items`, if there are any.
        notes: What was left out, in whole sentences with numbers.
    """

    table: Any
    rows: Sequence[int]
    items: Any = None
    notes: Sequence[str] = ()


def read_events(wanted: Wanted, base: Path, engine: Engine) -> Events:
    """Reads all files, and joins those of items and users.

    Args:
        wanted: What is read.
        base: The folder that relative files are seen from.
        engine: What reads them.

    Raises:
        FileNotFoundError, ValueError: As in `open_source`; or an id is twice in the
            files of items or users, keys are of several types, a column is on both
            sides or on none, or a label that is made is there.
    """
    data, split = wanted.config.data, wanted.config.split
    parts = [data.files, *filter(None, (split.valid_files, split.test_files))]
    source = opened(wanted, base, [f for files in parts for f in files], engine)
    table, joined = engine.numbered(source.table, ROW), []
    items = None
    for what, files, key in (
        ("items", data.items, data.item),
        ("users", data.users, data.user),
    ):
        if files and key:
            other = opened(wanted, base, files, engine)
            _check_sides(source, other, what, key)
            _check_ids(other, what, key, engine)
            joined.append((other, key))
            items = other.table if what == "items" else items
            table = _joined(table, other.table, what, key)
            source = Source(table, [*source.files, *other.files])
    names = [name for name in table.columns if name != ROW]
    for name in wanted.made:
        for there in names:
            if there.lower() == name.lower():  # SQL ignores case
                raise ValueError(
                    f"samples: the label {name!r} must not be made, as the data has "
                    f"it already. Received: a column {there!r}"
                )
    wanted.check_there(
        names,
        lambda: [
            name
            for paths in (*parts, data.items, data.users)
            for name in (_columns(paths, base, engine) if paths else ())
        ],
    )
    read = wanted.kinds
    table = table.select(ROW, *(name for name in names if name in read))
    table = table.mutate(**{rule.name: rule.label(table) for rule in wanted.rules})
    if (negatives := wanted.config.samples.negatives) is not None:
        table = table.mutate(**{negatives.label: ibis.literal(1.0)})
    notes = []
    with source.reading():
        if split.until is not None:
            there = engine.rows(table)
            time = as_time(table, "data.time", str(data.time))
            table = table.filter(time < moment(time, "split.until", split.until))
        table = engine.keep(table)
        if split.until is not None and (later := there - engine.rows(table)):
            notes.append(f"split.until left out {later:,} of {there:,} events.")
        rows = [_count(wanted, base, files, engine) for files in parts[1:]]
    return Events(table, [engine.rows(table) - sum(rows), *rows], items, notes)


def opened(
    wanted: Wanted,
    base: Path,
    files: Sequence[str],
    engine: Engine,
    texts: Sequence[str] = (),
) -> Source:
    """Opens files, with the columns that are read alone.

    Args:
        wanted: What is read.
        base: The folder that relative files are seen from.
        files: The files.
        engine: What reads them.
        texts: Further columns, of text.
    """
    paths = [str(base / file) for file in files]
    kinds = {**dict.fromkeys(texts, "string"), **wanted.kinds}
    source = engine.open(paths, kinds)
    with source.reading():
        part = Selection.of(wanted.schema)
        table = settled(source.table, part, {}, engine.run)
    # What nobody reads is not joined, and never in the way.
    made = [name.lower() for name in wanted.made]
    names = [n for n in table.columns if n in kinds or n.lower() in made]
    if not names:
        raise ValueError(
            f"{named(source.files)}: there must be columns that the run reads, "
            f"{', '.join(sorted(kinds))}. Received: {', '.join(table.columns)}"
        )
    return Source(table.select(*names), source.files, source.zoned, source.alone)


def _columns(files: Sequence[str], base: Path, engine: Engine) -> Sequence[str]:
    """The names of all columns of files."""
    paths = [str(base / file) for file in files]
    names: Sequence[str] = engine.open(paths, {}).table.columns
    return names


def _count(wanted: Wanted, base: Path, files: Sequence[str], engine: Engine) -> int:
    """Rows of some of the files; of one column, as text is not looked at."""
    paths = [str(base / file) for file in files]
    source = engine.open(paths, dict.fromkeys(wanted.kinds, "string"))
    with source.reading():
        return engine.rows(source.table)


def _check_sides(source: Source, other: Source, what: str, key: str) -> None:
    """Raises `ValueError` if two tables cannot be joined by a column."""
    sides = ((source, "data.files"), (other, f"data.{what}"))
    for side, name in sides:
        if key not in side.table.columns:
            raise ValueError(
                f"data.{what}: {key!r} must be a column of both sides. Received: "
                f"{name} ({named(side.files)}) without it"
            )
    families = [
        family_of(as_category(side.table, f"data.{what[:-1]}", key).type())
        for side, _ in sides
    ]
    if families[0] != families[1]:
        raise ValueError(
            f"data.{what}: {key!r} must be of one type on both sides. Received: "
            f"{families[0]} in {named(source.files)}, {families[1]} in "
            f"{named(other.files)}"
        )
    here = {name.lower(): name for name in source.table.columns}  # SQL ignores case
    for name in other.table.columns:
        if name != key and name.lower() in here:
            raise ValueError(
                f"data.{what}: a column must be on one side only, but {key!r}. "
                f"Received: {here[name.lower()]!r} in {named(source.files)}, "
                f"{name!r} in {named(other.files)}"
            )


def _check_ids(other: Source, what: str, key: str, engine: Engine) -> None:
    """Raises `ValueError` unless each row has an id of its own."""

    def odd(table: Any) -> Any:
        ids = table.select(**{KEY: as_category(table, f"data.{what[:-1]}", key)})
        counts = ids.group_by(KEY).aggregate(**{COUNT: ids.count()})
        counts = counts.filter((counts[COUNT] > 1) | counts[KEY].isnull())
        return counts.order_by(KEY).limit(1)

    with other.reading():
        found = engine.run(odd(other.table)).to_pylist()
    if found:
        files = other.first_file(lambda table: bool(engine.rows(odd(table))))
        value, times = found[0][KEY], found[0][COUNT]
        received = "none" if value is None else repr(value)
        raise ValueError(
            f"{named(files or other.files)}: each row must have its own {key!r}. "
            f"Received: {received} in {times} rows"
        )


def _joined(table: Any, other: Any, what: str, key: str) -> Any:
    """Each row, with the columns of the row of the same id."""
    who, right = (
        f"data.{what[:-1]}",
        other.select(
            **{KEY: as_category(other, f"data.{what[:-1]}", key)},
            **{name: name for name in other.columns if name != key},
        ),
    )
    joined = table.left_join(right, [as_category(table, who, key) == right[KEY]])
    return joined.drop(KEY)
