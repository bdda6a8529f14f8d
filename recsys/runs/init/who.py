"""Who did what when: guesses at the columns of user, item and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.data.raw import CATEGORIES, NUMBERS, TIMES
from recsys.runs.init.names import (
    ANSWER,
    ITEM,
    TIME,
    USER,
    has,
    id_score,
    is_id,
    tokens,
)
from recsys.runs.init.roles import Home
from recsys.runs.init.rows import Rows
from recsys.runs.init.seen import FEW, Seen

Owner = Literal["user", "item"]

# An attribute is one value for each id, other than the most frequent one for so many
# ids that come again: few prove nothing.
LEAST_OWNERS = 5

UNITS = {
    "seconds since 1970": (3e8, 5e9),
    "milliseconds since 1970": (3e11, 5e12),
    "microseconds since 1970": (3e14, 5e15),
    "nanoseconds since 1970": (3e17, 5e18),
}
DAYS = "days as 20001231"
OWN_UNIT = "numbers of a unit of their own"
PLAIN_TIMES = ("timestamp", "time", "ts", "datetime")


@dataclass(frozen=True)
class Who:
    """The columns of user, item and time, and why these.

    Args:
        user, item, time: Their names, if any.
        why: Of each of them, the reason of the guess.
        owners: Column -> whose attribute it is, if anybody's.
    """

    user: str | None
    item: str | None
    time: str | None
    why: Mapping[str, str]
    owners: Mapping[str, Owner]


def who_of(rows: Rows, columns: Sequence[Seen], keys: Mapping[Home, str]) -> Who:
    """Guesses who did what when.

    Args:
        rows: The rows.
        columns: What is in them.
        keys: Columns that items and users are joined by.
    """
    why: dict[str, str] = {}
    user = keys.get("users") or _id_of(columns, USER, [*keys.values()])
    item = keys.get("items") or _id_of(columns, ITEM, [*keys.values(), user])
    for home, name in (("users", user), ("items", item)):
        if name is not None:
            joined = home in keys
            why[name] = f"the key of the file of {home}" if joined else "by its name"
    owners = owners_of(rows, columns, user, item)
    others = [seen for seen in columns if seen.name not in (*owners, user, item)]
    last = max(others, key=_time_score, default=None)
    if last is None or _time_score(last) <= 0:
        return Who(user, item, None, why, owners)
    why[last.name] = f"by its name and values, {time_reading(last)}"
    return Who(user, item, last.name, why, owners)


def _id_of(
    columns: Sequence[Seen], words: Sequence[str], others: Sequence[str | None]
) -> str | None:
    """The column whose name is most like that of an id, of those that come again."""
    scores = [
        (id_score(seen.name, words), seen.distinct or 0, seen.name)
        for seen in columns
        if seen.name not in others
        and seen.home == "events"
        and seen.family in ("integer", "string")
        and (1 if is_id(seen.name) else FEW) < (seen.distinct or 0) < seen.known
        and not seen.is_flag
    ]
    score, _, name = max(scores, default=(0, 0, None))
    return name if score else None


def owners_of(
    rows: Rows, columns: Sequence[Seen], user: str | None, item: str | None
) -> dict[str, Owner]:
    """Returns whose attributes columns are: such as have one value for each id.

    Args:
        rows: The rows.
        columns: What is in them.
        user, item: Columns of ids, if any.
    """
    owners: dict[str, Owner] = {}
    for seen in columns:
        if seen.home != "events":
            owners[seen.name] = "item" if seen.home == "items" else "user"
    asked = [
        seen.name
        for seen in columns
        if seen.name not in (*owners, user, item)
        and seen.family in (*CATEGORIES, *NUMBERS, *TIMES, "array")
    ]
    ids: dict[Owner, str | None] = {"user": user, "item": item}
    proofs: dict[str, dict[Owner, int]] = {}
    for owner, column in ids.items():
        if column is not None and asked:
            for name, proof in _proofs(rows, asked, column).items():
                proofs.setdefault(name, {})[owner] = proof
    for name, found in proofs.items():
        named = [o for o in found if has(name, USER if o == "user" else ITEM)]
        owners[name] = named[0] if named else max(found, key=lambda o: found[o])
    return owners


def _proofs(rows: Rows, names: Sequence[str], column: str) -> dict[str, int]:
    """Columns of one value for each id -> ids that come again with a rare one."""
    table = rows.sample.filter(rows.sample[column].notnull())
    usual = rows.first(table.aggregate(**{n: table[n].mode() for n in names}))
    names = [name for name in names if usual[name] is not None]
    made = {"//times": table.count()}
    for place, name in enumerate(names):
        value = table[name]
        made[f"{place}/least"], made[f"{place}/most"] = value.min(), value.max()
        made[f"{place}/known"] = value.count()
    groups = table.group_by(column).aggregate(**made)
    again, asked = groups["//times"] > 1, {}
    for place, name in enumerate(names):
        least, most, known = (
            groups[f"{place}/{of}"] for of in ("least", "most", "known")
        )
        partly = (known > 0) & (known < groups["//times"])
        asked[f"{place}/broken"] = ((least != most).fill_null(False) | partly).sum()
        asked[f"{place}/proof"] = (again & (least != usual[name])).sum()
    answer = rows.first(groups.aggregate(**asked)) if names else {}
    return {
        name: answer[f"{place}/proof"]
        for place, name in enumerate(names)
        if not answer[f"{place}/broken"]
        and (answer[f"{place}/proof"] or 0) >= LEAST_OWNERS
    }


def time_reading(seen: Seen) -> str:
    """Returns what kind of time the values of a column may be, `""` if none."""
    if seen.family in ("timestamp", "date"):
        return f"{seen.family}s"
    if seen.family not in ("integer", "floating", "decimal") or seen.least is None:
        return ""
    if not has(seen.name, TIME):
        return ""
    for unit, (least, most) in UNITS.items():
        if least <= seen.least and seen.most <= most:
            return unit
    if 19000101 <= seen.least and seen.most <= 21001231 and seen.family == "integer":
        return DAYS
    plain = seen.name.lower() in PLAIN_TIMES
    return OWN_UNIT if plain and (seen.distinct or 0) > 2 else ""


def _time_score(seen: Seen) -> float:
    """How much a column is the time of an event; 0 and less is not at all."""
    reading = time_reading(seen)
    if not reading or seen.home != "events" or not seen.known:
        return 0
    coarse = seen.family == "date" or reading in (DAYS, OWN_UNIT)
    by_type = 4 if seen.family == "timestamp" else 2 if coarse else 3
    by_name = (seen.name.lower() in PLAIN_TIMES) + bool(TIME & {*tokens(seen.name)})
    of_answer = 3 * has(seen.name, ANSWER)  # as `click_time`
    return by_type + by_name - of_answer - 3 * seen.missing / seen.rows
