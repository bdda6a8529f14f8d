"""Data as it comes, files or frames, as an Ibis table."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.files import read_files
from recsys.data.files.paths import find_files, named, naming
from recsys.data.files.types import arrow_types, as_read, zoned
from recsys.data.reader import ROWS, as_arrow


@dataclass(frozen=True)
class Source:
    """A table and, for errors, the files it is read from.

    Args:
        table: The rows.
        files: Their paths, if any.
        zoned: Columns of times with a zone; types do not say it of nanoseconds.
        alone: Opens one of the files by itself, if there are any.
    """

    table: Any
    files: Sequence[str] = ()
    zoned: Collection[str] = ()
    alone: Callable[[str], Any] | None = None

    def beside(self, other: "Source") -> "Source":
        """Returns the same table; errors may be of the files of both."""
        return replace(self, files=[*self.files, *other.files])

    def first_file(self, is_such: Callable[[Any], bool]) -> list[str]:
        """Returns the first of several files whose table is such by itself, or none."""
        if self.alone is None or len(self.files) < 2:
            return []
        for file in self.files:
            # Alone it may be of other types, for which errors are raised.
            with suppress(Exception):
                if is_such(self.alone(file)):
                    return [file]
        return []

    def check_zones(
        self, other: "Source", names: Collection[str], run: Callable[[Any], pa.Table]
    ) -> None:
        """Raises `ValueError` if times here have a zone and those of `other` none.

        Args:
            other: The events of these rows.
            names: Columns of times.
            run: Evaluates an Ibis table.
        """
        both = (self, other)
        for name in names:
            if not all(name in each.table.columns for each in both):
                continue
            columns = [each.table[name] for each in both]
            if not all(column.type().is_timestamp() for column in columns):
                continue
            said = ["a zone" if name in each.zoned else "none" for each in both]
            if said[0] != said[1] and all(
                run(each.table.aggregate(n=column.count()))["n"][0].as_py()
                for each, column in zip(both, columns, strict=True)
            ):
                raise ValueError(
                    f"Column {name!r}: times must have a zone in rows and events, or "
                    f"in none of them. Received: {said[0]} in the rows, {said[1]} in "
                    "the events"
                )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turns errors of the engine, and those of the data, into ones of the files."""
        try:
            with naming(self.files):
                yield
        except ValueError as error:
            if not self.files or any(file in str(error) for file in self.files):
                raise
            raise ValueError(f"{named(self.files)}: {error}") from error


@contextmanager
def engine(connection: Any, data: Sequence[Any]) -> Iterator[Any]:
    """Lends a backend that no other thread uses meanwhile.

    DuckDB refuses a call while it answers another. Frames and files are read by a
    cursor of its own, which forgets them in the end; of Ibis tables a cursor may know
    nothing, so that one thread after another uses their connection. Views that this
    adds to it are dropped.

    Args:
        connection: The Ibis backend.
        data: What is to be read.
    """
    if connection.name == "duckdb" and not any(isinstance(d, ibis.Table) for d in data):
        cursor = ibis.duckdb.from_connection(connection.con.cursor())
        try:
            yield cursor
        finally:
            cursor.disconnect()
        return
    # On the connection itself, which several pipelines may share.
    with vars(connection).setdefault("_recsys_lock", threading.Lock()):
        if connection.name != "duckdb":
            yield connection
            return
        before = _views(connection) | _memtables(data)
        try:
            yield connection
        finally:
            for name in _views(connection) - before:
                connection.con.unregister(name)  # else it would hold the frame
                connection.con.execute(f'drop view if exists "{name}"')


def _views(connection: Any) -> set[str]:
    found = connection.con.execute(
        "select view_name from duckdb_views() where temporary"
    )
    return {name for (name,) in found.fetchall()}


def _memtables(data: Sequence[Any]) -> set[str]:
    """Names of the views of the user's own frames, which Ibis adds but once."""
    tables = [one.op() for one in data if isinstance(one, ibis.Table)]
    return {of.name for table in tables for of in table.find(ops.InMemoryTable)}


def open_source(data: Any, connection: Any, columns: Mapping[str, str]) -> Source:
    """Opens data of any kind; of one file nothing but its head or footer is read yet.

    Args:
        data: A pandas, polars or Arrow table, a mapping of names to arrays, a list of
            dicts, an Ibis table of `connection`, or one or several paths, folders or
            patterns of parquet or CSV files. What is in a column says its file; names
            of folders (`day=1/`) say nothing.
        connection: The Ibis backend.
        columns: Raw columns that will be read, as in `read_files`.

    Raises:
        FileNotFoundError: If no file has the path or matches the pattern.
        ValueError: As `find_files` and `read_files` do; or there is no data.
    """
    if isinstance(data, ibis.Table):
        names = [name for name in columns if name in data.columns]
        if connection.name == "duckdb":  # it may be of a CSV file
            data = data.mutate(**{name: as_read(data[name]) for name in names})
        return Source(data, zoned=zoned({name: data[name].type() for name in names}))
    paths = [data] if isinstance(data, (str, Path)) else data
    listed = isinstance(paths, (list, tuple))
    if listed and not paths:
        raise ValueError("The data must have rows, or be paths of files. Received: []")
    if not listed or not all(isinstance(path, (str, Path)) for path in paths):
        frame = as_arrow(data)
        types = arrow_types(frame.schema, columns, "Column")
        return Source(ibis.memtable(_known(frame, columns)), zoned=zoned(types))
    files = [file for path in paths for file in find_files(path)]
    _refuse_model_input(files[0])
    table, with_zone = read_files(files, connection, columns)
    alone = partial(_rows_of, connection=connection, columns=columns)
    return Source(table, files, with_zone, alone)


def _refuse_model_input(file: str) -> None:
    """Raises `ValueError` for a part of what `FeaturePipeline.write` wrote."""
    told = None
    with suppress(OSError, pa.ArrowException):  # what is no parquet file is told later
        told = pq.read_schema(Path(file).absolute()).metadata
    if ROWS.encode() in (told or {}):
        raise ValueError(
            f"{file} must be of raw rows. Received: model input that "
            "`FeaturePipeline.write` wrote, whose folder `dataset` alone reads"
        )


def _rows_of(file: str, connection: Any, columns: Mapping[str, str]) -> Any:
    return read_files([file], connection, columns)[0]


def _known(frame: pa.Table, columns: Collection[str]) -> pa.Table:
    """The columns that engines can read; all of those that will be."""
    for place, of in enumerate(frame.schema):
        if pa.types.is_timestamp(of.type) and of.type.unit == "ns" and of.type.tz:
            utc = frame[of.name].cast(pa.timestamp("ns"))  # DuckDB cuts the others
            frame = frame.set_column(place, of.name, utc)
    unread = [name for name in frame.column_names if name not in columns]
    for name in unread:
        try:
            arrow_types(frame.schema, [name], "Column")
        except ValueError:
            frame = frame.drop([name])
    return frame
