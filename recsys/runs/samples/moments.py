"""Times that a configuration names."""

import datetime
from typing import Any

import ibis

from recsys.data.raw import NUMBERS, family_of
from recsys.runs.config import begun


def moment(time: Any, who: str, value: Any) -> Any:
    """Returns a time that can be compared with those of the events.

    Args:
        time: The times of the events, as `as_time` returns them.
        who: Which key names it, for the error.
        value: A number, a date or a timestamp. A date is the midnight that begins it.

    Raises:
        ValueError: If the times of the events are of another kind.
    """
    family = family_of(time.type())
    zoned = family == "timestamp" and time.type().timezone is not None
    wanted = "a number" if family in NUMBERS else "a date"
    if family == "timestamp":
        wanted = "a timestamp with a zone" if zoned else "a date, or one with a time"
    if isinstance(value, datetime.datetime):
        good = family == "timestamp" and zoned == (value.tzinfo is not None)
    elif isinstance(value, datetime.date):
        good = family in ("date", "timestamp") and not zoned
    else:
        good = family in NUMBERS
    if not good:
        raise ValueError(
            f"{who} must be {wanted}, as the times of the events are of type "
            f"{time.type()}. Received: {value}"
        )
    return ibis.literal(begun(value) if family == "timestamp" else value)
