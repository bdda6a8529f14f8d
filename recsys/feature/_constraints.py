"""What the arguments of a declaration may be, each said once, in a table.

class Task:
    _constraints: ClassVar = {"name": Name("/"), "num_classes": Integer(1)}

check(task)  # ValueError: Task 'a': num_classes must be an integer of at least 1...
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral as AnyInteger
from numbers import Real
from typing import Any, ClassVar, NoReturn, Protocol

INFINITY = float("inf")


class Constraint(Protocol):
    """What one argument may be."""

    @property
    def wanted(self) -> str:
        """What an error says that is wanted."""

    def accepts(self, value: Any) -> bool:
        """Whether the value may be."""

    def plain(self, value: Any) -> Any:
        """Returns an accepted value in Python's own types, which a file can hold."""


class Same:
    """What is accepted stays as it is."""

    def plain(self, value: Any) -> Any:
        return value


@dataclass(frozen=True)
class Integer:
    """An integer, of NumPy's too, but no bool."""

    least: float = -INFINITY
    most: float = INFINITY

    @property
    def wanted(self) -> str:
        least = f" of at least {self.least}" if self.least > -INFINITY else ""
        most = f" and at most {self.most}" if self.most < INFINITY else ""
        return f"an integer{least}{most}"

    def accepts(self, value: Any) -> bool:
        is_integer = isinstance(value, AnyInteger) and not isinstance(value, bool)
        return is_integer and self.least <= value <= self.most

    def plain(self, value: Any) -> int:
        return int(value)


@dataclass(frozen=True)
class Number:
    """A finite number, of NumPy's too, but no bool."""

    least: float = -INFINITY
    above: float = -INFINITY
    below: float = INFINITY
    most: float = INFINITY

    @property
    def wanted(self) -> str:
        bounds = {
            "of at least": self.least,
            "above": self.above,
            "below": self.below,
            "at most": self.most,
        }
        said = [f"{k} {v:g}" for k, v in bounds.items() if abs(v) < INFINITY]
        return " ".join(["a finite number", " and ".join(said)]).rstrip()

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        try:
            number = float(value)
        except OverflowError:  # Python's integers have no end
            return False
        return self.above < number < self.below and self.least <= number <= self.most

    def plain(self, value: Any) -> float:
        return float(value)


@dataclass(frozen=True)
class OneOf(Same):
    """One of some words."""

    options: tuple[str, ...]

    @property
    def wanted(self) -> str:
        return f"one of {self.options}" if self.options[1:] else repr(self.options[0])

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.options


@dataclass(frozen=True)
class Flag(Same):
    """True or false."""

    wanted: ClassVar[str] = "true or false"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text(Same):
    """A string that is not empty."""

    wanted: ClassVar[str] = "a non-empty string"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value != ""


@dataclass(frozen=True)
class Name(Same):
    """A string by which a column or a task is called; half a character is none."""

    without: str

    @property
    def wanted(self) -> str:
        return f"a non-empty string without {' and '.join(map(repr, self.without))}"

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, str) or not value or set(self.without) & {*value}:
            return False
        return not any("\ud800" <= each <= "\udfff" for each in value)


@dataclass(frozen=True)
class KerasObject(Same):
    """What Keras makes an object of: a name, a config, a class or an instance."""

    kind: str

    @property
    def wanted(self) -> str:
        return f"the name or an instance of a Keras {self.kind}"

    def accepts(self, value: Any) -> bool:
        named = isinstance(value, str) and value != ""
        return named or callable(value) or isinstance(value, Mapping)


@dataclass(frozen=True)
class Numbers(Same):
    """Finite numbers, one or more, in a list, a tuple or an array of one axis."""

    wanted: str
    least: float = -INFINITY
    rising: bool = False

    def accepts(self, value: Any) -> bool:
        import numpy as np  # late: `import recsys` loads nothing heavy

        listed = isinstance(value, Sequence) and not isinstance(value, str)
        if not listed and getattr(value, "ndim", 0) != 1:
            return False
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            return False
        if array.ndim != 1 or array.dtype.kind not in "iuf" or not len(array):
            return False
        good = np.isfinite(array) & (array >= self.least)
        return bool(good.all()) and not (self.rising and (np.diff(array) <= 0).any())


