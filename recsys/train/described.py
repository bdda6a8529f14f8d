"""What a training is of, as texts: two that differ are two trainings."""

import hashlib
import inspect
import json
import re
from collections.abc import Sequence
from typing import Any

import keras

from recsys.train.columns import all_layers


def loss_of(model: Any) -> str:
    """The losses, their weights and balance, as `compile` was given them."""
    given = model._plan.config
    parts = [given[key] for key in ("loss", "loss_weights", "balance")]
    return json.dumps(keras.tree.map_structure(_written, parts), default=str)


def _written(part: Any) -> Any:
    if not inspect.isfunction(part):
        return keras.saving.serialize_keras_object(part)
    cells = [cell.cell_contents for cell in part.__closure__ or ()]
    does = repr([_does(part.__code__), cells, part.__defaults__])
    does = re.sub(" at 0x[0-9a-f]+", "", does)  # where an object lies
    return f"{part.__name__} {hashlib.sha256(does.encode()).hexdigest()[:16]}"


def _does(code: Any) -> Any:
    """What a function's code does, wherever it stands."""
    inner = [_does(each) if inspect.iscode(each) else each for each in code.co_consts]
    return code.co_code, code.co_names, inner


def layers_of(model: Any) -> dict[str, str]:
    """What the layers were made with."""
    found = {}
    for place, layer in enumerate(all_layers(model), 1):
        who = f"{place} ({type(layer).__name__})"
        found[who] = "there"
        found |= options_of(_unnamed(layer.get_config()), who)
    return found


def _unnamed(config: Any) -> Any:
    """A config without what is another one in each process."""
    if isinstance(config, dict):
        return {k: _unnamed(v) for k, v in config.items() if k not in ("name", "seed")}
    return [*map(_unnamed, config)] if isinstance(config, (list, tuple)) else config


def options_of(config: Any, path: str = "") -> dict[str, str]:
    """The leaves of a config, without names; of learning rates the kind."""
    if isinstance(config, (list, tuple)):
        config = dict(enumerate(config))
    if not isinstance(config, dict):
        return {path: str(config)}
    found: dict[str, str] = {}
    for key, value in config.items():
        if key == "learning_rate":
            value = _kind(value)
        if key != "name":
            found |= options_of(value, f"{path} {key}" if path else str(key))
    return found


def _kind(rate: Any) -> str:
    """A learning rate as it is before training: `rates_of` has the numbers."""
    if not isinstance(rate, dict):
        return "a number"
    return f"{rate['class_name']} {_unnamed(rate['config'])}"


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
