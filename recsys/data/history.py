"""Histories from an event log, without leakage, as one Ibis expression."""

from typing import Any

import ibis

from recsys.feature.schema import History

ROW = "//row"


def last_events(rows: Any, events: Any, history: History) -> Any:
    """Returns for each row the last events of its user with a strictly earlier time.

    The log is numbered per user and each event collects itself and the `length - 1`
    before it, so that the cost is `O(events * length)` however active a user is. A row
    then takes the list of its newest earlier event.

    Args:
        rows: Table of `//row` (its number), `/user` and `/time`.
        events: Table of `/user`, `/time` and the attributes, integers or lists of
            integers. They also order events of equal time, the lists last.
        history: What is wanted of the events.

    Returns:
        Table of `//row` and a list per output, oldest first; null without any event.
    """
    rows = rows.filter(rows["/user"].notnull(), rows["/time"].notnull())
    events = events.filter(events["/user"].notnull(), events["/time"].notnull())
    attributes = [*history.attributes]
    order = sorted(attributes, key=lambda name: events[name].type().is_array())
    in_order = ibis.window(group_by="/user", order_by=["/time", *order])
    log = events.mutate(**{"//place": ibis.row_number().over(in_order) + 1})
    newest = ibis.window(
        group_by="/user", order_by="//place", preceding=history.length - 1, following=0
    )
    lists = {name: name for name in attributes}
    if history.age:
        lists[history.age] = "/time"
    if history.session:
        log = _with_sessions(log, history.session_gap)
        lists[history.session] = "//session"
    log = log.select(
        "/user",
        "//place",
        *(["//session"] if history.session else []),
        **{name: log[of].collect().over(newest) for name, of in lists.items()},
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

    made = {name: found[name] for name in attributes}
    if history.age:
        made[history.age] = found[history.age].map(
            lambda time: _age(_between(time, found["/time"]), history.ages)
        )
    if history.session:
        made[history.session] = found[history.session].map(
            lambda session: (found["//session"] - session + 1).cast("int32")
        )
    return found.select(ROW, **made)


def _with_sessions(log: Any, gap: Any) -> Any:
    """Returns the log and `//session`, each user's sessions counted from the first."""
    in_place = ibis.window(group_by="/user", order_by="//place")
    since = _between(log["/time"].lag().over(in_place), log["/time"])
    log = log.mutate(**{"//session": (since > gap).ifelse(1, 0)})
    return log.mutate(
        **{"//session": log["//session"].cumsum(group_by="/user", order_by="//place")}
    )


def _between(earlier: Any, later: Any) -> Any:
    """Returns how much time passes: seconds, or in the unit that numbers have."""
    if earlier.type().is_numeric():
        return later - earlier
    earlier, later = earlier.cast("timestamp"), later.cast("timestamp")
    return later.delta(earlier, unit="microsecond") / 1e6


def _age(time: Any, ages: Any) -> Any:
    power = (time + 1.0).log2().floor()
    return ibis.least(power + 1, ages - 1).cast("int32")
