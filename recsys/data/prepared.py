"""Checked data, evaluated in memory or to disk."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.history import Windows
from recsys.data.layout import ROW, Selection, by_row, fill, packed_room, room
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

    def columns(self) -> dict[str, np.ndarray]:
        """Evaluates the expressions in memory."""
        columns = room(self.num_rows, self.part.slots)
        self._fill(columns)
        return columns

    def block(self) -> tuple[np.ndarray, np.ndarray]:
        """Evaluates the expressions in memory, columns side by side."""
        block, columns = packed_room(self.num_rows, self.part.slots)
        self._fill(columns)
        return block

    def _fill(self, columns: dict[str, np.ndarray]) -> None:
        with self.source.reading():
            table = by_row(self.connection.to_pyarrow(self.expression))
            fill(columns, table, self.part.slots)
            table = table.drop([n for n in table.column_names if n in columns])
            for windows in self._windows(table):
                windows.cut(0, columns)

    def write(self) -> "tempfile.TemporaryDirectory[str]":
        """Evaluates the expressions into a temporary folder, as `on_disk` reads it."""
        from recsys.data.dataset import write_packed

        folder = temporary_folder()
        path = Path(folder.name) / "rows.parquet"
        with self.source.reading():
            self.connection.to_parquet(self.expression.order_by(ROW), path)
            names = [name for name in self.expression.columns if name[0] == "/"]
            windows = [*self._windows(pq.read_table(path, columns=names))]
        write_packed(path, windows, path.parent, self.part.slots)
        path.unlink()
        return folder

    def _windows(self, rows: pa.Table) -> "Iterator[Windows]":
        import ibis

        from recsys.data.history import Windows

        here = self.connection
        for history, events in self.events:
            if here.name != "duckdb":
                here = ibis.duckdb.connect()
            slots = [
                dataclasses.replace(slot, shape=slot.shape[1:])
                for slot in self.part.slots
                if slot.name in history.attributes
            ]
            log = None if events is None else self.connection.to_pyarrow(events)
            yield Windows.of(history, rows, log, slots, here.to_pyarrow)
