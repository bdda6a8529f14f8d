"""What parts of the library tell each other by an attribute, in one place.

`isinstance` asks whether a part has it. A user's own metric, loss or layer that has it
is treated alike.
"""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ReadsIds(Protocol):
    """A layer that looks ids up: the columns that it reads hold ids below `num_ids`."""

    def num_ids(self, **arguments: Any) -> int:
        """Returns how many ids it knows, given the arguments of its call."""


@runtime_checkable
class Table(Protocol):
    """A variable with a row for each id: a step changes the rows of its batch only."""

    is_table: bool
    path: str
    shape: tuple[int, ...]


@runtime_checkable
class Grouped(Protocol):
    """A loss or metric that is given a column of `x`, as `groups`, if it names one."""

    group: str | None


@runtime_checkable
class Divided(Protocol):
    """A metric that is given a second column of `x`, as `by`."""

    by: str | None


@runtime_checkable
class Exact(Protocol):
    """A metric that is computed once, when an epoch has ended."""

    exact: bool


@runtime_checkable
class Bounded(Protocol):
    """A metric that keeps rows, at most `capacity` of them."""

    capacity: int


@runtime_checkable
class LogitsApart(Protocol):
    """A metric that takes logits as `logits`, in place of predictions."""

    logits_apart: bool


@runtime_checkable
class Ordered(Protocol):
    """A pipeline's dataset: its epochs and the order of their rows."""

    recsys_order: Any


@runtime_checkable
class Described(Protocol):
    """A dataset that knows its rows, their number in a batch, and a checksum."""

    recsys_rows: tuple[int | None, int, Any]


@runtime_checkable
class Checked(Protocol):
    """A dataset whose ids and numbers a model need not look at again."""

    recsys_checked: bool


@runtime_checkable
class Continued(Protocol):
    """A dataset that begins behind its first step; `recsys_whole` does not."""

    recsys_whole: Any
