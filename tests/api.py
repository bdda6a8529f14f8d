"""Prints what a user may rely on: public names, signatures and attributes.

python -m tests.api > tests/api.txt

Public is what the `__all__` of a package of `PACKAGES` has; `tests/test_api.py` has the
import paths of version 1 besides.
"""

import importlib
import inspect
import re
from collections.abc import Iterator

import keras

PACKAGES = (
    "recsys",
    "recsys.data",
    "recsys.feature",
    "recsys.inputs",
    "recsys.layers",
    "recsys.match",
    "recsys.metrics",
    "recsys.multidomain",
    "recsys.multitask",
    "recsys.rank",
    "recsys.retrieval",
    "recsys.runs",
    "recsys.serving",
    "recsys.testing",
    "recsys.train",
    "recsys.train.balance",
    "recsys.train.callbacks",
    "recsys.train.evaluation",
    "recsys.train.losses",
    "recsys.train.optimizers",
)


PROTOCOLS = (
    keras.Layer,
    keras.Loss,
    keras.Metric,
    keras.Optimizer,
    keras.callbacks.Callback,
)
"""What Keras calls, a user hands over: the constructor counts, of a layer its call."""


USED_OF_A_MODEL = {
    *("compile", "fit", "evaluate", "predict", "save", "export"),
    *("train_on_batch", "test_on_batch", "predict_on_batch"),
    *("save_weights", "load_weights"),
}


def public_api() -> list[str]:
    """One line for each public name, method and attribute, sorted."""
    owners: dict[int, tuple[str, object]] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.ismodule(value):
                owners.setdefault(id(value), (f"{package}.{name}", value))
    public = {value for _, value in owners.values() if inspect.isclass(value)}
    return sorted(
        line
        for path, value in owners.values()
        for line in _lines(path, value, public - {value})
    )


def _lines(path: str, value: object, others: set[type]) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{path}{_signature(value) if callable(value) else ''}"
    elif issubclass(value, PROTOCOLS) and not issubclass(value, keras.Model):
        call = issubclass(value, keras.Layer)
        yield f"{path}{_signature(value)}{_signature(value.call) if call else ''}"
    else:
        yield f"{path}{_signature(value)}"
        yield from (f"{path}.{member}" for member in _members(value, others))


def _members(owner: type, others: set[type]) -> set[str]:
    """Methods with signatures, and attributes, that no other public class has."""
    given = {*inspect.signature(owner).parameters}
    if issubclass(owner, keras.Model):
        given |= {*dir(keras.Model)} - USED_OF_A_MODEL
    inherited = [_members(each, set()) for each in owner.__mro__ if each in others]
    found: dict[str, str] = {}
    for base in owner.__mro__:
        if base.__module__.startswith("recsys"):
            for name in _attributes(base):
                found.setdefault(name, name)
            for name, value in vars(base).items():
                function = getattr(value, "__func__", value)
                if callable(function) and inspect.isroutine(value):
                    found.setdefault(name, f"{name}{_signature(function)}")
                else:
                    found.setdefault(name, name)
    return {
        line
        for name, line in found.items()
        if name not in given and (name == "__call__" or not name.startswith("_"))
    }.difference(*inherited)


def _attributes(owner: type) -> list[str]:
    """Names that the docstring lists as attributes."""
    doc = f"{inspect.getdoc(owner)}\n"
    listed = re.findall(r"\nAttributes:\n((?:    .*\n|\n)*)", doc)
    names = re.findall(r"^    (\w[\w, ]*):", "".join(listed), re.MULTILINE)
    return [name for each in names for name in each.split(", ")]


def _signature(value: object) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return re.sub(r" at 0x[0-9a-f]+", "", str(plain))


if __name__ == "__main__":
    print("\n".join(public_api()))
