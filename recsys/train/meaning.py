"""What a value computes, as a text that is the same in every process."""

import copyreg
import dis
import functools
import hashlib
import inspect
import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import keras
import numpy as np

_PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...)}
_OF_C = (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
)
_Seen = dict[int, tuple[int, Any]]  # by id: which one it is, and what keeps the id


def meaning_of(value: Any) -> str:
    """Returns a text that differs for values that compute something else.

    What a user wrote is followed: the code, constants, defaults and closures of
    functions, the globals that they read, and the methods and state of objects. What
    is of a package is known by its name; a variable or layer, which training changes,
    by its form.

    Raises:
        ValueError: If there is something in it that no other process can have, such as
            a lock or an open file.
    """
    return _told(value, {})


def is_installed(module: str | None) -> bool:
    """Whether a module is of a package: a name in it says what it does.

    Those of the standard library are, and of this one.
    """
    name = module or "builtins"
    if name.partition(".")[0] in {"recsys", *sys.stdlib_module_names}:
        return True
    parts = Path(getattr(sys.modules.get(name), "__file__", None) or "").parts
    return not {"site-packages", "dist-packages"}.isdisjoint(parts)


def _told(value: Any, seen: _Seen) -> str:
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if type(value) is tuple:
        return f"({', '.join(_told(each, seen) for each in value)})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(_told(each, {**seen}) for each in value))}}}"
    if id(value) in seen:
        return f"#{seen[id(value)][0]}"
    seen[id(value)] = len(seen), value
    if type(value) is list:
        return f"[{', '.join(_told(each, seen) for each in value)}]"
    if type(value) is dict:
        pairs = sorted(
            ((_told(k, {**seen}), k) for k in value), key=lambda each: each[0]
        )
        return f"{{{', '.join(f'{k}: {_told(value[key], seen)}' for k, key in pairs)}}}"
    told = ", ".join(_told(part, seen) for part in _parts(value))
    name = getattr(value, "__name__", type(value).__name__)
    return f"{name} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _parts(value: Any) -> Iterator[Any]:
    """Yields what decides what a value computes."""
    if isinstance(value, CodeType):
        yield from (value.co_code, value.co_names, value.co_consts)
    elif isinstance(value, FunctionType):
        yield from (value.__defaults__, value.__kwdefaults__, _cells(value))
        known = value.__globals__
        if is_installed(module := known.get("__name__", "")):
            yield from (module, value.__qualname__)
        else:
            yield from (value.__code__, _globals(value.__code__, known))
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, type):
        if is_installed(value.__module__):
            yield from (value.__module__, value.__qualname__)
        else:
            yield from (value.__bases__, _members(value))
    elif isinstance(value, _OF_C):
        yield from (value.__qualname__, getattr(value, "__self__", None))
    elif isinstance(value, keras.Variable):
        yield from (value.dtype, tuple(value.shape))
    elif isinstance(value, (np.ndarray, np.generic)) or keras.ops.is_tensor(value):
        array = np.asarray(keras.ops.convert_to_numpy(value))
        content = array.tolist() if array.dtype.hasobject else array.tobytes()
        yield from (array.dtype.str, array.shape, content)
    else:
        yield from (type(value), *_state(value))


def _cells(function: FunctionType) -> list[Any]:
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # it is empty yet
            cells.append("an empty cell")
    return cells


def _globals(code: CodeType, known: Mapping[str, Any]) -> dict[str, Any]:
    """The globals that a code reads, and of a user's modules the names in them."""
    found: dict[str, Any] = {}
    path, value = "", None
    for each in dis.get_instructions(code):
        if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            path = each.argval
            value = known.get(path)
        elif each.opname in ("LOAD_ATTR", "LOAD_METHOD") and _is_own_module(value):
            path = f"{path}.{each.argval}"
            value = getattr(value, each.argval, None)
        else:
            continue
        found[path] = value
    for inner in filter(inspect.iscode, code.co_consts):
        found |= _globals(inner, known)
    return found


def _is_own_module(value: Any) -> bool:
    return isinstance(value, ModuleType) and not is_installed(value.__name__)


def _members(owner: type) -> dict[str, Any]:
    """What a user's class does and has; not what Python keeps in it."""
    found = {}
    for name, member in vars(owner).items():
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        elif isinstance(member, functools.cached_property):
            member = member.func
        elif isinstance(member, property):
            member = member.fget, member.fset
        special = name.startswith("__") and not isinstance(member, FunctionType)
        if not special and name != "_abc_impl" and not inspect.isdatadescriptor(member):
            found[name] = member
    return found


def _state(value: Any) -> Any:
    """What an object has, besides its class."""
    if isinstance(value, keras.Model):
        return value.layers
    if hasattr(value, "__wrapped__"):  # a function that is run otherwise
        return [value.__wrapped__]
    if isinstance(value, keras.losses.Loss):  # its config need not have it all
        return [{k: v for k, v in vars(value).items() if k != "name"}]
    installed = is_installed(type(value).__module__)
    by_config = installed or isinstance(value, keras.layers.Layer)
    try:
        if by_config and hasattr(value, "get_config"):
            return [unnamed(value.get_config())]
        reduce = copyreg.dispatch_table.get(type(value))
        reduced: Any = reduce(value) if reduce else value.__reduce_ex__(2)
    except (TypeError, NotImplementedError, pickle.PicklingError) as error:
        raise ValueError(
            "Resume: a loss or rate must hold what another process can have, too. "
            f"Received: {value!r}, of which {error}"
        ) from error
    reduced = [reduced] if isinstance(reduced, str) else [*reduced]
    # The items of a list and of a dict.
    return reduced[:3] + [[*(items or ())] for items in reduced[3:5]]


def unnamed(config: Any) -> Any:
    """Returns a config without what is another one in each process."""
    if isinstance(config, dict):
        return {k: unnamed(v) for k, v in config.items() if k not in ("name", "seed")}
    return [*map(unnamed, config)] if isinstance(config, (list, tuple)) else config
