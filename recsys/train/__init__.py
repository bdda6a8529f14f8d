"""From logits to weights: the model class, optimizers, losses and callbacks."""

import importlib
from typing import Any

_MODULES = ("callbacks", "evaluation", "losses", "optimizers")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"recsys.train.{name}")
    raise AttributeError(f"module 'recsys.train' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_MODULES]
