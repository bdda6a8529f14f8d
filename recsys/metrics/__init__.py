"""Metrics, each a NumPy function and a streaming `keras.metrics.Metric`.

The function has the lower-case name and takes all rows at once; the class (`AUC` of
`auc`) has the CamelCase name, takes batches and gives the same number. The functions
load NumPy only, the classes load Keras when they are used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from recsys.metrics.auc import auc
from recsys.metrics.gauc import GroupAUC, gauc, group_auc
from recsys.metrics.log_loss import log_loss
from recsys.metrics.ndcg import ndcg
from recsys.metrics.recall import recall

if TYPE_CHECKING:
    from recsys.metrics.streaming import AUC, GAUC, LogLoss

__all__ = [
    "AUC",
    "GAUC",
    "GroupAUC",
    "LogLoss",
    "auc",
    "gauc",
    "group_auc",
    "log_loss",
    "ndcg",
    "recall",
]

_STREAMING = ("AUC", "GAUC", "LogLoss")


def __getattr__(name: str) -> Any:
    if name in _STREAMING:
        return getattr(importlib.import_module("recsys.metrics.streaming"), name)
    raise AttributeError(f"module 'recsys.metrics' has no attribute {name!r}")
