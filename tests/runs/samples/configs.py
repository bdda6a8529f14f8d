"""Runs of small files."""

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.runs.config import Config

COLUMNS = [
    {"kind": "categorical", "name": "user"},
    {"kind": "categorical", "name": "item", "belong": "item"},
]


def config(columns=COLUMNS, labels=("click",), data=None, schema=None, **sections):
    """A run of `events.parquet` with its keys named as one would."""
    entries = {
        "data": {"files": "events.parquet"}
        | {"user": "user", "item": "item", "time": "time"}
        | (data or {}),
        "schema": {"columns": [*columns], "labels": [*labels]} | (schema or {}),
        "model": {"name": "deepfm"},
        **sections,
    }
    return Config.model_validate(entries)


def write(folder, **tables):
    """Writes a parquet file of each table of columns."""
    for name, columns in tables.items():
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, folder / f"{name}.parquet")


def read(folder, name):
    """The columns of a file, as lists."""
    return pq.read_table(folder / f"{name}.parquet").to_pydict()
