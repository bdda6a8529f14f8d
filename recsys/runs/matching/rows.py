"""The rows of the parts, as queries need them: by DuckDB, whatever their number."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis

from recsys.data.history import TIME, USER
from recsys.data.layout import ROW
from recsys.data.writing import temporary_folder
from recsys.runs.reading import Read
from recsys.runs.samples.engine import Engine, embedded
from recsys.runs.samples.kept import ITEM, key_columns
from recsys.runs.samples.split import PART, PARTS
from recsys.runs.samples.wanted import Wanted

ORDER = (TIME, PART, ROW)


@contextmanager
def scratch() -> Iterator[tuple[Engine, Path]]:
    """Lends an engine, and a folder for files."""
    folder = temporary_folder()
    try:
        with embedded(Path(folder.name) / "engine") as engine:
            yield engine, Path(folder.name)
    finally:
        folder.cleanup()


def rows_of(read: Read, samples: Path, parts: Sequence[str], engine: Engine) -> Any:
    """Returns the rows of parts, with whose they are, of what, and when.

    Args:
        read: The configuration.
        samples: Folder of the parts.
        parts: Their names, the earlier ones first.
        engine: What reads them.

    Returns:
        Table of the raw columns, `USER`, `ITEM`, and the columns of `ORDER`.
    """
    wanted = Wanted(read.config, read.schema)
    tables = []
    for name in parts:
        table = engine.connection.read_parquet(samples / f"{name}.parquet")
        keys = {TIME: ibis.literal(0), **key_columns(table, wanted)}
        place = ibis.literal(PARTS.index(name))
        tables.append(table.mutate(**keys, **{PART: place, ROW: ibis.row_number()}))
    return ibis.union(*tables) if tables[1:] else tables[0]


def one_of_each_user(rows: Any, last: bool) -> Any:
    """Returns the first, or the last, row of each user."""
    by = [ibis.desc(rows[name]) if last else rows[name] for name in ORDER]
    place = ibis.row_number().over(group_by=USER, order_by=by)
    rows = rows.mutate(**{"//place": place})
    return rows.filter(rows["//place"] == 0).drop("//place")


def pairs_of(rows: Any) -> Any:
    """Returns who had what, once each, with the columns of `ORDER` of the last time."""
    latest = {name: rows[name].max() for name in ORDER}
    return rows.group_by(USER, ITEM).aggregate(**latest)
