"""What a training is of, as texts: two that differ are two trainings."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import keras

from recsys.train._keras import schedules, without_rates
from recsys.train.columns import all_layers
from recsys.train.meaning import meaning_of, unnamed


def loss_of(compiled: Mapping[str, Any]) -> str:
    """The losses, their weights and balance, of the arguments of `compile`."""
    parts = [compiled[key] for key in ("loss", "loss_weights", "balance")]
    return json.dumps(keras.tree.map_structure(_written, parts))


def _written(part: Any) -> Any:
    plain = part is None or isinstance(part, (str, int, float))
    return part if plain else meaning_of(part)


def layers_of(model: Any) -> dict[str, str]:
    """What the layers were made with."""
    found = {}
    for place, layer in enumerate(all_layers(model), 1):
        who = f"{place} ({type(layer).__name__})"
        found[who] = "there"
        with suppress(Exception):  # else it is known by its class
            found |= options_of(unnamed(layer.get_config()), who)
    return found


def rates_of(optimizer: keras.optimizers.Optimizer) -> list[str | None]:
    """What computes the rate of each part, if anything does."""
    return [None if each is None else meaning_of(each) for each in schedules(optimizer)]


def optimizer_of(model: Any) -> dict[str, str]:
    """What the optimizer was made with."""
    config = {"class_name": type(model.optimizer).__name__}
    with suppress(Exception):  # else it is known by its class
        config = keras.saving.serialize_keras_object(without_rates(model.optimizer))
    found, rates = options_of(config), model._plan.rates
    keys = [key for key in found if key.endswith(" learning_rate")]
    if len(keys) != len(rates):  # it is written in a way of its own
        keys = [f"learning_rate of part {place}" for place in range(len(rates))]
    for key, rate in zip(keys, rates, strict=True):
        if rate is not None:
            found[key] = rate
    return found


def options_of(config: Any, path: str = "") -> dict[str, str]:
    """The leaves of a config, without names."""
    if isinstance(config, (list, tuple)):
        config = dict(enumerate(config))
    if not isinstance(config, dict):
        return {path: str(_written(config))}
    found: dict[str, str] = {}
    for key, value in config.items():
        if key == "learning_rate" and not isinstance(value, dict):
            value = "a number"  # before training: `numbers_of_rates` has the numbers
        if key != "name":
            found |= options_of(value, f"{path} {key}" if path else str(key))
    return found


def numbers_of_rates(model: keras.Model) -> list[float]:
    """The learning rates, as `compile` was given them until a callback changes one."""
    variables = model.optimizer.variables
    rates = [v for v in variables if v.name.endswith("learning_rate")]
    return [round(keras.ops.convert_to_numpy(rate).item(), 9) for rate in rates]


def shapes_of(variables: Sequence[Any]) -> dict[str, str]:
    return {
        f"{place} ({v.name})": f"{v.dtype} of shape {tuple(v.shape)}"
        for place, v in enumerate(variables, 1)
    }
