"""What a model is asked: one task, one logit or one logit per class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from recsys.feature._constraints import Constraint, Flag, Integer, Name, OneOf, check
from recsys.feature._repr import short_repr

Kind = Literal["binary", "regression", "multiclass", "count"]


@dataclass(frozen=True, repr=False)
class Task:
    """One question a model answers.

    Args:
        name: Name of the output, of its labels and of its metrics.
        belong: `"binary"` (probability), `"regression"` (any real number),
            `"multiclass"` (one probability per class) or `"count"` (the mean of a
            Poisson variable, exp of the logit).
        num_classes: Classes of a multiclass task; 1 otherwise.
        return_logit: Also return the logit, as output `logit` (binary tasks
            only; ignored by others, as in version 1).

    Raises:
        ValueError: If an argument is outside the values above.

    Example:
    >>> Task("ctr")
    Task('ctr')
    >>> Task("stars", "multiclass", num_classes=5)
    Task('stars', belong='multiclass', num_classes=5)
    """

    name: str
    belong: Kind = "binary"
    num_classes: int = 1
    return_logit: bool = False

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "name": Name("/\0"),
        "belong": OneOf(get_args(Kind)),
        "num_classes": Integer(1),
        "return_logit": Flag(),
    }

    def __post_init__(self) -> None:
        check(self)
        if (self.belong == "multiclass") != (self.num_classes > 1):
            raise ValueError(
                f"Task {self.name!r}: num_classes must be 2 or more for a multiclass "
                f"task and 1 for any other. Received: belong={self.belong!r}, "
                f"num_classes={self.num_classes!r}"
            )
        if self.belong != "binary":
            object.__setattr__(self, "return_logit", False)

    __repr__ = short_repr

    def __str__(self) -> str:
        return self.name
