"""Histories from an event log, without leakage, as one Ibis expression."""

from collections.abc import Sequence
from typing import Any

import ibis

ROW = "//row"


def last_events(rows: Any, events: Any, attributes: Sequence[str], length: int) -> Any:
    """Returns for each row the last events of its user with a strictly earlier time.

    The log is numbered per user and each event collects itself and the `length - 1`
    before it, so that the cost is `O(events * length)` however active a user is. A row
    then takes the list of its newest earlier event.

    Args:
        rows: Table of `//row` (its number), `/user` and `/time`.
        events: Table of `/user`, `/time` and the attributes, integers.
        attributes: Names of the attributes; they also order events of equal time.
        length: Most events.

    Returns:
        Table of `//row` and a list per attribute, oldest first; null without any event.
    """
    rows = rows.filter(rows["/user"].notnull(), rows["/time"].notnull())
    events = events.filter(events["/user"].notnull(), events["/time"].notnull())
    in_order = ibis.window(group_by="/user", order_by=["/time", *attributes])
    log = events.mutate(**{"//place": ibis.row_number().over(in_order) + 1})
    newest = ibis.window(
        group_by="/user", order_by="//place", preceding=length - 1, following=0
    )
    log = log.select(
        "/user",
        "//place",
        **{name: log[name].collect().over(newest) for name in attributes},
    )

    # A row stands before the events of its own time, so counts the earlier ones only.
    moments = ibis.union(
        rows.select(
            "/user",
            "/time",
            **{ROW: rows[ROW].cast("int64"), "//event": ibis.literal(0)},
        ),
        events.select(
            "/user",
            "/time",
            **{ROW: ibis.null("int64"), "//event": ibis.literal(1)},
        ),
    )
    so_far = ibis.window(
        group_by="/user", order_by=["/time", "//event"], preceding=None, following=0
    )
    placed = moments.mutate(**{"//place": moments["//event"].sum().over(so_far)})
    placed = placed.filter(placed["//event"] == 0)
    found = placed.inner_join(log, ["/user", "//place"])
    return found.select(ROW, *attributes)
