"""Where samples are made: an Ibis backend, and tables that it keeps meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.data import embedded as duckdb
from recsys.data.embedded import disk_room
from recsys.data.writing import temporary_folder


class Engine:
    """Runs Ibis tables, and keeps those that are read again.

    Args:
        connection: The Ibis backend. DuckDB must be one of our own: tables stay in it.
        scratch: Folder for files that are read until the end. Default: one of its own.
    """

    def __init__(self, connection: Any, scratch: Path | None = None) -> None:
        self.connection = connection
        if scratch is None:
            self._own = temporary_folder()  # which is there as long as this is
            scratch = Path(self._own.name)
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
        name = f"kept_{next(self._numbers)}"
        if self.connection.name == "duckdb":
            with disk_room():
                return self.connection.create_table(name, table)
        # A cached table of Spark has all its steps within, of all cached ones before.
        folder = self.scratch / name
        self.connection.to_parquet(table, folder)
        kept = self.connection.read_parquet(folder)
        return kept.cast(table.schema())  # Spark's own types are others at times

    def drop(self, table: Any) -> None:
        """Forgets a table that `keep` returned."""
        if self.connection.name == "duckdb":  # Ibis's own words are none to DuckDB 2
            self.connection.con.execute(f'drop table "{table.op().name}"')

    def write(self, table: Any, path: Path) -> int:
        """Writes a parquet file, and returns its rows."""
        with disk_room():
            self.connection.to_parquet(table, path)
        return self.rows(self.connection.read_parquet(path))


@contextmanager
def embedded(scratch: Path) -> Iterator[Engine]:
    """Lends DuckDB with its tables in a new folder, and little of them in memory."""
    with duckdb.embedded(scratch) as connection:
        yield Engine(connection, scratch)
