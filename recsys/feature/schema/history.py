"""Histories: what a user did before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.feature._constraints import (
    Integer,
    ListOf,
    MapOf,
    Maybe,
    Number,
    Text,
    Values,
)
from recsys.feature.schema.columns import Column


@dataclass(frozen=True, kw_only=True, repr=False)
class History(Column):
    """The last events of the row's user, from an event log and without leakage.

    Per row the last `length` events of the same user with a strictly earlier time,
    oldest first, padded at the end with 0. Events of the same time are in the order of
    their ids, so that the result does not depend on the order of the files. Each
    attribute `a` in `of` becomes a column `<name>_<a>`; all of them list the same
    events and form one `group`, called `name`. Rows or events without a user or a
    time have no history and are part of none.

    An attribute of several values, `(rows, length, values)`, is padded with 0 as well.
    Times are in seconds where `time` is a date or a timestamp, else in its own unit.

    Args:
        name: Name of the sequence.
        of: Names of columns of the schema with one id per row, or with several: a
            `MultiValue` that is no history, whose weights do not count here.
        length: Most events.
        user: Raw column that says whose event it is.
        time: Raw column that says when: a number, a date or a timestamp.
        where: Which events count: for each raw column the value, or a list of the
            values, it must have: strings, true or false, numbers, dates or times, as
            the column has them. Default: all events.
        ages: Number of ids of a column `<name>_age`, how long before the row an event
            was: `1 + floor(log2(1 + time between them))`, at most `ages - 1`.
        session_gap: Longest time between two events of one session. Gives a column
            `<name>_session`, in which session of the user an event was: 1 is that of
            the newest event in the row's history, 2 the one before.

    Raises:
        ValueError: If an argument has another type or value than described.

    Example:
    >>> History("clicked", of=["item_id", "genre"], length=20, user="user_id",
    ...         time="timestamp", where={"action": "click"}, ages=32).outputs
    ('clicked_item_id', 'clicked_genre', 'clicked_age')
    """

    of: Sequence[str]
    length: int
    user: str
    time: str
    where: Mapping[str, Any] = field(default_factory=dict)
    ages: int | None = None
    session_gap: float | None = None

    _constraints = {
        **Column._constraints,
        "of": ListOf(Text(), "a list of names of columns"),
        "length": Integer(1),
        "user": Text(),
        "time": Text(),
        "where": MapOf(Values(), f"a mapping of raw columns to {Values.wanted}"),
        "ages": Maybe(Integer(3)),
        "session_gap": Maybe(Number(above=0)),
    }

    @property
    def attributes(self) -> dict[str, str]:
        """Output -> the column of the schema whose ids it lists."""
        return {f"{self.name}_{attribute}": attribute for attribute in self.of}

    @property
    def age(self) -> str | None:
        """Name of the output that says how long ago the events were, if any."""
        return None if self.ages is None else f"{self.name}_age"

    @property
    def session(self) -> str | None:
        """Name of the output that says in which session they were, if any."""
        return None if self.session_gap is None else f"{self.name}_session"

    @property
    def outputs(self) -> tuple[str, ...]:
        attributes = (f"{self.name}_{attribute}" for attribute in self.of)
        names = (*attributes, self.age, self.session)
        return tuple(name for name in names if name)
