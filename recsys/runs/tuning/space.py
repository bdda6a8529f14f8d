"""What may be tuned: keys of a configuration, and the values that are tried."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recsys.about import about
from recsys.feature._names import nearest, new_names
from recsys.runs import tasks
from recsys.runs.building import check_names
from recsys.runs.config import Range
from recsys.runs.matching import checks
from recsys.runs.matching.kind import is_match
from recsys.runs.reading import Origin, Read, with_values
from recsys.train.factory import check_arguments

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SECTIONS, ARGUMENTS = ("model", "training"), "model.arguments"
FIXED = {
    "model.name": "each model has a study of its own, as in `recsys bench --trials`",
    "training.keep_negatives": "it chooses rows, which all trials share",
    "training.monitor": "it is what trials are compared by",
    "training.seeds": "all trials have the first of them",
}
Entry = list[Any] | Range


def check_space(read: Read) -> None:
    """Checks all that is to be tried, before anything is.

    Args:
        read: The configuration.

    Raises:
        ValueError: If there is nothing to try, a key is none that may be tuned, or a
            value none that it takes; with the line.
    """
    space = read.config.tuning.space
    if not space:
        raise ValueError(
            f"{read.origin.where('tuning', 'space')}: tuning.space must have what is "
            "tried, as in training.learning_rate: {low: 0.001, high: 0.1, log: true}. "
            "Received: nothing"
        )
    for key in space:
        _check_key(read, key, read.origin.where("tuning", "space", key))
    first = {key: _ends(entry)[0] for key, entry in space.items()}
    origin = _moved(read)
    for key, entry in space.items():
        for value in _ends(entry):
            own = with_values(read, {**first, key: value}, origin)
            if key.startswith(("training.optimizer", "training.loss")):
                check_names(own)
            if key.startswith(f"{ARGUMENTS}."):
                where = read.origin.where("tuning", "space", key)
                _check_argument(read, key.split(".")[2:], value, where)


def monitor_of(read: Read) -> str:
    """Returns what trials are compared by."""
    if is_match(read.config):
        return checks.monitor_of(read.config)
    return tasks.monitor_of(read)


def lacks(model: str, key: str) -> bool:
    """Whether a key is of an argument that a model does not have."""
    if not key.startswith(f"{ARGUMENTS}."):
        return False
    parameters = inspect.signature(about(model).factory).parameters
    (name,) = new_names({key.split(".")[2]: None}, parameters)
    return name not in parameters


def distributions_of(space: Mapping[str, Entry]) -> "dict[str, BaseDistribution]":
    """Returns what draws values: of a list, it draws how a choice is written."""
    from optuna import distributions as of

    def of_entry(entry: Entry) -> "BaseDistribution":
        if not isinstance(entry, Range):
            return of.CategoricalDistribution([*map(repr, entry)])
        if entry.whole:
            low, high, step = int(entry.low), int(entry.high), int(entry.step or 1)
            return of.IntDistribution(low, high, entry.log, step)
        return of.FloatDistribution(entry.low, entry.high, entry.log, entry.step)

    return {key: of_entry(entry) for key, entry in space.items()}


def values_of(space: Mapping[str, Entry], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of what was drawn, by their keys."""
    return {
        key: drawn[key]
        if isinstance(entry, Range)
        else {repr(choice): choice for choice in entry}[drawn[key]]
        for key, entry in space.items()
    }


def _moved(read: Read) -> Origin:
    """Where the values stand that are tried: in the space, in place of their own."""
    origin, space = read.origin, ("tuning", "space")
    lines, settings = {**origin.lines}, {**origin.settings}
    for key in read.config.tuning.space:
        own = tuple(key.split("."))
        settings.pop(own, None)
        for at in (space[:1], space, (*space, key)):
            if at in origin.lines:
                lines[own] = origin.lines[at]
            if at in origin.settings:
                settings[own] = origin.settings[at]
    return Origin(origin.path, lines, settings)


def _ends(entry: Entry) -> list[Any]:
    return [entry.low, entry.high] if isinstance(entry, Range) else entry


def _check_key(read: Read, key: str, where: str) -> None:
    section, _, rest = key.partition(".")
    if section not in SECTIONS or not rest:
        raise ValueError(
            f"{where}: tuning.space must have keys of model and training alone, as in "
            "training.learning_rate: rows, pipeline, and what judges a model are the "
            f"same for all trials. Received: {key!r}"
        )
    if key in FIXED:
        raise ValueError(
            f"{where}: tuning.space must not have this key: {FIXED[key]}. "
            f"Received: {key!r}"
        )
    inner = [each for each in read.config.tuning.space if each.startswith(f"{key}.")]
    if inner:
        raise ValueError(
            f"{where}: tuning.space must not have a key and one within it. Received: "
            f"{key!r} and {inner[0]!r}"
        )
    monitor = monitor_of(read)
    by_loss = monitor.endswith("_loss") and not monitor.endswith("_log_loss")
    if by_loss and (key == "training.loss" or "l2_reg" in key):
        raise ValueError(
            f"{where}: tuning.space must not have {key} where trials are compared by "
            f"{monitor}, of which it is a part; training.monitor gives a metric. "
            f"Received: {key!r}"
        )


def _check_argument(read: Read, names: list[str], value: Any, where: str) -> None:
    """Raises `ValueError` if the model has no such argument, or not of this value."""
    known = about(read.config.model.name)
    signature = inspect.signature(known.factory)
    if lacks(known.name, f"{ARGUMENTS}.{names[0]}"):
        raise ValueError(
            f"{where}: arguments of {known.name} are "
            f"{nearest(names[0], signature.parameters)}. Received: {names[0]!r}"
        )
    if names[1:]:
        return  # within a mapping: only the model knows
    may_be_zero = getattr(known.factory, "may_be_zero", ())
    try:
        check_arguments(known.name, signature, {names[0]: value}, may_be_zero)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
