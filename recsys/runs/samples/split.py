"""Which part an event is of: what trains, what chooses the epoch, what tests."""

from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np

from recsys.data.history import TIME, USER
from recsys.data.layout import ROW
from recsys.data.vocabulary import text_hash
from recsys.runs.config import Split
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.kept import without_missing
from recsys.runs.samples.moments import moment

PARTS = ("train", "valid", "test")
PART = "//part"
NEEDS = {
    "time": [TIME],
    "user_time": [USER, TIME],
    "leave_one_out": [USER, TIME],
    "users": [USER],
}
SLACK = 1e-9  # as in `split_by_time`: 1/10 of 10 is 1, whatever 0.8 + 0.1 is
DIGITS = 13  # 52 bits, which a double holds
CUT = "//cut"
FROM_LAST, COUNT = "//from last", "//count"


def with_parts(
    keys: Any, split: Split, rows: Sequence[int], engine: Engine
) -> tuple[Any, list[str]]:
    """Returns the events with their parts, and what is left out.

    Args:
        keys: Table of `ROW`, and of `USER` and `TIME` where the split is by them.
        split: How.
        rows: How many events there are in the files of each part.
        engine: What runs the steps.

    Returns:
        The table with `PART`, the place in `PARTS`; whole sentences.

    Raises:
        ValueError: If a part has no rows.
    """
    needed = NEEDS.get(split.by, [])
    total = engine.rows(keys)
    keys, missing = without_missing(keys, needed, engine)
    notes = []
    if missing:
        names = " or no ".join(name.strip("/") for name in needed)
        notes.append(
            f"{missing:,} of {total:,} events have no {names}, by which the split is, "
            "and were left out."
        )
    parts = _parts(keys, split, rows, engine)
    kept = engine.keep(parts.filter(parts[PART] >= 0))
    counts = {
        name: (kept[PART] == place).sum().fill_null(0)
        for place, name in enumerate(PARTS)
    }
    found = engine.one(kept, **counts)
    if gap := total - missing - sum(found.values()):
        notes.append(f"split.gap left out {gap:,} of {total:,} events.")
    empty = [name for name in PARTS if not found[name]]
    if empty:
        sizes = ", ".join(f"{found[name]:,} in {name}" for name in PARTS)
        raise ValueError(
            f"split by {split.by!r}: each part must have rows, but "
            f"{' and '.join(empty)} have none. Received: {sizes}, of {total:,} events. "
            f"{' '.join(notes)}"
        )
    return kept, notes


def _parts(keys: Any, split: Split, rows: Sequence[int], engine: Engine) -> Any:
    """With `PART`, which is -1 for what a gap leaves out."""
    train = 1 - split.valid - split.test
    cuts = [float(cut) for cut in np.cumsum([train, split.valid])]
    if split.by == "time":
        return _by_time(keys, cuts, split, engine)
    if split.by == "user_time":
        earlier = ibis.rank().over(group_by=USER, order_by=TIME)
        share = earlier / keys.count().over(group_by=USER)
        return _cut(keys, share, [cut - SLACK for cut in cuts])
    if split.by == "leave_one_out":
        last = ibis.window(group_by=USER, order_by=[ibis.desc(TIME), ibis.desc(ROW)])
        keys = keys.mutate(
            **{FROM_LAST: ibis.row_number().over(last)},
            **{COUNT: keys.count().over(group_by=USER)},
        )
        held = ibis.greatest(len(PARTS) - 1 - keys[FROM_LAST], 0)
        part = (keys[COUNT] >= len(PARTS)).ifelse(held, 0)
        return keys.mutate(**{PART: part}).drop(FROM_LAST, COUNT)
    if split.by == "files":
        return _cut(keys, keys[ROW], [int(cut) for cut in np.cumsum(rows[:2])])
    who = USER if split.by == "users" else ROW
    text = ibis.literal(f"split/{split.seed}/") + keys[who].cast("string")
    return _cut(keys, text_hash(text, DIGITS) / 16.0**DIGITS, cuts)


def _cut(keys: Any, value: Any, cuts: Sequence[float]) -> Any:
    keys = keys.mutate(**{PART: value})
    return keys.mutate(**{PART: sum((keys[PART] >= cut).cast("int8") for cut in cuts)})


def first_times(keys: Any, cuts: Sequence[float], engine: Engine) -> Any:
    """Returns the first times after shares of the events, as a table of one row.

    Args:
        keys: Table with `TIME`, which none misses.
        cuts: The shares.
        engine: What runs the steps.

    Returns:
        Table of `CUT` with the number of the share behind it. Events of one time are
        not cut.
    """
    ordered = keys.select(TIME, earlier=ibis.rank().over(order_by=TIME))
    share = ordered.earlier / max(engine.rows(keys), 1)
    first = {
        f"{CUT}{number}": ordered[TIME].min(where=share >= cut - SLACK)
        for number, cut in enumerate(cuts)
    }
    return engine.keep(ordered.aggregate(**first))


def _by_time(keys: Any, cuts: Sequence[float], split: Split, engine: Engine) -> Any:
    """One cut for all, as `split_by_time` without users makes it."""
    names, gap = [f"{CUT}{number}" for number in range(2)], split.gap
    if split.test_from is None:
        keys = keys.cross_join(first_times(keys, cuts, engine))
    else:
        given = {"valid_from": split.valid_from, "test_from": split.test_from}
        moments = [moment(keys[TIME], f"split.{n}", at) for n, at in given.items()]
        keys = keys.mutate(**dict(zip(names, moments, strict=True)))
    time, valid, test = keys[TIME], *(keys[name] for name in names)
    after = [(time >= first).fill_null(False) for first in (valid, test)]
    part: Any = after[0].cast("int8") + after[1].cast("int8")
    if gap:
        near = [
            (time > _before(first, gap)).fill_null(False) & (part == place)
            for place, first in enumerate((valid, test))
        ]
        part = (near[0] | near[1]).ifelse(-1, part)
    return keys.mutate(**{PART: part}).drop(*names)


def _before(time: Any, gap: float) -> Any:
    """The time a gap earlier, which is in seconds where times are dates."""
    if time.type().is_numeric():
        return time - (int(gap) if gap == int(gap) else gap)
    return time.cast("timestamp(6)") - ibis.interval(microseconds=round(gap * 1e6))
