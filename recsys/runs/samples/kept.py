"""Which events become rows: those that are wanted, then the k-core of them."""

from collections.abc import Sequence
from typing import Any

from recsys.data.history import TIME, USER
from recsys.data.layout import ROW
from recsys.data.raw import as_category, as_time, such
from recsys.runs.matching.kind import is_match
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.events import Events
from recsys.runs.samples.wanted import Wanted

ITEM = "//item"
ID_KEYS = {USER: "users", ITEM: "items"}


def kept_events(
    events: Events, wanted: Wanted, engine: Engine
) -> tuple[Any, list[str]]:
    """Returns what the next steps look at, and what is left out.

    Args:
        events: All events.
        wanted: What is kept of them.
        engine: What runs the steps.

    Returns:
        Table of `ROW` and, where the data has them, `USER`, `ITEM` and `TIME`, of the
        events that become rows; whole sentences.

    Raises:
        ValueError: If nothing is left.
    """
    samples, table = wanted.config.samples, events.table
    chosen = table.filter(such(table, "samples", samples.where))
    keys = engine.keep(chosen.select(ROW, **key_columns(chosen, wanted)))
    total, left = engine.rows(table), engine.rows(keys)
    notes = []
    if left < total:
        notes.append(f"samples.where left out {total - left:,} of {total:,} events.")
    needed_by = "negatives" if samples.negatives is not None else None
    if is_match(wanted.config) or wanted.config.match is not None:
        needed_by = "match models"  # both of two stages have the same events
    if needed_by is not None:
        keys, missing = without_missing(keys, [USER, ITEM], engine)
        if missing:
            notes.append(
                f"{missing:,} of {left:,} events have no {wanted.config.data.user!r} "
                f"or no {wanted.config.data.item!r}, which {needed_by} need, and were "
                "left out."
            )
    least = {USER: samples.min_user_events, ITEM: samples.min_item_events}
    least = {key: number for key, number in least.items() if number > 1}
    if least:
        keys, core = k_core(keys, least, engine)
        notes += core
    if not engine.rows(keys):
        raise ValueError(
            f"samples: where, min_user_events and min_item_events must leave events. "
            f"Received: none of {total:,}. {' '.join((*events.notes, *notes))}"
        )
    return keys, notes


def key_columns(table: Any, wanted: Wanted) -> dict[str, Any]:
    """Returns user, item and time of raw rows, as far as the data has them."""
    data, found = wanted.config.data, dict[str, Any]()
    if data.user is not None:
        found[USER] = as_category(table, "data.user", data.user)
    if data.item is not None:
        found[ITEM] = as_category(table, "data.item", data.item)
    if data.time is not None:
        found[TIME] = as_time(table, "data.time", data.time)
    return found


def without_missing(keys: Any, names: Sequence[str], engine: Engine) -> tuple[Any, int]:
    """Returns the rows that have some columns, and how many have not."""
    there = keys.drop_null([*names], how="any")
    missing = engine.rows(keys) - engine.rows(there)
    return (there if missing else keys), missing


def k_core(keys: Any, least: dict[str, int], engine: Engine) -> tuple[Any, list[str]]:
    """Leaves out users and items of few events until all that are left have enough.

    What is left does not depend on the order: it is the largest part in which all have
    enough.

    Args:
        keys: Table of `ROW`, `USER` and `ITEM`.
        least: Of `USER` and `ITEM`, events that each must have. A missing id is none,
            so that its events are left out.
        engine: What runs the steps.

    Returns:
        The events that are left, and sentences of the others.
    """
    keys, missing = without_missing(keys, [*least], engine)
    before = now = _sizes(keys, engine)
    notes = []
    if missing:
        notes.append(f"The k-core left out {missing:,} events without an id.")
    kept = keys
    while True:
        core = kept
        for key, number in least.items():
            counts = core.group_by(key).aggregate(**{"//count": core.count()})
            enough = counts.filter(counts["//count"] >= number)
            core = core.semi_join(enough, key)
        core = engine.keep(core)
        last, now = now, _sizes(core, engine)
        if kept is not keys:
            engine.drop(kept)
        kept = core
        if now == last:
            break
    left_out = [
        f"{before[what] - now[what]:,} of {before[what]:,} {what}" for what in before
    ]
    if now != before:
        notes.append(f"The k-core left out {', '.join(left_out)}.")
    return kept, notes


def _sizes(keys: Any, engine: Engine) -> dict[str, int]:
    wanted = {"events": keys.count()}
    for key, what in ID_KEYS.items():
        if key in keys.columns:
            wanted[what] = keys[key].nunique()
    return engine.one(keys, **wanted)
