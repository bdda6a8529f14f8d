"""What may be predicted: columns that look like answers of a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recsys.data.raw import NUMBERS
from recsys.runs.init.names import (
    ANSWER,
    FLAG,
    MAIN,
    NO_ANSWER,
    RATING,
    free,
    has,
    plain_name,
    tokens,
)
from recsys.runs.init.rows import Rows
from recsys.runs.init.seen import Seen
from recsys.runs.init.who import Who

MOST_RATINGS = 21
GOOD = 0.75  # of the scale of ratings; 4 of 1 to 5, 8 of 0 to 10
RARE, FEW = 0.01, 1000


@dataclass(frozen=True)
class Answer:
    """A label.

    Args:
        name: Its name.
        source: Raw column.
        rule: What makes a label of a rating, as in `samples.labels`; else `""`.
        good: Values of the raw column for which it is 1.
        why: The reason of the guess.
        rate: Share of 1 among those of the rows that are looked at.
        known: Rows that have it.
    """

    name: str
    source: str
    rule: str
    good: Sequence[Any]
    why: str
    rate: float
    known: int

    @property
    def positives(self) -> int:
        """Rows where it is 1."""
        return round(self.rate * self.known)

    @property
    def is_rare(self) -> bool:
        """Whether a tenth of the rows has too few of 1 to learn or test by."""
        return self.rate < RARE and self.positives < FEW


def answers_of(rows: Rows, columns: Sequence[Seen], who: Who) -> list[Answer]:
    """Returns the labels of rows.

    Args:
        rows: The rows.
        columns: What is in them.
        who: Columns that are none.
    """
    found: list[Answer] = []
    taken = [seen.name for seen in columns]
    for seen in columns:
        if seen.home != "events" or seen.name in (who.user, who.item, who.time):
            continue
        if seen.is_flag and (why := _why(seen, who)):
            others = [name for name in taken if name != seen.name]
            name = free(plain_name(seen.name), others, "_label")
            found.append(_answer(rows, seen, name, "", [1], why))
        elif _is_rating(seen) and seen.name not in who.owners:
            values = rows.sample[seen.name].cast("float64")
            known = rows.sample.select(value=values).distinct().drop_null()
            scale = sorted(rows.run(known)["value"].to_pylist())
            least = scale[0] + GOOD * (scale[-1] - scale[0])
            good = [_plain(value) for value in scale if value >= least]
            rule = f"{seen.name} >= {good[0]}"
            why = f"a rating of {scale[0]:g} to {scale[-1]:g}, by its name and values"
            name = free("liked", taken, f"_{plain_name(seen.name)}")
            found.append(_answer(rows, seen, name, rule, good, why))
    return [answer for answer in found if 0 < answer.rate < 1]


def main_of(answers: Sequence[Answer]) -> Answer | None:
    """Returns the label that says that a user liked what was shown, if one is clear."""
    if len(answers) == 1:
        return answers[0]
    for word in MAIN:
        named = [answer for answer in answers if has(answer.source, {word})]
        if len(named) == 1:
            return named[0]
    return None


def _why(seen: Seen, who: Who) -> str:
    """Why a column of 0 and 1 is a label, `""` if it is none."""
    if has(seen.name, ANSWER):
        word = next(token for token in tokens(seen.name) if has(token, ANSWER))
        return f"0 or 1, and {word!r} in its name"
    flag = FLAG & {*tokens(seen.name)}
    if flag and not has(seen.name, NO_ANSWER) and seen.name not in who.owners:
        return f"0 or 1, and {min(flag)!r} in its name"
    return ""


def _is_rating(seen: Seen) -> bool:
    several = 2 < (seen.distinct or 0) <= MOST_RATINGS
    return several and seen.family in NUMBERS and has(seen.name, RATING)


def _answer(
    rows: Rows, seen: Seen, name: str, rule: str, good: Sequence[Any], why: str
) -> Answer:
    value = rows.sample[seen.name].cast("float64")
    rate = rows.first(rows.sample.aggregate(rate=(value >= good[0]).mean()))["rate"]
    return Answer(name, seen.name, rule, good, why, rate or 0.0, seen.known)


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value
