"""What every factory of models checks, before it builds one and after."""

import difflib
import functools
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from recsys.feature import Field, Task
from recsys.feature._constraints import Constraint, Integer, Number, OneOf
from recsys.feature._names import layer_name, new_names
from recsys.feature.needs import NEEDS, NeedName
from recsys.layers.activation import KnownActivation
from recsys.layers.aggregation import AGGREGATIONS
from recsys.layers.base import plain_numbers
from recsys.layers.catalogue import Catalogue
from recsys.train.model import Model

P = ParamSpec("P")
M = TypeVar("M", bound=Model)

_NUMBERS: dict[Any, Any] = {int: Integral, float: Real}


def factory(
    *needs: NeedName,
    may_be_zero: Collection[str] = (),
    not_empty: Collection[str] = (),
) -> Callable[[Callable[P, M]], Callable[P, M]]:
    """Has a factory of models say what it needs, and what is wrong with its arguments.

    It raises `TypeError` if there is no argument of a name, and `ValueError` if one is
    not what its annotation says, or a number that cannot be meant, or if the fields
    lack what the model needs: a size or a count is at least 1, nothing is NaN or
    infinite, what is dropped is a fraction, and an activation is one. Numbers of NumPy
    become Python's, and what is a list in all but its type becomes one. It warns, in
    one sentence, of columns that the model does not read.

    Args:
        *needs: What the model cannot do without, see `NEEDS`; they become the
            attribute `needs` of the factory. `"tasks"` is known by its signature.
        may_be_zero: Names of counts of which 0 leaves a part out; they become the
            attribute `may_be_zero`.
        not_empty: Names of lists that must hold one at least.
    """

    def declare(build: Callable[P, M]) -> Callable[P, M]:
        signature = inspect.signature(build)
        model_name = build.__name__

        @functools.wraps(build)
        def checked(*args: P.args, **kwargs: P.kwargs) -> M:
            named = new_names(kwargs, signature.parameters)
            for name in named:
                if name not in signature.parameters:
                    near = difflib.get_close_matches(name, signature.parameters)
                    known = "the nearest names" if near else "its arguments"
                    raise TypeError(
                        f"{model_name} has no argument {name!r}; {known} are "
                        f"{', '.join(near or signature.parameters)}."
                    )
            try:
                bound = signature.bind(*args, **named)
            except TypeError as error:
                raise TypeError(f"{model_name}: {error}") from None
            given = bound.arguments
            given |= check_arguments(model_name, signature, given, may_be_zero)
            for name in not_empty:
                if given.get(name) in ([], ()):
                    raise ValueError(
                        f"{model_name}: {name} must be a list of at least one. "
                        f"Received: {name}={given[name]!r}"
                    )
            lists = [each for each in given.values() if _fits(each, Sequence[Field])]
            fields = {field.name: field for each in lists for field in each}
            for name in needs if fields else ():
                NEEDS[name].check(model_name, [*fields.values()])
            make: Callable[..., M] = build
            model = make(*bound.args, **bound.kwargs)
            _warn_of_unread(model_name, model, [*fields.values()])
            return model

        tasks = signature.parameters.get("task_list")
        several: tuple[NeedName, ...] = ("tasks",) if _is_required(tasks) else ()
        # In version 1 `recsys.rank.deepfm` was the module, its `.deepfm` the factory.
        vars(checked).update(
            {
                "needs": (*needs, *several),
                "may_be_zero": may_be_zero,
                model_name: checked,
            }
        )
        return checked

    return declare


def needs_of(build: Callable[..., Any]) -> tuple[NeedName, ...]:
    """Returns what a factory declares that its models cannot do without."""
    needs: tuple[NeedName, ...] = getattr(build, "needs", ())
    return needs


