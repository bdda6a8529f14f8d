"""Folders of model input: parquet parts that say which fitted pipeline made them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.layout import Selection, fill, packed_room
from recsys.data.packed import READ_ROWS, read_packed, write_packed
from recsys.data.prepared import Prepared
from recsys.data.reader import FINGERPRINT, ROWS, as_arrow
from recsys.data.writing import temporary_folder, whole_folder
from recsys.feature.schema.schema import Schema

PART, PARTS = "part-{:05}.parquet", "part-*.parquet"
PART_ROWS = 2**18
WRITE, NUMBER = "recsys_write", "recsys_part"  # in the metadata of a part


def write_parts(prepared: Prepared, path: Path) -> None:
    """Writes model input into a folder, whole or not at all.

    Raises:
        FileExistsError: If there is anything but an empty folder, or one of its kind.
        FileNotFoundError: If there is no folder for it.
    """
    slots, num_rows = prepared.part.slots, prepared.num_rows
    told = {FINGERPRINT: prepared.fingerprint, ROWS: str(num_rows), WRITE: uuid4().hex}
    names = [PART.format(0), PARTS]
    with whole_folder(path, names) as whole, prepared.write() as packed:
        whole.mkdir()
        for number, start in enumerate(range(0, num_rows, PART_ROWS)):
            stop = min(start + PART_ROWS, num_rows)
            block, columns = packed_room(stop - start, slots)
            for room, rows in zip(
                block, read_packed(Path(packed), slots, start, stop), strict=True
            ):
                room[:] = rows
            table = as_arrow(columns).select([slot.name for slot in slots])
            file = whole / PART.format(number)
            own = {**told, NUMBER: str(number)}
            pq.write_table(table.replace_schema_metadata(own), file)


def is_written(data: Any) -> bool:
    """Whether data is a folder that `write_parts` wrote."""
    if not isinstance(data, (str, Path)):
        return False
    first = Path(data) / PART.format(0)
    return first.is_file() and ROWS.encode() in (pq.read_schema(first).metadata or {})


@dataclass(frozen=True)
class Written:
    """Model input in parquet parts; it gives its rows as `Prepared` does."""

    part: Selection
    num_rows: int
    files: list[Path]
    fingerprint: str

    @classmethod
    def of(cls, path: Path, schema: Schema, fingerprint: str) -> "Written":
        """Reads what the parts say of themselves.

        Args:
            path: The folder.
            schema: That of the pipeline that reads it.
            fingerprint: The pipeline's.

        Raises:
            ValueError: If another pipeline wrote it, or rows or columns are missing.
        """
        files = sorted(path.glob(PARTS))
        found, writes = 0, set()
        for number, file in enumerate(files):
            footer = pq.read_metadata(file)
            told = {k.decode(): v.decode() for k, v in (footer.metadata or {}).items()}
            if told.get(FINGERPRINT) != fingerprint:
                raise ValueError(
                    f"{file} must be written by this pipeline, fitted as it is. "
                    f"Received: fingerprint {told.get(FINGERPRINT)} of another one, "
                    f"not {fingerprint}"
                )
            writes.add(told.get(WRITE))
            if file.name != PART.format(number) or told.get(NUMBER) != str(number):
                raise ValueError(
                    f"{path} must have each of its parts by its own name. Received: "
                    f"{file.name}, which is part {told.get(NUMBER)}, in place {number}"
                )
            names = {*footer.schema.to_arrow_schema().names}
            labelled = any(label.name in names for label in schema.labels)
            part = Selection.of(schema, labels=labelled)
            if names != {slot.name for slot in part.slots}:
                raise ValueError(
                    f"{file} must have the columns "
                    f"{[slot.name for slot in part.slots]}. Received: {sorted(names)}"
                )
            found += footer.num_rows
        if len(writes) > 1:
            raise ValueError(
                f"{path} must have the parts of one `write`. Received: parts of "
                f"{len(writes)}"
            )
        if found != int(told[ROWS]):
            raise ValueError(
                f"{path} must have {int(told[ROWS]):,} rows in its parts. "
                f"Received: {found:,} rows in {len(files)} parts"
            )
        return cls(part, found, files, fingerprint)

    @property
    def is_of_files(self) -> bool:
        """Whether the rows lie in files."""
        return True

    def block(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows in memory, columns side by side."""
        block, columns = packed_room(self.num_rows, self.part.slots)
        for rows, table in self._tables():
            here = {name: columns[name][rows[0] : rows[-1] + 1] for name in columns}
            fill(here, table, self.part.slots)
        return block

    def write(self) -> "TemporaryDirectory[str]":
        """Writes the rows into a temporary folder, as `on_disk` reads it."""
        folder = temporary_folder()
        write_packed(self._tables(), [], Path(folder.name), self.part.slots)
        return folder

    def _tables(self) -> Iterator[tuple[np.ndarray, pa.Table]]:
        start = 0
        for file in self.files:
            for batch in pq.ParquetFile(file).iter_batches(READ_ROWS):
                yield (
                    np.arange(start, start + len(batch)),
                    pa.Table.from_batches([batch]),
                )
                start += len(batch)
