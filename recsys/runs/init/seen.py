"""What is in each column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.data.layout import ROW
from recsys.data.raw import CATEGORIES, NUMBERS, TIMES, family_of
from recsys.runs.init.roles import Home
from recsys.runs.init.rows import Rows
from recsys.runs.init.texts import Texts, shown, texts_of

FEW = 20  # integers, and texts, of no more values are taken for categories
SHARES = (0.01, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Seen:
    """What is in a column.

    Args:
        name: Its name.
        dtype: Its type, of Ibis.
        family: What kind of type that is; floating numbers that are all integers, as
            pandas writes those with gaps, are integers.
        home: The files that have it.
        rows: Rows of the events.
        missing: Rows without a value.
        distinct: How many values there are, one for lists; `None` where not counted.
        least, most: The smallest and largest value; of lists the lengths.
        quantiles: Share -> number, seconds of a time, or length of a list.
        examples: Frequent values, of texts and lists.
        is_row_number: Whether it rises by one from row to row.
        texts: Of a column of strings, what they are like.
    """

    name: str
    dtype: Any
    family: str
    home: Home
    rows: int
    missing: int
    distinct: int | None
    least: Any
    most: Any
    quantiles: Mapping[float, float]
    examples: Sequence[str] = ()
    is_row_number: bool = False
    texts: Texts | None = None

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def is_flag(self) -> bool:
        """Whether its values are 0 and 1, or true and false."""
        by_range = self.family in ("integer", "boolean") or self.distinct == 2
        is_number = self.family in NUMBERS and self.known
        return bool(is_number and by_range and (self.least, self.most) == (0, 1))


def look(rows: Rows) -> list[Seen]:
    """Returns what is in each column.

    Args:
        rows: What is looked at. Numbers of missing and of distinct values, the smallest
            and the largest are of all rows; of many, distinct ones are counted
            approximately.
    """
    names = [*rows.homes]
    queries = {name: _wanted(rows, name) for name in names}
    found = _asked(rows, rows.table, {n: queries[n][0] for n in names})
    close = _asked(rows, rows.sample, {n: queries[n][1] for n in names})
    return [_seen(rows, name, found[name], close[name]) for name in names]


def _asked(
    rows: Rows, table: Any, queries: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Column -> key -> what an aggregate is, all of them in one query."""
    wanted = {
        f"{place}/{key}": value
        for place, of in enumerate(queries.values())
        for key, value in of.items()
    }
    answer = rows.first(table.aggregate(**wanted)) if wanted else {}
    return {
        name: {key: answer[f"{place}/{key}"] for key in of}
        for place, (name, of) in enumerate(queries.items())
    }


def _wanted(rows: Rows, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is asked of all rows, and of those that are looked at closely."""
    value, close = rows.table[name], rows.sample[name]
    family = family_of(value.type())
    of_all, of_some = {"known": value.count()}, {}
    if family in (*CATEGORIES, *NUMBERS, *TIMES):
        exact = value.nunique() if rows.is_all else value.approx_nunique()
        of_all |= {"distinct": exact, "least": value.min(), "most": value.max()}
    if family == "array":
        lengths = value.length()
        of_all |= {"least": lengths.min(), "most": lengths.max()}
        of_some["quantiles"] = close.length().quantile(SHARES)
        of_some["example"] = close.max()
    if family in ("timestamp", "date"):
        seconds = close.cast("timestamp").epoch_seconds()
        of_some["quantiles"] = seconds.quantile(SHARES)
    if family in NUMBERS and family != "boolean":
        of_some["quantiles"] = close.cast("float64").quantile(SHARES)
    if family == "floating":
        of_all["fractions"] = ((value % 1 != 0) | (value.abs() >= 2.0**53)).sum()
    if family == "integer" and rows.homes[name] == "events":
        step = close.cast("float64") - rows.sample[ROW]
        of_some |= {"first": step.min(), "last": step.max()}
    return of_all, of_some


def _seen(rows: Rows, name: str, found: dict[str, Any], close: dict[str, Any]) -> Seen:
    dtype = rows.table[name].type()
    family = family_of(dtype)
    missing = rows.total - found["known"]
    if family == "floating" and found["known"] and not found["fractions"]:
        family = "integer"
    distinct = _distinct(rows, family, found)
    found_at = close.get("quantiles")  # of numbers
    quantiles = dict(zip(SHARES, found_at, strict=True)) if found_at else {}
    texts = texts_of(rows, name) if family == "string" else None
    examples = texts.examples if texts else ()
    if close.get("example"):
        examples = (shown(close["example"]),)
    return Seen(
        name,
        dtype,
        family,
        rows.homes[name],
        rows.total,
        missing,
        distinct,
        found.get("least"),
        found.get("most"),
        quantiles,
        examples,
        close.get("first") is not None and close["first"] == close["last"],
        texts,
    )


def _distinct(rows: Rows, family: str, found: Mapping[str, Any]) -> int | None:
    """The number of values; an approximate one is at most what can be."""
    distinct: int | None = found.get("distinct")
    if distinct is None or rows.is_all or not found["known"]:
        return distinct
    most = found["known"]
    if family in ("integer", "boolean"):
        most = min(most, int(found["most"]) - int(found["least"]) + 1)
    return int(min(distinct, most))
