"""Each constraint of a declaration, and what breaks it: one error that says so."""

import inspect
from typing import Any

import numpy as np
import pytest

from recsys import Field, Task
from recsys.feature import _constraints as constraints
from recsys.feature.content import AContent
from recsys.feature.schema.columns import (
    Bucketed,
    Categorical,
    Hashed,
    Label,
    MultiValue,
    Numeric,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.feature.schema.vector import Vector

NAN, INF = float("nan"), float("inf")
DECLARATIONS: list[tuple[Any, dict[str, Any]]] = [
    (Field, {"name": "a"}),
    (Task, {"name": "a"}),
    (Categorical, {"name": "a"}),
    (Hashed, {"name": "a", "num_buckets": 5}),
    (Numeric, {"name": "a"}),
    (Bucketed, {"name": "a", "num_buckets": 5}),
    (MultiValue, {"name": "a", "length": 3}),
    (History, {"name": "a", "of": ["b"], "length": 2, "user": "u", "time": "t"}),
    (Vector, {"name": "a", "length": 3, "of": "b"}),
    (Label, {"name": "a"}),
    (Schema, {"columns": [Categorical("a")]}),
]
LEFT_OUT = {"emb": ("", None), "source": ("", None)}
"""What stands for a default."""


def bad_values(constraint: Any) -> list[Any]:
    """Values of other types, and those just beyond the bounds."""
    anything = [object(), 1j, b"text", NAN, {3: 4}, {"": "a"}, (x for x in "ab")]
    match constraint:
        case constraints.Integer(least, most):
            near = [] if most == INF else [most + 1]
            near += [least - 1, least + 0.5, str(least), [least], np.float32(least)]
            return [*anything, *near, None, True, False, np.True_, INF, -INF, ""]
        case constraints.Number(least, above, below, most):
            edges = [edge for edge in (above, below) if abs(edge) < INF]
            edges += [] if most == INF else [np.nextafter(most, INF)]
            edges += [] if least == -INF else [np.nextafter(least, -INF)]
            return [*anything, *edges, None, True, INF, -INF, "1.0", [1.0], 10**400]
        case constraints.OneOf(options):
            near = [options[0].upper(), f"{options[0]} ", [options[0]], options]
            return [*anything, *near, None, True, 3, ""]
        case constraints.Flag():
            return [*anything, None, 0, 1, "true", "", [True], np.array([True, False])]
        case constraints.Text():
            return [*anything, None, True, 3, "", ["text"]]
        case constraints.Name(without):
            near = [f"a{sign}b" for sign in without]
            return [*anything, *near, None, True, 3, "", ["text"], "half \ud800"]
        case constraints.KerasObject():
            return [*(x for x in anything if not isinstance(x, dict)), None, 3, "", []]
        case constraints.Numbers(_, least, rising):
            near = [[NAN], [INF], [True, True], ["a"], [[1.0, 2.0]], [[1.0], [1.0, 2]]]
            near += [] if least == -INF else [[least, least - 1]]
            near += [[1, 1], [2, 1]] if rising else []
            near += [np.array(3.0), np.array([1j]), np.zeros((2, 2)), {1.0}]
            return [*anything, *near, None, True, 3, [], "12", ""]
        case constraints.ListOf(each):
            return [*anything, *([x] for x in bad_values(each)), None, True, [], "ab"]
        case constraints.Values():
            near = [None, INF, 2**63, -(2**63) - 1, 10**400, np.datetime64("2020")]
            return [*anything, *near, [], ["a", None], [2**63], [["a"]], set(), {NAN}]
        case constraints.MapOf(each):
            near = [{"a": x} for x in bad_values(each)]
            return [*anything, *near, None, True, 3, "a", ["a"]]
        case AContent():
            return [*anything, True, 3, "", [[1.0]], np.zeros((1, 1))]
        case constraints.Maybe(options):
            found = [x for option in options for x in bad_values(option)]
            return [x for x in found if not constraint.accepts(x)]
    raise TypeError(f"no bad values of {constraint}")


CASES = [
    pytest.param(cls, given, key, constraint, id=f"{cls.__name__}.{key}")
    for cls, given in DECLARATIONS
    for key, constraint in cls._constraints.items()
]


@pytest.mark.parametrize(("cls", "given", "key", "constraint"), CASES)
def test_a_bad_value_is_one_error_that_names_it(cls, given, key, constraint) -> None:
    for value in bad_values(constraint):
        if any(value is default for default in LEFT_OUT.get(key, ())):
            continue
        with pytest.raises(ValueError) as refused:
            cls(**{**given, key: value})
        text = str(refused.value)
        assert text.startswith(cls.__name__), (value, text)
        assert f": {key} must be " in text, (value, text)
        assert text.endswith(f"Received: {key}={value!r}"), (value, text)


@pytest.mark.parametrize(("cls", "given"), DECLARATIONS)
def test_every_argument_has_a_constraint(cls, given) -> None:
    arguments = inspect.signature(cls).parameters
    own = {"columns", "labels"} if cls is Schema else set()  # lists of declarations
    assert set(arguments) - own == set(cls._constraints)
    cls(**given)


def test_numbers_of_numpy_become_pythons() -> None:
    field = Field("a", dim=np.int64(8), l2_reg=np.float32(0.5))
    assert (type(field.dim), type(field.l2_reg)) == (int, float)
    hashed = Hashed("a", num_buckets=np.int32(8))
    assert type(hashed.num_buckets) is int


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: Field("tags", vocabulary_size=9, length=3, **options),
        lambda **options: MultiValue("tags", length=3, **options),
    ],
    ids=["Field", "MultiValue"],
)
def test_weights_are_those_of_another_column_and_not_of_a_maximum(make) -> None:
    for pooling in ("mean", "sum"):
        assert make(pooling=pooling, weight="w").weight == "w"
    with pytest.raises(ValueError, match="weight must be None where pooling='max'"):
        make(pooling="max", weight="w")
    with pytest.raises(ValueError, match="weight must be the name of another column"):
        make(weight="tags")
