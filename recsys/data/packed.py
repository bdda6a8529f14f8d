"""Rows of the model input in two files, integers and numbers, each row in one piece."""

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from recsys.data.history import Windows
from recsys.data.layout import KINDS, Slot, fill, packed_room

FILES = ("ids", "numbers")
READ_ROWS = 2**16
SAMPLED = 1000  # rows that are looked at to tell data apart


def write_packed(
    tables: Iterable[tuple[np.ndarray, pa.Table]],
    histories: Sequence[Windows],
    folder: Path,
    slots: Sequence[Slot],
) -> None:
    """Writes rows in the order of their numbers.

    Args:
        tables: The numbers of some rows, `(rows,)`, and their model input without
            histories, lists not yet padded; until there are all.
        histories: Those of all rows.
        folder: Gets the files.
        slots: The columns.
    """
    ids, numbers = (folder / name for name in FILES)
    with ids.open("wb") as of_ids, numbers.open("wb") as of_numbers:
        for rows, table in tables:
            block, columns = packed_room(len(rows), slots)
            fill(columns, table, slots)
            for windows in histories:
                windows.cut(rows, columns)
            for packed, out in zip(block, (of_ids, of_numbers), strict=True):
                _put(out, rows, packed)


def _put(file: BinaryIO, rows: np.ndarray, packed: np.ndarray) -> None:
    """Writes rows at their places; those that follow each other at once."""
    order = np.argsort(rows, kind="stable")  # engines keep most of it
    rows = rows[order]
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        file.seek(int(rows[start]) * packed.shape[1] * packed.itemsize)
        file.write(packed[order[start:stop]].tobytes())


def read_packed(
    folder: Path, slots: Sequence[Slot], start: int, stop: int
) -> list[np.ndarray]:
    """Returns some rows that `write_packed` wrote, `(rows, width)` of each kind."""
    found = []
    for name, kind in zip(FILES, KINDS, strict=True):
        width = sum(slot.width for slot in slots if slot.kind == kind)
        offset = start * width * np.dtype(kind).itemsize
        count = (stop - start) * width
        rows = np.fromfile(folder / name, kind, count, offset=offset)
        found.append(rows.reshape(stop - start, width))
    return found


def checksum(packed: Iterable[np.ndarray]) -> int:
    """Returns a number that tells other rows apart, by some of them from everywhere."""
    found = 0
    for rows in packed:
        some = rows[:: max(1, len(rows) // SAMPLED)]
        found = zlib.crc32(np.ascontiguousarray(some).tobytes(), found)
    return found


def checksum_of(folder: Path, slots: Sequence[Slot], num_rows: int) -> int:
    """Returns the `checksum` of rows that `write_packed` wrote."""
    places = range(0, num_rows, max(1, num_rows // SAMPLED))
    some = [read_packed(folder, slots, place, place + 1) for place in places]
    return checksum(np.concatenate(rows) for rows in zip(*some, strict=True))
