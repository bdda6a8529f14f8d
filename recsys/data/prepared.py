"""Checked data, evaluated in memory or to disk."""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.embedded import disk_room, embedded
from recsys.data.history import Windows
from recsys.data.layout import ROW, Selection, Slot, by_row, fill, packed_room, room
from recsys.data.packed import READ_ROWS, read_packed, write_packed
from recsys.data.source import Source
from recsys.data.writing import temporary_folder
from recsys.feature.schema.history import History


@dataclass(frozen=True)
class Prepared:
    """Checked data, and the expressions of the model input made from it."""

    part: Selection
    num_rows: int
    source: "Source"
    expression: Any
    events: Sequence[tuple[History, Any]]
    connection: Any
    fingerprint: str

    @property
    def is_of_files(self) -> bool:
        """Whether the rows lie in files."""
        return bool(self.source.files)

    def columns(self) -> dict[str, np.ndarray]:
        """Evaluates the expressions in memory."""
        columns = room(self.num_rows, self.part.slots)
        self._fill(columns)
        return columns

    def block(self) -> tuple[np.ndarray, np.ndarray]:
        """Evaluates the expressions, columns side by side, in memory in the end."""
        if self.is_of_files:  # whose events may be many more than the rows
            with self.write() as folder:
                ids, numbers = read_packed(
                    Path(folder), self.part.slots, 0, self.num_rows
                )
            return ids, numbers
        block, columns = packed_room(self.num_rows, self.part.slots)
        self._fill(columns)
        return block

    def _fill(self, columns: dict[str, np.ndarray]) -> None:
        with self.source.reading():
            table = by_row(self.connection.to_pyarrow(self.expression))
            fill(columns, table, self.part.slots)
            numbers = np.arange(self.num_rows)
            rows = table.drop([n for n in table.column_names if n in columns])
            rows = ibis.memtable(rows.append_column(ROW, pa.array(numbers)))
            here = self.connection
            for history, events in self.events:
                if here.name != "duckdb":
                    here = ibis.duckdb.connect()
                if events is not None:
                    events = ibis.memtable(self.connection.to_pyarrow(events))
                slots = self._slots_of(history)
                Windows.of(history, rows, events, slots, here).cut(numbers, columns)

    def write(self) -> "tempfile.TemporaryDirectory[str]":
        """Evaluates the expressions into a temporary folder, as `on_disk` reads it."""
        folder = temporary_folder()
        path = Path(folder.name)
        scratch = path / "scratch"
        with self.source.reading(), disk_room(), embedded(scratch) as here:
            files = self._written(self.expression, scratch / "rows")
            rows, windows = here.read_parquet(files), []
            for number, (history, events) in enumerate(self.events):
                if events is not None:
                    at = scratch / f"events-{number}"
                    events = here.read_parquet(self._written(events, at))
                slots = self._slots_of(history)
                windows.append(Windows.of(history, rows, events, slots, here, scratch))
            write_packed(_numbered(files), windows, path, self.part.slots)
        shutil.rmtree(scratch)
        return folder

    def _written(self, table: Any, folder: Path) -> list[Path]:
        """The parquet files that the engine writes of a table."""
        if self.connection.name == "duckdb":
            folder.mkdir()
            self.connection.to_parquet(table, folder / "0.parquet")
        else:
            self.connection.to_parquet(table, folder)
        return sorted(folder.glob("*.parquet"))

    def _slots_of(self, history: History) -> list[Slot]:
        """The attributes of one event."""
        return [
            dataclasses.replace(slot, shape=slot.shape[1:])
            for slot in self.part.slots
            if slot.name in history.attributes
        ]


def _numbered(files: Sequence[Path]) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Some rows of parquet files after the other, and their numbers."""
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(READ_ROWS):
            yield batch[ROW].to_numpy(), pa.Table.from_batches([batch])
