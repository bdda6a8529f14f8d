"""DuckDB with little memory: what is more lies on the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis

MEMORY = "1GB"
MOST_THREADS = 4  # each has buffers of its own
FULL = ("No space left", "failed to offload")  # in DuckDB's words


@contextmanager
def embedded(scratch: Path) -> Iterator[Any]:
    """Lends a DuckDB of one's own, an Ibis backend.

    Args:
        scratch: A new folder, for its tables and what it spills.
    """
    scratch.mkdir()
    connection = ibis.duckdb.connect(
        scratch / "tables.duckdb",
        memory_limit=MEMORY,
        threads=min(os.cpu_count() or 1, MOST_THREADS),
        temp_directory=str(scratch / "spilled"),
    )
    try:
        yield connection
    finally:
        connection.disconnect()


@contextmanager
def disk_room() -> Iterator[None]:
    """Raises `OSError` if the disk is full, which is not the fault of what is read."""
    try:
        yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        if any(sign in reason for sign in FULL):
            raise OSError(f"The disk must have room: {reason}") from error
        raise
