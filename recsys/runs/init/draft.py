"""What was found in files, and what a first run makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.runs.init.kinds import Column
from recsys.runs.init.roles import Roles
from recsys.runs.init.starting import Start
from recsys.runs.init.who import Who

LEAK = "LEAK: "


@dataclass(frozen=True)
class Draft:
    """A first run.

    Args:
        roles: What each file is for.
        total, sampled: Rows of the events, and how many of them were looked at closely.
        who: The user, item and time.
        columns: What becomes of each column.
        start: All else.
    """

    roles: Roles
    total: int
    sampled: int
    who: Who
    columns: Sequence[Column]
    start: Start

    @property
    def left_out(self) -> list[Column]:
        """What is neither an input nor a label, leaks first."""
        left_out = [column for column in self.columns if column.left_out]
        return sorted(left_out, key=lambda column: not column.left_out.startswith(LEAK))
