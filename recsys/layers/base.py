"""What all layers have in common: a name in files, and a config."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np

from recsys.feature._names import new_names
from recsys.saving import saved

_OF_KERAS = ("name", "dtype", "trainable")
_WRITTEN = {"module", "class_name", "config", "registered_name"}
"""The keys of an object that Keras has serialized."""


class Layer(keras.layers.Layer):
    """A layer whose config is its arguments, old names of which it takes, too.

    `get_config` gives each argument of `__init__`, and those that it hands on, by name,
    from the attribute of that name, and `from_config` takes it: numbers, strings, lists
    and dicts, arrays, and what Keras serializes, as layers and initializers. NumPy's
    numbers become Python's. A public class of the library is registered under its name,
    a user's own by `keras.saving.register_keras_serializable`.

    Attributes:
        settled: Arguments of a base class that the class settles itself, and does not
            take.
        held: Arguments that are attributes of another name, with that name.

    Example:
    >>> from recsys.layers import Tower
    >>> class Scaled(Tower):
    ...     settled = ("activation",)
    ...     held = {"scale": "_scale"}
    ...     def __init__(self, hidden_units, scale=1.0, **kwargs):
    ...         super().__init__(hidden_units, "tanh", **kwargs)
    ...         self._scale = scale
    ...     def call(self, inputs):
    ...         return self._scale * super().call(inputs)
    >>> config = Scaled((8,), scale=2.0).get_config()
    >>> config["scale"], config["hidden_units"], "activation" in config
    (2.0, (8,), False)
    """

    settled: ClassVar[tuple[str, ...]] = ()
    held: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        made_by = "__init__"
        if made_by in vars(cls):
            setattr(cls, made_by, _taking_what_is_given(vars(cls)[made_by]))
        if cls.__module__.startswith("recsys.") and not cls.__name__.startswith("_"):
            saved(cls)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        for argument in _arguments(type(self)):
            held = self.held.get(argument.name, argument.name)
            by_name = argument.kind is not argument.POSITIONAL_ONLY
            if by_name and hasattr(self, held):
                value = getattr(self, held)
                try:
                    written = keras.saving.serialize_keras_object(value)
                except (TypeError, NotImplementedError, UnicodeError) as error:
                    raise ValueError(
                        f"Layer {self.name!r}: argument {argument.name!r} must be what "
                        "Keras writes to files: numbers, strings, lists and dicts of "
                        "them, arrays, or objects with a `get_config`. "
                        f"Received: {value!r}"
                    ) from error
                config[argument.name] = written
            elif type(self).get_config is Layer.get_config:  # nobody else gives it
                lacking = f"no attribute {held!r}" if by_name else "positional-only"
                raise ValueError(
                    f"Layer {self.name!r}: a file must have each argument of "
                    f"{type(self).__name__} by name, from the attribute of that name; "
                    "`held` names another, and a `get_config` of its own gives what is "
                    f"none. Received: argument {argument.name!r}, {lacking}"
                )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        made = {n: v if n == "dtype" else _made(v) for n, v in config.items()}
        return super().from_config(made)


def _made(value: Any) -> Any:
    """Undoes `serialize_keras_object`, where that is not done yet."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_made, value))
    if not isinstance(value, dict):
        return value
    name = value.get("class_name")  # of arrays and the like there are no further keys
    if value.keys() >= _WRITTEN or (isinstance(name, str) and name.startswith("__")):
        return keras.saving.deserialize_keras_object(value)
    return {key: _made(each) for key, each in value.items()}


def _arguments(cls: type) -> Iterator[inspect.Parameter]:
    """The arguments of a class of layers, Keras' own left out."""
    settled = {*_OF_KERAS, *getattr(cls, "settled", ())}
    for base in cls.__mro__:
        if base is Layer:
            return
        if "__init__" not in vars(base):
            continue
        signature = inspect.signature(vars(base)["__init__"])
        _, *parameters = signature.parameters.values()  # without `self`
        for each in parameters:
            several = each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
            if not several and each.name not in settled:
                settled.add(each.name)
                yield each
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return


def _taking_what_is_given(make: Callable[..., None]) -> Callable[..., None]:
    """Has an `__init__` take arguments by their old names, and NumPy's numbers."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> None:
        named = new_names(kwargs, signature.parameters)
        make(*map(plain_numbers, args), **plain_numbers(named))

    vars(made)["__signature__"] = signature  # Keras does not look behind wrappers
    return made


def plain_numbers(value: Any) -> Any:
    """Returns Python's numbers in place of NumPy's, which Keras refuses."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {key: plain_numbers(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain_numbers, value))
    return value
