"""What becomes of each column: an entry of the schema, or a reason for none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recsys.data.raw import CATEGORIES, family_of
from recsys.runs.init.answers import Answer
from recsys.runs.init.names import (
    CATEGORY,
    ITEM,
    TIME,
    USER,
    ends_with,
    free,
    has,
    is_id,
    plain_name,
)
from recsys.runs.init.seen import FEW, Seen
from recsys.runs.init.who import Who, time_reading

# Texts of more than `MOST` values are hashed, and those of more than `MANY` that come
# less than `TIMES_EACH` times each.
MANY, MOST, TIMES_EACH = 1000, 1_000_000, 10
UNIQUE = 0.95  # share of different values that says that none comes again
LEAST_BUCKETS = 1024
TAIL = 5  # times as far above the median as below it
ID_DROPOUT = 0.2  # what ids alone tell, new items lack
LEAST_LONG = 10  # the largest number of a long tail; a logarithm bends no smaller ones


@dataclass(frozen=True)
class Column:
    """What becomes of a column.

    Args:
        seen: What is in it.
        kind: What it is, in words.
        entry: Its entry of the schema, if there is a kind that reads it.
        left_out: Why it is no input; `""` of those that are.
    """

    seen: Seen
    kind: str
    entry: Mapping[str, Any] | None = None
    left_out: str = ""

    @property
    def name(self) -> str:
        """Name of what a model reads."""
        return str((self.entry or {}).get("name", self.seen.name))

    @property
    def belong(self) -> str:
        """Whose it is."""
        return str((self.entry or {}).get("belong", "user"))

    @property
    def is_input(self) -> bool:
        """Whether a model reads it."""
        return self.entry is not None and not self.left_out

    @property
    def is_number(self) -> bool:
        """Whether a model reads its order."""
        return self.entry is not None and self.entry["kind"] == "numeric"

    @property
    def is_one_id(self) -> bool:
        """Whether a model reads one id a row."""
        kind = self.entry and self.entry["kind"]
        return kind in ("categorical", "hashed")


def columns_of(
    columns: Sequence[Seen], who: Who, answers: Sequence[Answer]
) -> list[Column]:
    """Returns what becomes of each column.

    Args:
        columns: What is in them.
        who: The user, item and time.
        answers: The labels.
    """
    ids = {"user": who.user, "item": who.item}
    counts = {seen.name: seen.distinct for seen in columns}
    num_ids = {owner: counts.get(str(name)) for owner, name in ids.items()}
    taken = [answer.name for answer in answers]
    sources = [answer.source for answer in answers]
    found = []
    for seen in columns:
        if seen.name in sources:
            column = Column(seen, "label")
        elif seen.name == who.time:
            column = Column(seen, "time")
        else:
            column = _column(seen, who, num_ids)
        if column.entry is not None:
            name = free(plain_name(seen.name), taken, "_input")
            taken.append(name)
            source = {} if name == seen.name else {"source": seen.name}
            belong = _belong(seen, who)
            entry = {"name": name, **source, **column.entry}
            if belong != "user":  # the default
                entry["belong"] = belong
            column = replace(column, entry=_in_order(entry))
        found.append(column)
    item = next((c for c in found if c.seen.name == who.item and c.is_one_id), None)
    return [column if item is None else _by_item(column, item) for column in found]


def _by_item(column: Column, item: Column) -> Column:
    """A column; vectors of items are read by their ids."""
    if column.entry is None or column.entry["kind"] != "vector":
        return column
    if column.belong != "item":
        return column
    rest = {key: value for key, value in column.entry.items() if key != "belong"}
    return replace(column, entry={**rest, "of": item.name, "id_dropout": ID_DROPOUT})


def _belong(seen: Seen, who: Who) -> str:
    if seen.name in (who.user, who.item):
        return "user" if seen.name == who.user else "item"
    if seen.name in who.owners:
        return who.owners[seen.name]
    if who.user is None and has(seen.name, USER):
        return "user"
    if who.item is None and has(seen.name, ITEM):
        return "item"
    return "context" if who.user or who.item else "user"


def _in_order(entry: Mapping[str, Any]) -> dict[str, Any]:
    first = [key for key in ("kind", "name", "source", "belong") if key in entry]
    return {key: entry[key] for key in dict.fromkeys([*first, *entry])}


def _column(seen: Seen, who: Who, num_ids: Mapping[str, int | None]) -> Column:
    """What becomes of a column that is no label and no time of the events."""
    column = _kind_of(seen, seen.name in (who.user, who.item))
    if column.left_out or seen.name in (who.user, who.item):
        return column
    if not seen.known:
        return replace(column, left_out="it has no values")
    if seen.distinct == 1 and not (seen.missing and column.is_one_id):
        return replace(column, left_out="it has one value")
    if seen.is_row_number:
        return replace(column, left_out="it numbers the rows")
    owner = who.owners.get(seen.name)
    few = num_ids.get(owner or "")
    if column.is_one_id and seen.distinct:
        if owner and few and seen.distinct >= UNIQUE * few > FEW:
            left_out = f"almost each {owner} has its own, so it tells what the id tells"
            return replace(column, left_out=left_out)
        if not owner and seen.distinct >= UNIQUE * seen.known > FEW:
            return replace(column, left_out="almost each row has its own")
    return column


def _kind_of(seen: Seen, is_who: bool) -> Column:
    is_time = seen.family in ("timestamp", "date") or time_reading(seen)
    if is_time and not is_who:
        return Column(
            seen,
            "time",
            left_out="a further time: perhaps that of the answer, and no row that "
            "trains has tomorrow's",
        )
    if seen.family == "string":
        return _of_texts(seen, is_who)
    if seen.family == "array":
        return _of_lists(seen)
    if seen.family not in ("integer", "boolean", "floating", "decimal"):
        return Column(seen, "other", left_out=f"nothing reads its type, {seen.dtype}")
    if is_who or (is_id(seen.name) and seen.family == "integer" and not seen.is_flag):
        return Column(seen, "id", _of_ids())
    few = (seen.distinct or 0) <= FEW
    if seen.family == "boolean" or seen.is_flag and seen.family == "integer":
        return Column(seen, "category, of yes and no", {"kind": "categorical"})
    if seen.family == "integer" and ends_with(seen.name, CATEGORY):
        return Column(seen, "category, by its name", {"kind": "categorical"})
    if seen.family == "integer" and few:
        kind = "category, as it has few integers"
        return Column(seen, kind, {"kind": "categorical"})
    return Column(seen, "number", _of_numbers(seen))


def _of_ids() -> dict[str, Any]:
    return {"kind": "categorical", "min_count": 2}


def _of_texts(seen: Seen, is_who: bool) -> Column:
    texts = seen.texts
    if is_who or texts is None or is_id(seen.name):
        return Column(seen, "id", _of_ids())
    if has(seen.name, TIME) and texts.has_digits:
        left_out = "a time that is not written as in ISO 8601, 2020-12-31 23:59:59"
        return Column(seen, "time", left_out=left_out)
    if texts.in_brackets:
        left_out = (
            "lists in brackets: multivalue reads a|b, or the lists of a parquet file"
        )
        return Column(seen, "text list", left_out=left_out)
    if texts.separator is not None:
        entry = {
            "kind": "multivalue",
            "separator": texts.separator,
            "length": texts.length,
        }
        return Column(seen, f"text list of {texts.num_values:,} values", entry)
    if texts.is_prose:
        return Column(seen, "text", left_out="sentences, which no kind reads")
    distinct = seen.distinct or 0
    if distinct > MOST or (distinct > MANY and distinct * TIMES_EACH > seen.known):
        size = max(LEAST_BUCKETS, 2 ** (min(distinct, MOST) - 1).bit_length())
        entry = {"kind": "hashed", "num_buckets": size}
        return Column(seen, "category of many values", entry)
    return Column(seen, "category", {"kind": "categorical"})


def _of_lists(seen: Seen) -> Column:
    if family_of(seen.dtype.value_type) in CATEGORIES:
        length = max(2, round(seen.quantiles.get(0.95) or 0))
        return Column(seen, "list", {"kind": "multivalue", "length": length})
    if seen.least == seen.most and family_of(seen.dtype.value_type) == "floating":
        kind = f"vector of {seen.least} numbers"
        return Column(seen, kind, {"kind": "vector", "length": seen.least})
    left_out = f"no kind reads lists of {seen.dtype.value_type}"
    return Column(seen, "list", left_out=left_out)


def _of_numbers(seen: Seen) -> dict[str, Any]:
    low, median, high = (seen.quantiles.get(q, 0) for q in (0.01, 0.5, 0.99))
    is_long = high >= LEAST_LONG and high - median > TAIL * (median - low)
    log1p = {"log1p": True} if is_long and seen.least >= 0 else {}
    fill = {"fill": "mean"} if seen.missing else {}
    return {"kind": "numeric", **log1p, "standardize": True, **fill}