def _is_required(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and parameter.default is parameter.empty


def check_arguments(
    who: str,
    signature: inspect.Signature,
    given: Mapping[str, Any],
    may_be_zero: Collection[str] = (),
) -> dict[str, Any]:
    """Returns arguments in Python's own types, by name.

    Args:
        who: Whose they are, for errors.
        signature: Whose annotations say what they may be.
        given: The arguments; those that it does not name are left as they are.
        may_be_zero: Which counts of them need not be at least 1.

    Raises:
        ValueError: If one is not what its annotation says, or a number or an
            activation that cannot be meant.
    """
    made = new_names(given, signature.parameters)
    kinds = {name: p.annotation for name, p in signature.parameters.items()}
    for name, value in made.items():
        kind = kinds.get(name, inspect.Parameter.empty)
        if kind is not inspect.Parameter.empty:
            made[name] = _plain(value, kind)
            _check(who, name, made[name], kind)
            meant = _meant(name, kind, 0 if name in may_be_zero else 1)
            _check_meaning(who, name, made[name], meant)
    return made


def _plain(value: Any, kind: Any) -> Any:
    """Python's numbers and lists in place of others, which Keras cannot save."""
    no_list = (Sequence, Mapping, set, frozenset)  # a set has no order
    if (
        Sequence in {get_origin(kind), *map(get_origin, get_args(kind))}
        and isinstance(value, Collection)
        and not isinstance(value, no_list)
    ):
        return [*map(plain_numbers, value)]
    return plain_numbers(value)


def _check(model: str, name: str, value: Any, kind: Any) -> None:
    if _fits(value, kind):
        return
    if kind is Task and _fits(value, Sequence[Task]):
        folder = Path(__file__).parents[1] / "multitask"
        several = [module.name for module in pkgutil.iter_modules([str(folder)])]
        raise ValueError(
            f"{model} answers one task, a Task. Several are for {', '.join(several)} "
            "and, of several domains, the models of recsys.multidomain that take a "
            f"task_list. Received: {name}={value!r}"
        )
    wanted = re.sub(r"\w+\.", "", inspect.formatannotation(kind))
    wanted = wanted.replace("Sequence[", "list[")
    if get_origin(kind) is Literal:
        wanted = f"one of {get_args(kind)}"
    raise ValueError(f"{model}: {name} must be {wanted}. Received: {name}={value!r}")


def _check_meaning(model: str, name: str, value: Any, meant: Constraint | None) -> None:
    several = isinstance(value, (list, tuple))
    for each in value if several else [value]:
        says = isinstance(each, (Real, str)) or callable(each)
        if says and meant and not meant.accepts(each):
            wanted = f"{'a list, each ' if several else ''}{meant.wanted}"
            raise ValueError(
                f"{model}: {name} must be {wanted}. Received: {name}={value!r}"
            )


def _meant(name: str, kind: Any, least: int) -> Constraint | None:
    """What may be in an argument: its word means the same in every model."""
    if re.fullmatch("(.*_)?activation", name):
        return KnownActivation()
    if name == "history_agg":
        return OneOf(tuple(AGGREGATIONS))
    kinds = {kind, *get_args(kind), *(k for a in get_args(kind) for k in get_args(a))}
    if int in kinds:
        return None if name == "seed" else Integer(least)
    if float not in kinds:
        return None
    if re.fullmatch("(.*_)?dropout", name):
        return Number(0, below=1)
    return Number(0) if re.fullmatch("l2_reg|.*_weights?", name) else Number()


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation says; true where that is hard to tell."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is Sequence:
        several = isinstance(value, Sequence) and not isinstance(value, str)
        return several and all(_fits(each, arguments[0]) for each in value)
    if origin is Callable:
        return callable(value)
    if origin is tuple and arguments[1:] != (...,):
        several = isinstance(value, (list, tuple)) and len(value) == len(arguments)
        return several and all(map(_fits, value, arguments))
    if origin is tuple:
        return type(value) is tuple and all(_fits(each, arguments[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, arguments[0]) and _fits(each, arguments[1])
            for key, each in value.items()
        )
    if kind is bool:
        return isinstance(value, Integral) and value in (0, 1)
    if kind in _NUMBERS and isinstance(value, bool):
        return False
    if (
        isinstance(kind, type)
        and origin is None
        and kind not in (Any, inspect.Parameter.empty)
    ):
        return isinstance(value, _NUMBERS.get(kind, kind))
    return True


def _warn_of_unread(name: str, model: Model, fields: Sequence[Field]) -> None:
    """Warns of fields that are no part of the model."""
    reads = {*model.input}
    for layer in model.layers:
        if isinstance(layer, Catalogue):
            reads |= layer.values.keys()
    columns = {f.name for f in fields} | {f.weight for f in fields if f.weight}
    unread = columns - reads
    layers = {layer.name for layer in model.layers}
    vectors = {f.emb for f in fields if f.content is not None}
    deaf = {e for e in vectors if layer_name(f"content_vectors_{e}") not in layers}
    if deaf:
        warnings.warn(
            f"{name} does not read the vectors of {sorted(deaf)}: what they tell has "
            "no effect on it",
            stacklevel=3,
        )
    if unread:
        warnings.warn(
            f"{name} does not read the columns {sorted(unread)}: what they tell has no "
            "effect on it",
            stacklevel=3,
        )
