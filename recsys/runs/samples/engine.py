"""Where samples are made: an Ibis backend, and tables that it keeps meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa

MEMORY = "1GB"  # what is more than this goes to the disk
MOST_THREADS = 4  # each has buffers of its own
FULL = ("No space left", "failed to offload")  # in DuckDB's words


class Engine:
    """Runs Ibis tables, and keeps those that are read again.

    Args:
        connection: The Ibis backend. DuckDB must be one of our own: tables stay in it.
        scratch: Folder for files that are read until the end, if there is one.
    """

    def __init__(self, connection: Any, scratch: Path = Path()) -> None:
        self.connection = connection
        self.scratch = scratch
        self._numbers = count()

    def run(self, table: Any) -> pa.Table:
        """Returns an Ibis table as one of Arrow."""
        return self.connection.to_pyarrow(table)

    def one(self, table: Any, **wanted: Any) -> dict[str, Any]:
        """Returns aggregates of a table."""
        found: dict[str, Any] = self.run(table.aggregate(**wanted)).to_pylist()[0]
        return found

    def rows(self, table: Any) -> int:
        """Returns the number of rows."""
        found: int = self.one(table, rows=table.count())["rows"]
        return found

    def keep(self, table: Any) -> Any:
        """Returns a table that is computed once."""
        if self.connection.name != "duckdb":
            return table.cache()
        with _room():
            return self.connection.create_table(f"kept_{next(self._numbers)}", table)

    def drop(self, table: Any) -> None:
        """Forgets a table that `keep` returned."""
        if self.connection.name == "duckdb":  # Ibis's own words are none to DuckDB 2
            self.connection.con.execute(f'drop table "{table.op().name}"')

    def write(self, table: Any, path: Path) -> int:
        """Writes a parquet file, and returns its rows."""
        with _room():
            self.connection.to_parquet(table, path)
        return self.rows(self.connection.read_parquet(path))


@contextmanager
def embedded(scratch: Path) -> Iterator[Engine]:
    """Lends DuckDB with its tables in a new folder, and little of them in memory."""
    scratch.mkdir()
    connection = ibis.duckdb.connect(
        scratch / "tables.duckdb",
        memory_limit=MEMORY,
        threads=min(os.cpu_count() or 1, MOST_THREADS),
        temp_directory=str(scratch / "spilled"),
    )
    try:
        yield Engine(connection, scratch)
    finally:
        connection.disconnect()


@contextmanager
def _room() -> Iterator[None]:
    """Raises `OSError` if the disk is full, which is not the fault of what is read."""
    try:
        yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        if any(sign in reason for sign in FULL):
            raise OSError(f"The disk must have room for samples: {reason}") from error
        raise
