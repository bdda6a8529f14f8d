"""Which optimizer trains a variable: our twin of a stock one, or one of several."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from recsys.feature._names import layer_name, nearest
from recsys.protocols import Table
from recsys.saving import saved
from recsys.train._keras import PartedOptimizer, parts, schedules, without_rates
from recsys.train.optimizers.adagrad import Adagrad, RowWiseAdagrad
from recsys.train.optimizers.adam import Adam
from recsys.train.optimizers.ftrl import FTRL
from recsys.train.optimizers.row_optimizer import RowOptimizer
from recsys.train.optimizers.sgd import SGD

LARGE_TABLE = 100_000
"""Rows from which a table is slow to train with an optimizer that is not of ours."""


_TWINS: dict[type, Any] = {
    keras.optimizers.Adam: Adam,
    keras.optimizers.AdamW: Adam,
    keras.optimizers.Adagrad: Adagrad,
    keras.optimizers.Ftrl: FTRL,
    keras.optimizers.SGD: SGD,
}
_NAMES: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": Adam,
    "adagrad": Adagrad,
    "rowwiseadagrad": RowWiseAdagrad,
    "ftrl": FTRL,
    "sgd": SGD,
}


def get(identifier: Any) -> keras.optimizers.Optimizer:
    """Returns the optimizer to train with.

    A name and a stock Keras instance of Adam, AdamW, Adagrad, Ftrl or SGD become our
    optimizer of that kind with the same config; a dict of prefixes becomes an
    `OptimizerByPrefix`. Other instances are returned as they are.

    Args:
        identifier: Name, instance, serialized config, or dict.

    Raises:
        ValueError: If it is none of them.
    """
    if identifier is None:
        raise ValueError(
            "optimizer must be a name, an optimizer of Keras or a dict by prefix. "
            "Received: optimizer=None"
        )
    if isinstance(identifier, Mapping):
        if "class_name" not in identifier:
            return OptimizerByPrefix(identifier)
        identifier = keras.optimizers.deserialize(dict(identifier))
    if isinstance(identifier, str):
        name = identifier.lower().replace("_", "")
        if name in _NAMES:
            return _NAMES[name]()
        _check_name(name, identifier)
    optimizer = keras.optimizers.get(identifier)
    twin = _TWINS.get(type(optimizer))
    if twin is None:
        return optimizer
    (rate,), config = schedules(optimizer), without_rates(optimizer).get_config()
    config = config if rate is None else {**config, "learning_rate": rate}
    ours: keras.optimizers.Optimizer = twin.from_config(config)
    return ours


def _check_name(name: str, given: str) -> None:
    """Raises `ValueError` if neither we nor Keras have an optimizer of a name."""
    of_keras = {
        each.lower()
        for each, found in vars(keras.optimizers).items()
        if isinstance(found, type) and issubclass(found, keras.optimizers.Optimizer)
    }
    known = sorted({*_NAMES, *of_keras} - {"optimizer"})
    if name not in known:
        raise ValueError(
            f"optimizer must be one of {nearest(given, known)}. Received: {given!r}"
        )


def warn_if_slow(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> None:
    """Warns once if a large table will be trained by an optimizer not of ours."""
    large = [
        v.path for v in variables if isinstance(v, Table) and v.shape[0] >= LARGE_TABLE
    ]
    each = parts(optimizer)
    others = {type(o).__name__ for o in each if not isinstance(o, RowOptimizer)}
    if large and others:
        warnings.warn(
            f"{', '.join(sorted(others))} reads and writes all rows of a table in "
            f"every step; recsys.train.optimizers do not. Large tables: {large}",
            stacklevel=3,
        )


@saved
class OptimizerByPrefix(PartedOptimizer):
    """One optimizer made of several, each for the variables with a prefix.

    The components of a variable's path are tried from left to right; the first that
    starts with a key decides, and of several keys the longest. What no key matches
    goes to `"default"`.

    Clipping by global norm is over the variables of one part.

    Args:
        optimizers: Optimizer by prefix, with a `"default"`.
        loss_scale_factor: Loss scale factor of all parts.
        name: Name.

    Raises:
        ValueError: If there is no `"default"`, or a key has no variable.

    Example:
    >>> OptimizerByPrefix({"embedding": "adagrad", "default": "adam"})
    OptimizerByPrefix({'embedding': 'Adagrad', 'default': 'Adam'})
    """

    def __init__(
        self,
        optimizers: Mapping[str, Any],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        if "default" not in optimizers:
            raise ValueError(
                "An optimizer dict needs a 'default' for the variables that no other "
                f"key matches. Received: keys {list(optimizers)}"
            )
        super().__init__(self._of, loss_scale_factor, name)
        self._by_key = {key: get(optimizer) for key, optimizer in optimizers.items()}
        self._take_parts(list(self._by_key.values()))

    def __repr__(self) -> str:
        kinds = {key: type(each).__name__ for key, each in self._by_key.items()}
        return f"OptimizerByPrefix({kinds})"

    def key(self, path: str) -> str:
        """Returns the key that a variable's path belongs to."""
        for component in path.split("/"):
            matching = [
                key
                for key in self._by_key
                if key != "default"
                and component.startswith(layer_name(key.replace("/", "_")))
            ]
            if matching:
                return max(matching, key=len)
        return "default"

    def assign_keys(
        self, variables: Sequence[keras.Variable]
    ) -> dict[str, list[keras.Variable]]:
        """Returns the variables of each key.

        Raises:
            ValueError: If a key other than `"default"` has none.
        """
        by_key: dict[str, list[keras.Variable]] = {key: [] for key in self._by_key}
        for variable in variables:
            by_key[self.key(variable.path)].append(variable)
        idle = [key for key, of in by_key.items() if not of and key != "default"]
        if idle:
            first = sorted({variable.path.split("/")[0] for variable in variables})
            raise ValueError(
                f"Optimizer keys {idle} match no variable: none of its path's parts "
                f"starts with them. Received: paths that start with {first}"
            )
        return by_key

    def _of(self, variable: keras.Variable) -> Any:
        return self._by_key[self.key(variable.path)]

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the slots of all parts."""
        self.assign_keys(variables)
        super().build(variables)

    def __getitem__(self, key: str) -> Any:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizers": {
                key: keras.saving.serialize_keras_object(optimizer)
                for key, optimizer in self._by_key.items()
            },
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "OptimizerByPrefix":
        optimizers = {
            key: keras.saving.deserialize_keras_object(optimizer, custom_objects)
            for key, optimizer in config["optimizers"].items()
        }
        return cls(**{**config, "optimizers": optimizers})
