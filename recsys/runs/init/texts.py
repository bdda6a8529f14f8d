"""What the strings of a column are like: words, prose, or lists of values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recsys.runs.init.rows import Rows

SEPARATORS = ("|", "; ", ";", ", ", ",", "\t", " ")
SURE = ("|", "; ", ";")  # not to be found in names
LEAST_LISTS = 0.1  # share of different texts with a separator in them, to be lists
PROSE = 6  # blanks of a text, on average, from which on it is no name
NUM_EXAMPLES, MOST_SHOWN = 3, 30

# Digits alone may be a decimal comma, a date or a phone number.
NUMERIC = r"^[\d\s.,:/+\-]*$"


@dataclass(frozen=True)
class Texts:
    """What the strings of a column are like.

    Args:
        examples: The most frequent, cut where they are long.
        separator: What stands between the values of lists, if they are lists.
        num_values: Different values of all lists.
        length: 95 of 100 lists are not longer.
        in_brackets: Whether they are lists as Python writes them.
        is_prose: Whether they are sentences.
        has_digits: Whether there are digits in all of them.
    """

    examples: Sequence[str]
    separator: str | None = None
    num_values: int = 0
    length: int = 0
    in_brackets: bool = False
    is_prose: bool = False
    has_digits: bool = False


def texts_of(rows: Rows, name: str) -> Texts:
    """Returns what the strings of a column are like, those that are looked at."""
    value = rows.sample[name]
    known = rows.sample.filter(value.notnull()).select(text=name)
    words = known.group_by("text").aggregate(times=known.count())
    frequent = words.order_by([words.times.desc(), words.text]).limit(NUM_EXAMPLES)
    examples = [shown(each) for each in rows.run(frequent)["text"].to_pylist()]
    if not examples:
        return Texts(())
    text = words.text
    found = rows.first(
        words.aggregate(
            texts=words.count(),
            brackets=(text.startswith("[") & text.endswith("]")).mean(),
            blanks=(text.length() - text.replace(" ", "").length()).mean(),
            digits=text.re_search(r"\d").mean(),
            numeric=text.re_search(NUMERIC).mean(),
            **{each: text.contains(each).mean() for each in SEPARATORS},
        )
    )
    if found["brackets"] > 1 - LEAST_LISTS:
        return Texts(examples, in_brackets=True)
    for separator in SEPARATORS:
        ambiguous = separator in (",", " ") and found["numeric"] > 1 - LEAST_LISTS
        if found[separator] < LEAST_LISTS or ambiguous:
            continue
        values = known.select(each=known.text.re_split(re.escape(separator)))
        each = values.select(each=values.each.unnest()).each
        num_values = rows.first(each.as_table().aggregate(n=each.nunique()))["n"]
        # Words of names are more than the names; values of lists come again in others.
        if num_values < found["texts"] + (separator in SURE):
            long = rows.first(values.aggregate(n=values.each.length().quantile(0.95)))
            return Texts(examples, separator, num_values, max(2, round(long["n"])))
    return Texts(
        examples, is_prose=found["blanks"] >= PROSE, has_digits=found["digits"] == 1
    )


def shown(value: Any) -> str:
    """Returns a value as a comment has it: on one line, cut where it is long."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."
