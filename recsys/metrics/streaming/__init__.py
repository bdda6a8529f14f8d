"""Metrics that take batches: in `fit`, in `evaluate`, or by hand."""

from recsys.metrics.streaming.auc import AUC
from recsys.metrics.streaming.gauc import GAUC
from recsys.metrics.streaming.log_loss import LogLoss

__all__ = ["AUC", "GAUC", "LogLoss"]
