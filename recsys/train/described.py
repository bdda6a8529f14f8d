"""What a training is of, as texts: two that differ are two trainings."""

import inspect
import json
from collections.abc import Sequence
from typing import Any

import keras

from recsys.train._keras import schedules, without_rates
from recsys.train.columns import all_layers
from recsys.train.meaning import is_installed, meaning_of, unnamed


def loss_of(model: Any) -> str:
    """The losses, their weights and balance, as `compile` was given them."""
    given = model._plan.config
    parts = [given[key] for key in ("loss", "loss_weights", "balance")]
    return json.dumps(keras.tree.map_structure(_written, parts), default=str)


def _written(part: Any) -> Any:
    by_config = not callable(part)
    if hasattr(part, "get_config"):
        by_config = is_installed(type(part).__module__) and _has_arguments(part)
    if by_config:
        return keras.saving.serialize_keras_object(part)
    return meaning_of(part)


def _has_arguments(part: Any) -> bool:
    """Whether a config has all arguments: that of Keras' Huber lacks `delta`."""
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    arguments = inspect.signature(type(part)).parameters.values()
    names = {each.name for each in arguments if each.kind not in several}
    return names - {"dtype"} <= {*part.get_config()}


def layers_of(model: Any) -> dict[str, str]:
    """What the layers were made with."""
    found = {}
    for place, layer in enumerate(all_layers(model), 1):
        who = f"{place} ({type(layer).__name__})"
        found[who] = "there"
        found |= options_of(unnamed(layer.get_config()), who)
    return found


def optimizer_of(model: keras.Model) -> dict[str, str]:
    """What the optimizer was made with."""
    rates = schedules(model.optimizer)
    config = keras.saving.serialize_keras_object(without_rates(model.optimizer))
    found = options_of(config)
    keys = [key for key in found if key.endswith(" learning_rate")]
    if len(keys) != len(rates):  # it is written in a way of its own
        keys = [f"learning_rate of part {place}" for place in range(len(rates))]
    for key, rate in zip(keys, rates, strict=True):
        if rate is not None:
            found[key] = _kind(rate)
    return found


def options_of(config: Any, path: str = "") -> dict[str, str]:
    """The leaves of a config, without names."""
    if isinstance(config, (list, tuple)):
        config = dict(enumerate(config))
    if not isinstance(config, dict):
        return {path: meaning_of(config) if callable(config) else str(config)}
    found: dict[str, str] = {}
    for key, value in config.items():
        if key == "learning_rate" and not isinstance(value, dict):
            value = "a number"  # before training: `rates_of` has the numbers
        if key != "name":
            found |= options_of(value, f"{path} {key}" if path else str(key))
    return found


def _kind(rate: Any) -> str:
    """What computes a learning rate."""
    if not is_installed(type(rate).__module__) or not hasattr(rate, "get_config"):
        return meaning_of(rate)
    return f"{type(rate).__name__} {unnamed(rate.get_config())}"


def rates_of(model: keras.Model) -> list[float]:
    """The learning rates, as `compile` was given them until a callback changes one."""
    variables = model.optimizer.variables
    rates = [v for v in variables if v.name.endswith("learning_rate")]
    return [round(keras.ops.convert_to_numpy(rate).item(), 9) for rate in rates]


def shapes_of(variables: Sequence[Any]) -> dict[str, str]:
    return {
        f"{place} ({v.name})": f"{v.dtype} of shape {tuple(v.shape)}"
        for place, v in enumerate(variables, 1)
    }
