"""The items that negatives are drawn from, with their raw columns."""

from typing import Any

import ibis

from recsys.data.layout import ROW
from recsys.data.raw import as_category
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.events import Events
from recsys.runs.samples.kept import ITEM
from recsys.runs.samples.split import PART, PARTS
from recsys.runs.samples.wanted import Wanted

PLACE = "//place"


def catalogue(
    events: Events, keys: Any, wanted: Wanted, engine: Engine
) -> tuple[Any, list[str]]:
    """Returns one row for each item that a row may be of.

    These are the items of all events that became rows, and those of `data.items` that
    nobody chose; not those that the k-core left out, as an item that is never positive
    would be told by its id alone. What the events say of an item is as its first event
    has it.

    Args:
        events: All events.
        keys: Those that became rows.
        wanted: Which raw columns are the item's.
        engine: What runs the steps.

    Returns:
        Table of `ITEM` and the raw columns of the item; whole sentences.
    """
    first = keys.group_by(ITEM).aggregate(**{ROW: keys[ROW].min()})
    items = events.items
    joined = [] if items is None else items.columns
    columns = [n for n in wanted.of_items(joined) if n in events.table.columns]
    seen = first.inner_join(events.table.select(ROW, *columns), ROW).drop(ROW)
    if items is None or wanted.config.samples.min_item_events > 1:
        return engine.keep(seen), []
    items = items.mutate(**{ITEM: as_category(items, "data.item", columns[0])})
    unseen = items.anti_join(seen, ITEM)
    lacking = [name for name in columns if name not in items.columns]
    if lacking:
        number = engine.rows(unseen)
        note = (
            f"Negatives are not drawn from {number:,} items of data.items without an "
            f"event, of which nothing says {', '.join(map(repr, lacking))}."
        )
        return engine.keep(seen), [note] if number else []
    types = {ITEM: seen[ITEM].type(), **{n: seen[n].type() for n in columns}}
    unseen = unseen.select(**{n: unseen[n].cast(dtype) for n, dtype in types.items()})
    return engine.keep(seen.select(*types).union(unseen)), []


def items_of_parts(items: Any, keys: Any, by: str) -> list[tuple[Any, Any]]:
    """Returns events, and the items that there were at their time.

    Where the split is one cut in time, an item whose first event is in a later part was
    not there to be left: that it is new would tell that nobody chose it.

    Args:
        items: The catalogue.
        keys: The events that became rows, with their parts.
        by: How they are split.
    """
    if by != "time":
        return [(keys, items)]
    first = keys.group_by(ITEM).aggregate(**{PART: keys[PART].min()})
    return [
        (
            keys.filter(keys[PART] == place),
            items.anti_join(first.filter(first[PART] > place), ITEM),
        )
        for place in range(len(PARTS))
    ]


def pool(items: Any, keys: Any, by: str) -> Any:
    """Returns what is drawn from, each row alike: `PLACE` from 0 on, and `ITEM`.

    Args:
        items: The catalogue.
        keys: The events that became rows, with their parts.
        by: `"uniform"`, or `"popularity"`: an item as often as it is in the part that
            trains.
    """
    if by == "uniform":
        place = ibis.row_number().over(order_by=ITEM)
        return items.select(ITEM, **{PLACE: place})
    place = ibis.row_number().over(order_by=ROW)
    return keys.filter(keys[PART] == 0).select(ITEM, **{PLACE: place})
