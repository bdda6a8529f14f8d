"""Data as it comes, files or frames, as an Ibis table."""

import csv
import glob
import gzip
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.reader import as_arrow, refuse_duplicates

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class Source:
    """A table and, for errors, the files it is read from."""

    table: Any
    files: Sequence[str] = ()

    def beside(self, other: "Source") -> "Source":
        """Returns the same table; errors may be of the files of both."""
        return replace(self, files=[*self.files, *other.files])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turns an error of the engine into one that names the file."""
        try:
            yield
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            where = _broken(self.files) or ", ".join(self.files) or "the data"
            raise ValueError(f"Cannot read {where}: {reason}") from error


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


def open_source(data: Any, connection: Any, texts: Sequence[str] = ()) -> Source:
    """Opens data of any kind; nothing but heads and footers is read yet.

    Args:
        data: A pandas, polars or Arrow table, a mapping of names to arrays, a list of
            dicts, an Ibis table of `connection`, or one or several paths or patterns
            of parquet or CSV files.
        connection: The Ibis backend.
        texts: Columns that are strings even if a CSV file looks otherwise.

    Raises:
        FileNotFoundError: If no file has the path or matches the pattern.
        ValueError: If a file is empty, unreadable or has several columns of one name.
    """
    if isinstance(data, ibis.Table):
        return Source(data)
    paths = [data] if isinstance(data, (str, Path)) else data
    listed = isinstance(paths, (list, tuple))
    if not listed or not all(isinstance(path, (str, Path)) for path in paths):
        return Source(ibis.memtable(as_arrow(data)))
    files = [file for path in paths for file in _find(path)]
    if files and all(file.endswith(_PARQUET) for file in files):
        for file in files:
            _check_parquet(file)
        return _read(connection, connection.read_parquet, files)
    if files and all(file.endswith(_CSV) for file in files):
        types = {
            name: "string"
            for file in files
            for name in _csv_header(file)
            if name in texts
        }
        return _read(connection, connection.read_csv, files, types=types or None)
    raise ValueError(
        f"Files must all end in one of {_PARQUET}, or all in one of {_CSV}. "
        f"Received: {files}"
    )


def _read(
    connection: Any, read: Callable[..., Any], files: Sequence[str], **options: Any
) -> Source:
    source = Source(None, files)
    with source.reading():
        if connection.name == "duckdb":
            return Source(read(files, **options), files)
        tables = [read(file) for file in files]  # other engines take one, and no types
        return Source(ibis.union(*tables) if tables[1:] else tables[0], files)


def _find(path: str | Path) -> list[str]:
    found = sorted(glob.glob(str(path), recursive=True))
    if not found and Path(path).exists():  # a name with brackets in it
        found = [str(path)]
    if not found:
        raise FileNotFoundError(f"There is no file {str(path)!r}")
    for file in found:
        if Path(file).is_file() and not Path(file).stat().st_size:
            raise ValueError(f"{file} must not be empty. Received: 0 bytes")
    return found


def _check_parquet(file: str) -> None:
    try:
        names = pq.read_schema(file).names
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"Cannot read {file} as parquet: {error}") from error
    refuse_duplicates(names, file)


def _csv_header(file: str) -> list[str]:
    opener = gzip.open if file.endswith(".gz") else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read {file} as CSV: {error}") from error
    names = next(csv.reader([first], delimiter=max("\t,;|", key=first.count)), [])
    refuse_duplicates(names, file)
    return names


def _broken(files: Sequence[str]) -> str | None:
    """The first parquet file that cannot be read to its end."""
    for file in files:
        if file.endswith(_PARQUET):
            try:
                for _ in pq.ParquetFile(file).iter_batches():
                    pass
            except (OSError, pa.ArrowException):
                return file
    return None