@dataclass(frozen=True)
class ListOf:
    """A list of at least one."""

    each: Constraint
    wanted: str

    def accepts(self, value: Any) -> bool:
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        return listed and len(value) > 0 and all(map(self.each.accepts, value))

    def plain(self, value: Any) -> Any:
        return tuple(map(self.each.plain, value))


@dataclass(frozen=True)
class Values:
    """A value that a column of data may have, or a list of at least one."""

    wanted: ClassVar[str] = (
        "a string, true or false, an integer of 64 bits, a finite number, a date or a "
        "time, or a list of them"
    )
    _numbers: ClassVar[Sequence["Integer | Number"]] = (
        Integer(-(2**63), 2**63 - 1),
        Number(),
    )

    def accepts(self, value: Any) -> bool:
        values = value if isinstance(value, (list, tuple, set)) else [value]
        return len(values) > 0 and all(map(self._accepts, values))

    def _accepts(self, value: Any) -> bool:
        integer, number = self._numbers
        if isinstance(value, (str, bool, datetime.date)):
            return bool(value == value)  # pandas' missing time is one, but is not
        return (integer if isinstance(value, AnyInteger) else number).accepts(value)

    def plain(self, value: Any) -> Any:
        if isinstance(value, (list, tuple, set)):
            return [self.plain(each) for each in value]
        if isinstance(value, str):
            return str(value)  # of NumPy's it is one of Python
        if hasattr(value, "to_pydatetime"):  # of pandas
            return value.to_pydatetime()
        fit = (kind for kind in self._numbers if kind.accepts(value))
        return next(fit, Same()).plain(value)


@dataclass(frozen=True)
class MapOf:
    """A mapping by non-empty strings."""

    each: Constraint
    wanted: str

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            Text().accepts(key) and self.each.accepts(of) for key, of in value.items()
        )

    def plain(self, value: Any) -> Any:
        return {key: self.each.plain(of) for key, of in value.items()}


@dataclass(frozen=True)
class Maybe:
    """One of several constraints, or `None`."""

    options: tuple[Constraint, ...]

    def __init__(self, *options: Constraint) -> None:
        object.__setattr__(self, "options", options)

    @property
    def wanted(self) -> str:
        return " or ".join(option.wanted for option in self.options)

    def accepts(self, value: Any) -> bool:
        return value is None or any(o.accepts(value) for o in self.options)

    def plain(self, value: Any) -> Any:
        fit = (option for option in self.options if option.accepts(value))
        return None if value is None else next(fit).plain(value)


def check(declaration: Any) -> None:
    """Raises `ValueError` if an attribute is not what its class's table says.

    What is accepted becomes plain.
    """
    for key, constraint in declaration._constraints.items():
        value = getattr(declaration, key)
        if not constraint.accepts(value):
            refuse(declaration, key, constraint.wanted)
        object.__setattr__(
            declaration, key, constraint.plain(value)
        )  # it may be frozen


def checked(
    who: str, given: Mapping[str, Any], constraints: Mapping[str, Constraint]
) -> dict[str, Any]:
    """Returns the arguments of a call, those that have a constraint plain.

    Raises:
        ValueError: If one is not what its constraint says.
    """
    found = dict(given)
    for name, constraint in constraints.items():
        if name in given:
            if not constraint.accepts(given[name]):
                raise ValueError(
                    f"{who}: {name} must be {constraint.wanted}. "
                    f"Received: {name}={given[name]!r}"
                )
            found[name] = constraint.plain(given[name])
    return found


def refuse(declaration: Any, key: str, wanted: str) -> NoReturn:
    """Raises `ValueError`: who, what was wanted, and what came."""
    name = getattr(declaration, "name", None)
    who = type(declaration).__name__ + ("" if name is None else f" {name!r}")
    raise ValueError(
        f"{who}: {key} must be {wanted}. Received: {key}={getattr(declaration, key)!r}"
    )
