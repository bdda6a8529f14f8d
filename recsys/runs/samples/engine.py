"""Where samples are made: an Ibis backend, and tables that it keeps meanwhile."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data import embedded as duckdb
from recsys.data.embedded import disk_room
from recsys.data.files.paths import CSV, find_files
from recsys.data.source import Source, open_source


def _place() -> int:
    """Of Spark: the place of a row, rising by partition, and there by row."""
    raise NotImplementedError  # Spark has it


PLACE = ibis.udf.scalar.builtin(_place, name="monotonically_increasing_id")


class Engine:
    """Runs Ibis tables, and keeps those that are read again.

    Args:
        connection: The Ibis backend. DuckDB must be one of our own: tables stay in it.
        scratch: Folder for files that are read until the end.
    """

    def __init__(self, connection: Any, scratch: Path) -> None:
        self.connection = connection
        self.scratch = scratch
        self._numbers = count()

    def open(self, paths: Sequence[str], columns: Mapping[str, str]) -> Source:
        """Opens files as `open_source` does.

        DuckDB reads CSV for the others too: to Spark 007 is a number, and a line ends
        inside quotes.
        """
        files = [file for path in paths for file in find_files(path)]
        if self.connection.name == "duckdb" or not files[0].endswith(CSV):
            return open_source(files, self.connection, columns)
        name = f"csv_{next(self._numbers)}"
        path = self.scratch / f"{name}.parquet"
        with duckdb.embedded(self.scratch / name) as here:
            source = open_source(files, here, columns)
            with source.reading(), disk_room():
                here.to_parquet(source.table, path)
        table = self.connection.read_parquet(path).cast(source.table.schema())
        return Source(
            table, files, source.zoned, lambda file: self.open([file], columns).table
        )

    def run(self, table: Any) -> pa.Table:
        """Returns an Ibis table as one of Arrow."""
        if self.connection.name == "duckdb":
            return self.connection.to_pyarrow(table)
        # Ibis goes by way of pandas, whose integers with a gap are doubles.
        found = self.connection.raw_sql(self.connection.compile(table)).toArrow()
        return found.cast(table.schema().to_pyarrow())

    def one(self, table: Any, **wanted: Any) -> dict[str, Any]:
        """Returns aggregates of a table."""
        found: dict[str, Any] = self.run(table.aggregate(**wanted)).to_pylist()[0]
        return found

    def rows(self, table: Any) -> int:
        """Returns the number of rows."""
        found: int = self.one(table, rows=table.count())["rows"]
        return found

    def numbered(self, table: Any, name: str) -> Any:
        """Returns a table of files with the place of each row in them, from 0 on."""
        if self.connection.name == "duckdb":
            return table.mutate(**{name: ibis.row_number()})
        place = f"{name}/place"
        table = table.mutate(**{place: PLACE()})  # partitions are in order
        number = ibis.row_number().over(order_by=place)
        return table.mutate(**{name: number}).drop(place)

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
        if self.connection.name == "duckdb":
            with disk_room():
                self.connection.to_parquet(table, path)
        else:  # a folder of files, by their names in the order of the rows
            parts = self.scratch / f"written_{next(self._numbers)}"
            self.connection.to_parquet(table, parts)
            _join(sorted(parts.glob("*.parquet")), path)
            shutil.rmtree(parts)
        found: int = pq.read_metadata(path).num_rows
        return found


def _join(files: Sequence[Path], path: Path) -> None:
    """Writes the rows of parquet files of one schema into one."""
    with pq.ParquetWriter(path, pq.read_schema(files[0])) as writer:
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches():
                writer.write_batch(batch)


def engine_of(name: str, scratch: Path) -> AbstractContextManager[Engine]:
    """Lends what makes the rows of a run.

    Args:
        name: `"duckdb"` or `"spark"`.
        scratch: A new folder for tables.

    Raises:
        ValueError: If it is Spark, and there is none.
    """
    return _spark(scratch) if name == "spark" else embedded(scratch)


@contextmanager
def embedded(scratch: Path) -> Iterator[Engine]:
    """Lends DuckDB with its tables in a new folder, and little of them in memory."""
    with duckdb.embedded(scratch) as connection:
        yield Engine(connection, scratch)


@contextmanager
def _spark(scratch: Path) -> Iterator[Engine]:
    """Lends the Spark session of the process, begun if there is none."""
    try:
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ValueError(
            "data.engine must be 'duckdb' without pyspark: pip install "
            "'deep-rec-kit[spark]'. Received: 'spark'"
        ) from error
    try:
        connection = ibis.pyspark.connect()
    except PySparkException as error:
        raise ValueError(
            "data.engine must be 'duckdb' where Spark does not start, which needs "
            f"Java. Received: 'spark', which says: {_reason(error)}"
        ) from error
    master = SparkSession.active().sparkContext.master
    if not master.startswith("local"):  # others see other folders
        raise ValueError(
            f"data.engine: Spark must be a local one. Received: that of {master}"
        )
    scratch.mkdir()
    try:
        yield Engine(connection, scratch)
    except (PySparkException, Py4JJavaError) as error:
        kind = OSError if "No space left" in str(error) else ValueError
        raise kind(
            "data.engine: Spark must make the rows. Received: an error that says: "
            f"{_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """The part of an error of Spark that is before its stacks of calls."""
    lines = (line.strip() for line in str(error).split("\n\tat ")[0].splitlines())
    return " ".join(filter(None, lines))
