"""The rows that are looked at: the events, with their items and users beside them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ibis
import pyarrow as pa

from recsys.data.files.types import is_finite
from recsys.data.layout import ROW
from recsys.data.writing import temporary_folder
from recsys.runs.init.roles import Home, Roles, Table

MOST_ROWS = 500_000  # of which quantiles, texts, leaks and owners are looked at
MEMORY = "2GiB"


@dataclass(frozen=True)
class Rows:
    """All rows, and those that are looked at closely.

    Args:
        table: All; empty texts and numbers that are not finite are missing.
        sample: A temporary table of some of them, with the number of each in `ROW`.
        total: How many there are.
        sampled: How many the sample has.
        homes: Column -> the files that have it.
        run: Evaluates an Ibis table.
    """

    table: Any
    sample: Any
    total: int
    sampled: int
    homes: Mapping[str, Home]
    run: Callable[[Any], pa.Table]

    @property
    def is_all(self) -> bool:
        """Whether all rows are looked at."""
        return self.sampled == self.total

    def first(self, query: Any) -> dict[str, Any]:
        """Returns the first row of what a query gives."""
        row: dict[str, Any] = self.run(query).to_pylist()[0]
        return row


@contextmanager
def database() -> Iterator[Any]:
    """Lends a DuckDB of its own, which writes to the disk what memory does not hold."""
    with temporary_folder() as folder:
        connection = ibis.duckdb.connect(memory_limit=MEMORY, temp_directory=folder)
        try:
            yield connection
        finally:
            connection.disconnect()


def rows_of(roles: Roles, connection: Any, most: int = MOST_ROWS) -> Rows:
    """Returns the rows of files; of many a share is drawn, the same each time.

    Args:
        roles: What each file is for.
        connection: The Ibis backend, which keeps the sample.
        most: About how many rows are looked at closely.

    Raises:
        ValueError: If a file cannot be read, or there are no rows.
    """
    run = connection.to_pyarrow
    events = roles.tables["events"]
    with events.source.reading():
        total = run(events.source.table.aggregate(n=events.source.table.count()))
        total = total["n"][0].as_py()
    if not total:
        raise ValueError(f"{events.name} must have rows. Received: none")
    homes: dict[str, Home] = dict.fromkeys(events.columns, "events")
    table = _clean(events).mutate(**{ROW: ibis.row_number()})
    for home, key in roles.keys.items():
        side = roles.tables[home]
        homes |= {name: home for name in side.columns if name != key}
        other = _clean(side).rename({f"//{home}": key})
        table = table.left_join(other, [(key, f"//{home}")]).drop(f"//{home}")
    every = -(-total // most)
    drawn = table
    if every > 1:
        drawn = table.filter(table[ROW].hash() % every == 0)
    with events.source.reading():
        sample = connection.create_table("sample", drawn, temp=True)
        sampled = run(sample.aggregate(n=sample.count()))["n"][0].as_py()
    return Rows(table if every > 1 else sample, sample, total, sampled, homes, run)


def _clean(table: Table) -> Any:
    """The columns of a table; empty texts and numbers that are not finite are null."""
    rows = table.source.table
    clean = {}
    for name in table.columns:
        value = rows[name]
        if value.type().is_string():
            clean[name] = value.nullif("")
        elif value.type().is_floating():
            clean[name] = is_finite(value).ifelse(value, ibis.null(value.type()))
        else:
            clean[name] = value
    return rows.select(**clean)
