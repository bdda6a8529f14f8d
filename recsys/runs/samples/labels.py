"""Labels by a rule, such as `rating >= 4`."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis

from recsys.data.files.types import is_number
from recsys.data.raw import family_of, typed_value

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
COLUMN = r"\S.*?(?<![=<>!\s])"
FORM = re.compile(rf"\s*({COLUMN})\s*({'|'.join(OPERATORS)})\s*({NUMBER})\s*")


@dataclass(frozen=True)
class Rule:
    """A label that is 1 where a raw column compares so with a number, 0 elsewhere.

    Args:
        name: Of the label.
        column: The raw column, of numbers; where it is missing, so is the label.
        sign: One of `OPERATORS`.
        number: What it is compared with.
    """

    name: str
    column: str
    sign: str
    number: float

    @classmethod
    def parse(cls, name: str, text: str) -> "Rule":
        """Reads a rule.

        Raises:
            ValueError: If it is none.
        """
        found = FORM.fullmatch(text)
        if found is None:
            raise ValueError(
                f"samples.labels {name!r}: a rule must be a column, one of "
                f"{', '.join(OPERATORS)}, and a number, such as 'rating >= 4'. "
                f"Received: {text!r}"
            )
        column, sign, number = found.groups()
        return cls(name, column, sign, _number(number))

    @property
    def who(self) -> str:
        """How errors begin."""
        return f"samples.labels {self.name!r}"

    def label(self, table: Any) -> Any:
        """Returns the label of each row, float64."""
        value = typed_value(table, self.who, self.column)
        if family_of(value.type()) != "integer" or isinstance(self.number, float):
            value = value.cast("float64")
            value = is_number(value).ifelse(value, ibis.null("float64"))
        return OPERATORS[self.sign](value, self.number).cast("float64")


def _number(text: str) -> float:
    """An integer where one is written: a double does not hold all of them."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def rules(labels: Mapping[str, str]) -> list[Rule]:
    """Returns the rules of `samples.labels`.

    Raises:
        ValueError: If one is none.
    """
    return [Rule.parse(name, text) for name, text in labels.items()]
