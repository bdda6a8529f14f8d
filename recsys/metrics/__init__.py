"""Metrics, each a NumPy function and a streaming `keras.metrics.Metric`.

The function has the lower-case name and takes all rows at once; the class (`AUC` of
`auc`) has the CamelCase name, takes batches and gives the same number. The functions
load NumPy only, the classes load Keras when they are used. A metric that is undefined,
such as the AUC of one class, is NaN.
"""

import importlib
from typing import TYPE_CHECKING, Any

from recsys.metrics.auc import auc
from recsys.metrics.average_precision import average_precision
from recsys.metrics.binned_auc import BinnedArea, binned_auc
from recsys.metrics.bootstrap import Interval, bootstrap, interval, p_value
from recsys.metrics.breakdown import Breakdown, breakdown
from recsys.metrics.brier_score import brier_score
from recsys.metrics.calibration import (
    Calibration,
    calibration_curve,
    ece,
    field_ece,
    mce,
)
from recsys.metrics.diversity import category_distance, intra_list_distance
from recsys.metrics.exposure import coverage, exposure, exposure_entropy, gini
from recsys.metrics.f1 import f1
from recsys.metrics.gain import gain_curve
from recsys.metrics.gauc import GroupAUC, gauc, group_auc
from recsys.metrics.hit_rate import hit_rate
from recsys.metrics.log_loss import log_loss
from recsys.metrics.mean_average_precision import mean_average_precision
from recsys.metrics.mrr import mrr
from recsys.metrics.named import NamedMetric
from recsys.metrics.ndcg import ndcg
from recsys.metrics.normalized_entropy import normalized_entropy
from recsys.metrics.pcoc import calibration_bias, copc, pcoc
from recsys.metrics.popularity import (
    average_popularity,
    long_tail_share,
    novelty,
    popularity_lift,
)
from recsys.metrics.precision import precision
from recsys.metrics.queries import Queries, judge
from recsys.metrics.recall import recall
from recsys.metrics.rela_impr import rela_impr
from recsys.metrics.sampled import estimated_rank, expected_sampled
from recsys.metrics.threshold import accuracy, f1_score

if TYPE_CHECKING:
    from recsys.metrics.streaming import (
        AUC,
        COPC,
        ECE,
        F1,
        GAUC,
        MCE,
        MRR,
        NDCG,
        PCOC,
        Accuracy,
        AveragePrecision,
        BinnedAUC,
        BrierScore,
        By,
        CalibrationBias,
        F1Score,
        FieldECE,
        HitRate,
        LogLoss,
        MeanAveragePrecision,
        NormalizedEntropy,
        Precision,
        Recall,
        RelaImpr,
    )

_STREAMING = (
    "AUC",
    "Accuracy",
    "AveragePrecision",
    "BinnedAUC",
    "BrierScore",
    "By",
    "COPC",
    "CalibrationBias",
    "ECE",
    "F1",
    "F1Score",
    "FieldECE",
    "GAUC",
    "HitRate",
    "LogLoss",
    "MCE",
    "MRR",
    "MeanAveragePrecision",
    "NDCG",
    "NormalizedEntropy",
    "PCOC",
    "Precision",
    "Recall",
    "RelaImpr",
)

__all__ = [
    "NamedMetric",
    "gain_curve",
    "p_value",
    "interval",
    "bootstrap",
    "Interval",
    "RelaImpr",
    "Recall",
    "Precision",
    "PCOC",
    "NormalizedEntropy",
    "NDCG",
    "MeanAveragePrecision",
    "MRR",
    "MCE",
    "HitRate",
    "FieldECE",
    "F1Score",
    "F1",
    "ECE",
    "CalibrationBias",
    "COPC",
    "By",
    "BrierScore",
    "BinnedAUC",
    "AveragePrecision",
    "Accuracy",
    "AUC",
    "GAUC",
    "BinnedArea",
    "Breakdown",
    "Calibration",
    "GroupAUC",
    "LogLoss",
    "Queries",
    "accuracy",
    "auc",
    "average_popularity",
    "average_precision",
    "binned_auc",
    "breakdown",
    "brier_score",
    "calibration_bias",
    "calibration_curve",
    "category_distance",
    "copc",
    "coverage",
    "ece",
    "estimated_rank",
    "expected_sampled",
    "exposure",
    "exposure_entropy",
    "f1",
    "f1_score",
    "field_ece",
    "gauc",
    "gini",
    "group_auc",
    "hit_rate",
    "intra_list_distance",
    "judge",
    "log_loss",
    "long_tail_share",
    "mce",
    "mean_average_precision",
    "mrr",
    "ndcg",
    "normalized_entropy",
    "novelty",
    "pcoc",
    "popularity_lift",
    "precision",
    "recall",
    "rela_impr",
]


def __getattr__(name: str) -> Any:
    if name in _STREAMING:
        return getattr(importlib.import_module("recsys.metrics.streaming"), name)
    raise AttributeError(f"module 'recsys.metrics' has no attribute {name!r}")
