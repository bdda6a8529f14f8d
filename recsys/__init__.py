"""Recommender models on Keras 3: ranking, multi-task, multi-domain and match.

`import recsys` loads no TensorFlow; the names below do, when they are used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "2.0.0.dev0"

if TYPE_CHECKING:
    from recsys.feature import Field, Task
    from recsys.registry import create_model, list_models, load_model

__all__ = ["Field", "Task", "create_model", "list_models", "load_model", "__version__"]

_OWNER = {
    "Field": "recsys.feature",
    "Task": "recsys.feature",
    "create_model": "recsys.registry",
    "list_models": "recsys.registry",
    "load_model": "recsys.registry",
}
_PACKAGES = ("data", "feature", "layers", "metrics", "train", "serving")


def __getattr__(name: str) -> Any:
    if name in _OWNER:
        return getattr(importlib.import_module(_OWNER[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"recsys.{name}")
    raise AttributeError(f"module 'recsys' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*__all__, *_PACKAGES))
