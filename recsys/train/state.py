"""Attributes of callbacks that JSON and arrays hold."""

import copy
import enum
import json
import random
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

_SEVERAL = {"list": list, "tuple": tuple, "set": set}  # JSON has lists only


_SCALARS = (type(None), bool, int, float, str, np.number, np.bool_)


_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)


_NOT_KEPT = (Collection, np.generic, date, *_GENERATORS)


def plain_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns copies of those attributes that can be written."""
    return {k: copy.deepcopy(v) for k, v in attributes.items() if _is_plain(v)}


def _is_plain(value: Any) -> bool:
    if type(value) is dict:  # of another class it would come back as this one
        return all(_is_plain(each) for pair in value.items() for each in pair)
    if type(value) in _SEVERAL.values():
        return all(map(_is_plain, value))
    if type(value) is np.ndarray:
        return value.dtype.kind in "biuf"
    if callable(value):
        return _imported(_place_of(value)) is value
    return isinstance(value, _SCALARS) and not isinstance(value, enum.Enum)


def warn_of_others(callbacks: Sequence[Any]) -> None:
    """Warns of what looks like state in the user's callbacks, and is not kept."""
    for callback in callbacks:
        if type(callback).__module__.partition(".")[0] in ("keras", "recsys"):
            continue
        for name, value in vars(callback).items():
            if isinstance(value, _NOT_KEPT) and not _is_plain(value):
                warnings.warn(
                    f"Resume: a state does not hold {name!r} of "
                    f"{type(callback).__name__}, as it is a {type(value).__name__}",
                    stacklevel=2,
                )


def _place_of(function: Any) -> list[str]:
    """The module of a function, and its name there."""
    return [getattr(function, of, "") or "" for of in ("__module__", "__name__")]


def _imported(place: Sequence[str]) -> Any:
    """The function that an imported module has by a name, if any."""
    module, name = place
    return getattr(sys.modules.get(module), name, None)


def equal(one: Any, other: Any) -> bool:
    mine: list[Any] = []
    others: list[Any] = []
    same = json.dumps(packed(one, mine)) == json.dumps(packed(other, others))
    return same and all(map(np.array_equal, mine, others))


def packed(value: Any, arrays: list[Any]) -> Any:
    """Returns plain values as JSON has them; arrays are appended, and numbered."""
    if isinstance(value, dict):
        items = [[packed(each, arrays) for each in pair] for pair in value.items()]
        return {"dict": items}
    for kind, several in _SEVERAL.items():
        if isinstance(value, several):
            return {kind: [packed(each, arrays) for each in value]}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if callable(value):
        return {"function": _place_of(value)}
    return value.item() if isinstance(value, np.generic) else value


def unpacked(value: Any, arrays: Sequence[Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "function":
        return _imported(content)
    if kind in _SEVERAL:
        return _SEVERAL[kind](unpacked(each, arrays) for each in content)
    return {unpacked(k, arrays): unpacked(v, arrays) for k, v in content}
