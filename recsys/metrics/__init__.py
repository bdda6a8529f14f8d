"""Metrics, each a NumPy function of all rows."""

from recsys.metrics.auc import auc
from recsys.metrics.gauc import GroupAUC, gauc, group_auc
from recsys.metrics.log_loss import log_loss
from recsys.metrics.ndcg import ndcg
from recsys.metrics.recall import recall

__all__ = [
    "GroupAUC",
    "auc",
    "gauc",
    "group_auc",
    "log_loss",
    "ndcg",
    "recall",
]
