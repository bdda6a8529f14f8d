"""Histories from an event log, without leakage: sorted by DuckDB, cut by NumPy.

The log is sorted once, by user and time. A row's history is then a window of it, so
that lists are neither built nor moved before the end, and the cost is that of writing
them: `O(events + rows * length)`, however active a user is.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import as_strided

from recsys.data.layout import ROW, Slot, fill
from recsys.feature.schema.history import History

USER, TIME, EVENT, SESSION = "//user", "//time", "//event", "//session"
BLOCK_ROWS = 2**13
SORTED_ROWS = 2**18  # of the sorted log that are looked at together


def key(history: History, name: str) -> str:
    """Name of a column that a history is made from: not a name of the model input."""
    kinds = {USER: "user", TIME: "time", EVENT: "event"}
    return f"/{history.name}/{kinds[name]}" if name in kinds else f"/{name}"


@dataclass(frozen=True)
class Windows:
    """For each row, which part of a sorted log is its history.

    Args:
        history: What is wanted of the events.
        log: What windows are cut from: attributes by name, and the times and the
            numbers of the sessions where they are wanted, `(events + length, ...)`.
        begins: First event of each row, `(rows,)`.
        counts: Number of its events, at most `history.length`, `(rows,)`.
        now: Time of each row, if ages are wanted, `(rows,)`.
        unit: What a second is in these times, 1 where they have their own unit.
    """

    history: History
    log: Mapping[str, np.ndarray]
    begins: np.ndarray
    counts: np.ndarray
    now: np.ndarray | None
    unit: float

    @classmethod
    def of(
        cls,
        history: History,
        rows: Any,
        events: Any,
        slots: Sequence[Slot],
        connection: Any,
        folder: Path | None = None,
    ) -> "Windows":
        """Finds the last events of each row's user with a strictly earlier time.

        Args:
            history: What is wanted of the events.
            rows: Table of `ROW`, their numbers from 0 on, and the columns
                `key(history, ...)` of `USER` and `TIME`; and, if these are the events
                as well, of `EVENT`, whether it counts as one, and of the attributes:
                integers or lists of integers.
            events: Table of the others, with the keys and attributes, or `None`.
            slots: The attributes of an event.
            connection: A DuckDB backend that has the tables.
            folder: Where windows and log lie, in files without a name. Default: in
                memory.
        """
        moments = _moments(history, rows, events)
        numbers = moments.aggregate(all=moments.count(), rows=rows.count().as_scalar())
        found = connection.to_pyarrow(numbers).to_pylist()[0]
        log_size = found["all"] + history.length  # a window may begin behind the end
        kind, unit = _numbers_of(moments[TIME].type())

        def space(size: int, kind: str, *shape: int) -> np.ndarray:
            return _space((size, *shape), kind, folder)

        log = {slot.name: space(log_size, slot.kind, *slot.shape) for slot in slots}
        if history.age or history.session:
            log[TIME] = space(log_size, kind)
        if history.session:
            log[SESSION] = space(log_size, "int32")
        windows = cls(
            history,
            log,
            space(found["rows"], "int32" if log_size < 2**31 else "int64"),
            space(found["rows"], "int32"),
            space(found["rows"], kind) if history.age else None,
            unit,
        )
        windows._fill(moments, slots, connection, folder)
        return windows

    def _fill(
        self, moments: Any, slots: Sequence[Slot], connection: Any, folder: Path | None
    ) -> None:
        """Writes the windows and the log, from the sorted moments block by block."""
        history, length = self.history, self.history.length
        ordered = _in_order(moments, [*history.attributes])
        seen = first = end = session = 0  # events so far: of all, before the user, time
        before: pa.Table | None = None  # the moment before the block
        for batch in _batches(ordered, connection, folder):
            block = pa.Table.from_batches([batch])
            row = block[ROW].to_numpy()
            event = block[EVENT].to_numpy()
            earlier = seen + np.cumsum(event) - event
            users = _starts(block, before, USER)
            firsts = _at_start(earlier, users, first)
            ends = _at_start(earlier, users | _starts(block, before, TIME), end)
            is_row = row >= 0
            begins = np.maximum(ends - length, firsts)
            self.begins[row[is_row]] = begins[is_row]
            self.counts[row[is_row]] = (ends - begins)[is_row]
            logged = block if event.all() else block.filter(pa.array(event))
            here = slice(seen, seen + len(logged))
            fill(
                {slot.name: self.log[slot.name][here] for slot in slots}, logged, slots
            )
            if TIME in self.log:
                times = _numbers(block[TIME])
                self.log[TIME][here] = times[event]
            if self.now is not None:
                self.now[row[is_row]] = times[is_row]
            if history.session_gap is not None and len(logged):
                places = np.arange(here.start, here.stop)
                log = self.log[TIME]
                passed = _passed(log[np.maximum(places - 1, 0)], log[here])
                apart = passed / self.unit > history.session_gap
                same_user = firsts[event] < places
                sessions = session + np.cumsum(same_user & apart)
                self.log[SESSION][here] = sessions
                session = sessions[-1]
            seen, first, end = here.stop, firsts[-1], ends[-1]
            before = block.slice(len(block) - 1)

    def cut(self, rows: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Writes the histories of some rows, oldest first, padded with 0.

        Args:
            rows: Their numbers.
            columns: Output -> `(rows, length, ...)`.
        """

        def write(begin: int) -> None:
            here = slice(begin, begin + BLOCK_ROWS)
            for name, values in self._block(rows[here]).items():
                columns[name][here] = values

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(write, range(0, len(rows), BLOCK_ROWS)))

    def _block(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        history, counts = self.history, self.counts[rows, None]
        padding = np.arange(history.length) >= counts
        cut = {name: self._cut(name, rows) for name in self.log}
        found = {name: cut[name] for name in history.attributes}
        if history.age and history.ages and self.now is not None:
            passed = _passed(cut[TIME], self.now[rows, None]) / self.unit
            passed[padding] = 0
            ages = np.floor(np.log2(passed + 1)) + 1
            found[history.age] = np.minimum(ages, history.ages - 1)
        if history.session:
            newest = np.take_along_axis(cut[SESSION], np.maximum(counts - 1, 0), 1)
            found[history.session] = newest - cut[SESSION] + 1
        for values in found.values():
            values[padding] = 0
        return found

    def _cut(self, name: str, rows: np.ndarray) -> np.ndarray:
        """The events from the first of each row on, `(rows, length, ...)`."""
        values, length = self.log[name], self.history.length
        windows = as_strided(
            values,
            (len(values) - length + 1, length, *values.shape[1:]),
            (values.strides[0], *values.strides),
            writeable=False,
        )
        cut: np.ndarray = windows[self.begins[rows]]
        return cut


def _moments(history: History, rows: Any, events: Any) -> Any:
    """Rows and events in one table, with the number of the row or -1."""
    names = {name: key(history, name) for name in (USER, TIME, *history.attributes)}
    if events is None:
        event = rows[key(history, EVENT)]
        return rows.select(**{ROW: ROW, EVENT: event}, **names)
    # Of timestamps the finer unit: what one of them tells apart stays apart.
    times = [table[names[TIME]].type() for table in (rows, events)]
    finer = max(times, key=lambda dtype: getattr(dtype, "scale", None) or 0)
    columns = {name: events[of] for name, of in names.items()}
    columns[TIME] = columns[TIME].cast(finer)
    log = events.select(
        **{ROW: ibis.literal(-1, "int64"), EVENT: ibis.literal(True)}, **columns
    )
    unknown = {name: ibis.null(log[name].type()) for name in history.attributes}
    others = {
        ROW: rows[ROW].cast("int64"),
        EVENT: ibis.literal(False),
        USER: rows[names[USER]],
        TIME: rows[names[TIME]].cast(finer),
        **unknown,
    }
    return log.union(rows.select(**others))


def _in_order(moments: Any, attributes: Sequence[str]) -> Any:
    """By user and time; events of equal time by their attributes, the lists last."""
    moments = moments.filter(moments[USER].notnull(), moments[TIME].notnull())
    by = sorted(attributes, key=lambda name: moments[name].type().is_array())
    return moments.order_by(USER, TIME, *by)


def _batches(
    table: Any, connection: Any, folder: Path | None
) -> Iterator[pa.RecordBatch]:
    """An Ibis table block by block, from memory or from a file that is then removed."""
    if folder is None:
        yield from connection.to_pyarrow(table).to_batches(SORTED_ROWS)
        return
    path = folder / "sorted.parquet"
    connection.to_parquet(table, path)
    yield from pq.ParquetFile(path).iter_batches(SORTED_ROWS)
    path.unlink()


def _space(shape: tuple[int, ...], kind: str, folder: Path | None) -> np.ndarray:
    """Zeros, in memory or in a file without a name."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    if folder is None or not size:
        return np.zeros(shape, kind)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # else a full disk ends the process
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, kind, "r+", shape=shape).view(np.ndarray)


def _starts(block: pa.Table, before: pa.Table | None, name: str) -> np.ndarray:
    """Where a value is not that before it."""
    values = block[name]
    if before is not None:
        values = pa.chunked_array([*before[name].chunks, *values.chunks])
    differs = pc.not_equal(values[1:], values[:-1]).to_numpy()
    return differs if before is not None else np.append([True], differs)


def _at_start(values: np.ndarray, starts: np.ndarray, before: int) -> np.ndarray:
    """For each place the value at the last start, itself included, or that before."""
    places = np.flatnonzero(starts)
    times = np.diff(places, prepend=0, append=len(values))
    return np.repeat(np.append(before, values[places]), times)


def _passed(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The time between, however long; where it is negative it is of no use."""
    with np.errstate(over="ignore"):
        passed: np.ndarray = later - earlier
    # Integers too far apart for 64 bits with a sign are not for those without.
    return passed.view("uint64") if passed.dtype == "int64" else passed


def _numbers_of(dtype: Any) -> tuple[str, float]:
    """Which numbers times become, and what a second is in them.

    That is 1 if they have their own unit.
    """
    unit = 1.0
    if dtype.is_timestamp():
        unit = 1e9 if dtype.scale == 9 else 1e6
    own = dtype.is_floating() or dtype.is_decimal()
    return "float64" if own else "int64", unit


def _numbers(times: pa.ChunkedArray) -> np.ndarray:
    """Times as numbers, as `_numbers_of` says."""
    days = pa.types.is_date(times.type)  # whose microseconds 64 bits may not hold
    if days:
        times = times.cast("int32").cast("int64")
    elif pa.types.is_decimal(times.type):
        times = times.cast("float64")
    elif pa.types.is_temporal(times.type):
        unit = "ns" if times.type == pa.timestamp("ns") else "us"
        times = times.cast(pa.timestamp(unit), safe=False).cast("int64")
    numbers: np.ndarray = times.to_numpy()
    return 86400 * numbers if days else numbers
