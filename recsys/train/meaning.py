"""What a value was made of, as a text that is the same in every process."""

import enum
import functools
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any

import keras
import numpy as np

DEEPEST, MOST, LONGEST = 10, 20_000, 1_000  # levels; values; elements of a container
_PLAIN = {type(None), bool, int, float, complex, str}
_IN_PROCESS = {"name", "seed", "keras_history", "input_layers", "output_layers"}


def meaning_of(value: Any) -> str:
    """Returns a text that differs for values that were made otherwise.

    A function is told by its name, code, defaults and closure; an object that Keras
    knows by its config; another one by its class and its attributes. Of what is
    installed the name counts, not the code. What is no number, text, array or container
    counts by its class alone, and so does what is too deep inside or too much. What a
    function reads elsewhere, as globals, does not count.
    """
    known: dict[int, tuple[Any, str]] = {}  # by id, with what keeps the id
    left = MOST

    def told(value: Any, depth: int = 0) -> str:
        nonlocal left
        left -= 1
        if id(value) not in known and left >= 0 and depth <= DEEPEST:
            known[id(value)] = value, type(value).__name__  # what is in itself
            with suppress(Exception):  # which the code of any class may raise
                text = _parts(value, lambda each: told(each, depth + 1))
                if not isinstance(text, str):
                    name = getattr(value, "__name__", type(value).__name__)
                    whole = hashlib.sha256(str([*text]).encode())
                    text = f"{name} {whole.hexdigest()[:16]}"
                known[id(value)] = value, text
        return known.get(id(value), (value, type(value).__name__))[1]

    return told(value)


def is_installed(module: str | None) -> bool:
    """Whether a module is of a package: a name in it says what it does.

    Those of the standard library are, and of this one.
    """
    name = module or "builtins"
    top = name.partition(".")[0]
    if top == "recsys" or top in sys.stdlib_module_names:
        return True
    parts = Path(getattr(sys.modules.get(name), "__file__", None) or "").parts
    return not {"site-packages", "dist-packages"}.isdisjoint(parts)


def unnamed(config: Any) -> Any:
    """Returns a config without what is another one in each process."""
    if isinstance(config, dict):
        return {k: unnamed(v) for k, v in config.items() if k not in _IN_PROCESS}
    return [*map(unnamed, config)] if isinstance(config, (list, tuple)) else config


def _parts(value: Any, told: Callable[[Any], str]) -> str | Iterable[str]:
    """What a value is made of, or a text that says it."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{kind.__name__}.{value.name}"
    if isinstance(value, (list, tuple)):
        return [str(len(value)), *map(told, islice(value, LONGEST))]
    if isinstance(value, (set, frozenset)):  # of which any could be the first ones
        few = value if len(value) <= LONGEST else ()
        return [str(len(value)), *sorted(map(told, few))]
    if isinstance(value, dict):
        pairs = islice(value.items(), LONGEST)
        return [str(len(value)), *sorted(f"{told(k)}: {told(v)}" for k, v in pairs)]
    if isinstance(value, bytes):
        value = np.frombuffer(value, "uint8")
    if keras.ops.is_tensor(value) and not hasattr(value, "assign"):
        value = keras.ops.convert_to_numpy(value)
    if isinstance(value, (np.ndarray, np.generic)):
        by_value = value.dtype.hasobject
        content = told(value.tolist()).encode() if by_value else value.tobytes()
        form = str(value.dtype), str(value.shape)
        return [*form, hashlib.sha256(content).hexdigest()]
    if isinstance(value, CodeType):
        return [value.co_code.hex(), *value.co_names, *map(told, value.co_consts)]
    if isinstance(value, FunctionType):
        cells = [c.cell_contents for c in value.__closure__ or () if c != CellType()]
        return map(told, (value.__module__, value.__qualname__, cells, *_code(value)))
    if isinstance(value, type):
        if is_installed(value.__module__):
            return value.__name__
        members = {
            name: _code(member)
            for name, member in vars(value).items()
            if callable(member) or not name.startswith("__")
        }
        return map(told, (value.__qualname__, value.__bases__, members))
    if isinstance(value, functools.partial):
        return map(told, (value.func, value.args, value.keywords))
    if hasattr(value, "__wrapped__"):  # a function that is run otherwise
        return [told(value.__wrapped__)]
    own = not is_installed(kind.__module__)
    layer = isinstance(value, keras.layers.Layer)
    known = not own or keras.saving.get_registered_name(kind) != kind.__name__
    if layer or (known and not isinstance(value, keras.losses.Loss)):  # Huber has more
        with suppress(Exception):
            config = unnamed(value.get_config())
            return f"{told(kind)} {json.dumps(config, default=told)}"
    state: Any = None
    if (own or callable(value)) and not layer:
        state = object.__getstate__(value)
    if isinstance(state, dict):
        state = {k: v for k, v in state.items() if k not in ("name", "_name")}
    names = (getattr(value, n, None) for n in ("__name__", "__self__", "__func__"))
    return map(told, (kind, *names, state))


def _code(value: Any) -> list[Any]:
    """The code and defaults of a function, in a class maybe; or what else it is."""
    for name in ("__func__", "fget", "func"):
        value = getattr(value, name, None) or value
    if not isinstance(value, FunctionType):
        return [value]
    code = None if is_installed(value.__module__) else value.__code__
    return [code, value.__defaults__, value.__kwdefaults__]
