"""What all layers have in common: a name in files, and a config."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras

from recsys.feature._names import with_old_names
from recsys.saving import saved

_OF_KERAS = ("self", "name", "dtype", "trainable")
_PLAIN = (type(None), bool, int, float, str, dict, list, tuple)


class Layer(keras.layers.Layer):
    """A layer whose config is its arguments, old names of which it takes, too.

    `get_config` gives each argument of `__init__`, and those that it hands on, by name,
    from the attribute of that name. Initializers, regularizers, activations and layers
    are serialized. A public class of the library is registered under its name.

    Attributes:
        settled: Arguments of a base class that the class settles itself.
        held: Arguments that are attributes of another name, with that name.
    """

    settled: ClassVar[tuple[str, ...]] = ()
    held: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        made_by = "__init__"
        if made_by in vars(cls):
            setattr(cls, made_by, with_old_names(vars(cls)[made_by]))
        if cls.__module__.startswith("recsys.") and not cls.__name__.startswith("_"):
            saved(cls)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        for name in _arguments(type(self)):
            value = getattr(self, self.held.get(name, name))
            plain = isinstance(value, _PLAIN)
            config[name] = (
                value if plain else keras.saving.serialize_keras_object(value)
            )
        return config


def _arguments(cls: type) -> Iterator[str]:
    """The names of the arguments of a class of layers, Keras' own left out."""
    settled = {*_OF_KERAS, *getattr(cls, "settled", ())}
    for base in cls.__mro__:
        if base is Layer:
            return
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        for each in parameters:
            several = each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
            if not several and each.name not in settled:
                settled.add(each.name)
                yield each.name
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return
