"""Parquet files."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.files.legs import Leg, common, literally, runs, without_folders
from recsys.data.files.paths import naming
from recsys.data.files.types import Types, arrow_types
from recsys.data.reader import refuse_duplicates


def read_parquet(
    files: Sequence[str], connection: Any, columns: Collection[str]
) -> tuple[Sequence[Leg], Types]:
    types = {file: _parquet_types(file, columns) for file in files}
    legs = []
    for run in runs(files, types.__getitem__, connection):
        with naming(run):
            table = connection.read_parquet(
                literally(run, connection), **without_folders(connection)
            )
        legs.append(Leg(run, table, types[run[0]]))
    return common(legs, connection, columns)


def _parquet_types(file: str, columns: Collection[str]) -> Types:
    try:
        schema = pq.read_schema(Path(file).absolute())  # else 's3:a' is an address
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"Cannot read {file} as parquet: {error}") from error
    refuse_duplicates(schema.names, file)
    return arrow_types(schema, columns, f"{file}: column")
