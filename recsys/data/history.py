"""Histories from an event log, without leakage: sorted by DuckDB, cut by NumPy.

The log is sorted once, by user and time. A row's history is then a window of it, so
that lists are neither built nor moved before the end, and the cost is that of writing
them: `O(events + rows * length)`, however active a user is.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib.stride_tricks import as_strided

from recsys.data.layout import ROW, Slot, fill, room
from recsys.feature.schema.history import History

USER, TIME, EVENT, SESSION = "//user", "//time", "//event", "//session"
BLOCK_ROWS = 2**13


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
        rows: pa.Table,
        events: pa.Table | None,
        slots: Sequence[Slot],
        run: Callable[[Any], pa.Table],
    ) -> "Windows":
        """Finds the last events of each row's user with a strictly earlier time.

        Args:
            history: What is wanted of the events.
            rows: Has the columns `key(history, ...)` of `USER` and `TIME`; and, if
                these are the events as well, of `EVENT`, whether it counts as one, and
                of the attributes: integers or lists of integers.
            events: The others, with the keys and attributes.
            slots: The attributes of an event.
            run: Evaluates an Ibis table on local data.
        """
        moments = _moments(history, rows, events)
        moments = run(_in_order(ibis.memtable(moments), [*history.attributes]))
        row = moments[ROW].to_numpy()
        is_row = row >= 0
        event = ~is_row if events is not None else moments[EVENT].to_numpy()

        count = "int32" if len(event) < 2**31 else "int64"
        before = np.cumsum(event, dtype=count) - event  # events that come before
        users = _starts(moments[USER])
        firsts = _at_start(before, users)
        ends = _at_start(before, users | _starts(moments[TIME]))
        begins = np.maximum(ends - history.length, firsts)
        row = row[is_row]

        def by_row(values: np.ndarray) -> np.ndarray:
            placed = np.zeros(len(rows), values.dtype)
            placed[row] = values[is_row]
            return placed

        logged = moments if event.all() else moments.filter(pa.array(event))
        log = room(len(logged), slots)
        fill(log, logged, slots)
        now, unit = None, 1.0
        if history.age or history.session:
            times, unit = _numbers(moments[TIME])
            log[TIME] = times[event]
            now = by_row(times) if history.age else None
        if history.session_gap is not None:
            same_user = firsts[event] < np.arange(len(logged))
            before_it = np.append(log[TIME][:1], log[TIME][:-1])
            passed = _passed(before_it, log[TIME]) / unit
            log[SESSION] = np.cumsum(same_user & (passed > history.session_gap))
        log = {name: _padded(values, history.length) for name, values in log.items()}
        return cls(history, log, by_row(begins), by_row(ends - begins), now, unit)

    def cut(self, start: int, columns: Mapping[str, np.ndarray]) -> None:
        """Writes the histories of consecutive rows, oldest first, padded with 0.

        Args:
            start: The first of the rows.
            columns: Output -> `(rows, length, ...)`.
        """
        rows = len(columns[self.history.outputs[0]])

        def write(begin: int) -> None:
            end = min(begin + BLOCK_ROWS, rows)
            for name, values in self._block(start + begin, start + end).items():
                columns[name][begin:end] = values

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(write, range(0, rows, BLOCK_ROWS)))

    def _block(self, start: int, stop: int) -> dict[str, np.ndarray]:
        history, counts = self.history, self.counts[start:stop, None]
        padding = np.arange(history.length) >= counts
        cut = {name: self._cut(name, start, stop) for name in self.log}
        found = {name: cut[name] for name in history.attributes}
        if history.age and history.ages and self.now is not None:
            passed = _passed(cut[TIME], self.now[start:stop, None]) / self.unit
            passed[padding] = 0
            ages = np.floor(np.log2(passed + 1)) + 1
            found[history.age] = np.minimum(ages, history.ages - 1)
        if history.session:
            newest = np.take_along_axis(cut[SESSION], np.maximum(counts - 1, 0), 1)
            found[history.session] = newest - cut[SESSION] + 1
        for values in found.values():
            values[padding] = 0
        return found

    def _cut(self, name: str, start: int, stop: int) -> np.ndarray:
        """The events from the first of each row on, `(rows, length, ...)`."""
        values, length = self.log[name], self.history.length
        windows = as_strided(
            values,
            (len(values) - length + 1, length, *values.shape[1:]),
            (values.strides[0], *values.strides),
            writeable=False,
        )
        cut: np.ndarray = windows[self.begins[start:stop]]
        return cut


def _moments(history: History, rows: pa.Table, events: pa.Table | None) -> pa.Table:
    """Rows and events in one table, with the number of the row or -1."""

    def part(table: pa.Table, numbers: np.ndarray) -> pa.Table:
        names = {name: key(history, name) for name in (USER, TIME, *history.attributes)}
        if events is None:
            names[EVENT] = key(history, EVENT)
        columns = {n: table[of] for n, of in names.items() if of in table.column_names}
        return pa.table({ROW: numbers, **columns})

    moments = part(rows, np.arange(len(rows)))
    if events is None:
        return moments
    log = part(events, np.full(len(events), -1))
    # Of timestamps the finer unit: what one of them tells apart stays apart.
    return pa.concat_tables([log, moments], promote_options="permissive")


def _in_order(moments: Any, attributes: Sequence[str]) -> Any:
    """By user and time; events of equal time by their attributes, the lists last."""
    moments = moments.filter(moments[USER].notnull(), moments[TIME].notnull())
    by = sorted(attributes, key=lambda name: moments[name].type().is_array())
    return moments.order_by(USER, TIME, *by)


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    """With so many more events that a window can begin behind the last one."""
    return np.append(values, np.zeros((length, *values.shape[1:]), values.dtype), 0)


def _starts(values: pa.ChunkedArray) -> np.ndarray:
    """Where a value is not that before it."""
    if not len(values):
        return np.zeros(0, bool)
    return np.append([True], pc.not_equal(values[1:], values[:-1]).to_numpy())


def _at_start(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each place the value at the last start, itself included."""
    places = np.flatnonzero(starts)
    return np.repeat(values[places], np.diff(places, append=len(values)))


def _passed(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The time between, however long; where it is negative it is of no use."""
    with np.errstate(over="ignore"):
        passed: np.ndarray = later - earlier
    # Integers too far apart for 64 bits with a sign are not for those without.
    return passed.view("uint64") if passed.dtype == "int64" else passed


def _numbers(times: pa.ChunkedArray) -> tuple[np.ndarray, float]:
    """Times as numbers, and what a second is in them; 1 if they have their own unit."""
    if pa.types.is_date(times.type):  # whose microseconds 64 bits may not hold
        return 86400 * times.cast("int32").cast("int64").to_numpy(), 1.0
    if pa.types.is_decimal(times.type):
        times = times.cast("float64")
    if not pa.types.is_temporal(times.type):
        return times.to_numpy(), 1.0
    unit = "ns" if times.type == pa.timestamp("ns") else "us"
    numbers = times.cast(pa.timestamp(unit), safe=False).cast("int64")
    return numbers.to_numpy(), 1e9 if unit == "ns" else 1e6
