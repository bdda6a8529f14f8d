"""Recommender models on Keras 3: ranking, multi-task, multi-domain and match.

`import recsys` loads no TensorFlow; the names below do, when they are used.
"""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys import (
        data,
        feature,
        inputs,
        layers,
        match,
        metrics,
        multidomain,
        multitask,
        rank,
        retrieval,
        runs,
        serving,
        testing,
        train,
    )
    from recsys.feature import Field, Task
    from recsys.registry import create_model, list_models, load_model
    from recsys.runs.running import run

__version__ = "2.0.0.dev0"

__all__ = [
    "Field",
    "Task",
    "__version__",
    "create_model",
    "data",
    "feature",
    "inputs",
    "layers",
    "list_models",
    "load_model",
    "match",
    "metrics",
    "multidomain",
    "multitask",
    "rank",
    "retrieval",
    "run",
    "runs",
    "serving",
    "testing",
    "train",
]

public_face(
    __name__,
    {
        "recsys.feature": ["Field", "Task"],
        "recsys.registry": ["create_model", "list_models", "load_model"],
        "recsys.runs.running": ["run"],
    },
    modules=[
        "data",
        "feature",
        "inputs",
        "layers",
        "match",
        "metrics",
        "multidomain",
        "multitask",
        "rank",
        "retrieval",
        "runs",
        "serving",
        "testing",
        "train",
    ],
)
