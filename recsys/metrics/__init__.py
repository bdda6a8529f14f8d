"""Metrics, each a NumPy function and a streaming `keras.metrics.Metric`.

The function has the lower-case name and takes all rows at once; the class (`AUC` of
`auc`) has the CamelCase name, takes batches and gives the same number. The functions
load NumPy only, the classes load Keras when they are used. A metric that is undefined,
such as the AUC of one class, is NaN.
"""

from typing import TYPE_CHECKING

from recsys._face import public_face
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
        AveragePopularity,
        AveragePrecision,
        BinnedAUC,
        BrierScore,
        By,
        CalibrationBias,
        CategoryDistance,
        Coverage,
        ExposureEntropy,
        F1Score,
        FieldECE,
        Gini,
        HitRate,
        IntraListDistance,
        LogLoss,
        LongTailShare,
        MeanAveragePrecision,
        NormalizedEntropy,
        Novelty,
        PopularityLift,
        Precision,
        Recall,
        RelaImpr,
    )

__all__ = [
    "Accuracy",
    "accuracy",
    "AUC",
    "auc",
    "average_popularity",
    "average_precision",
    "AveragePopularity",
    "AveragePrecision",
    "binned_auc",
    "BinnedArea",
    "BinnedAUC",
    "bootstrap",
    "Breakdown",
    "breakdown",
    "brier_score",
    "BrierScore",
    "By",
    "Calibration",
    "calibration_bias",
    "calibration_curve",
    "CalibrationBias",
    "category_distance",
    "CategoryDistance",
    "COPC",
    "copc",
    "Coverage",
    "coverage",
    "ECE",
    "ece",
    "estimated_rank",
    "expected_sampled",
    "exposure",
    "exposure_entropy",
    "ExposureEntropy",
    "F1",
    "f1",
    "f1_score",
    "F1Score",
    "field_ece",
    "FieldECE",
    "gain_curve",
    "GAUC",
    "gauc",
    "Gini",
    "gini",
    "group_auc",
    "GroupAUC",
    "hit_rate",
    "HitRate",
    "Interval",
    "interval",
    "intra_list_distance",
    "IntraListDistance",
    "judge",
    "log_loss",
    "LogLoss",
    "long_tail_share",
    "LongTailShare",
    "MCE",
    "mce",
    "mean_average_precision",
    "MeanAveragePrecision",
    "MRR",
    "mrr",
    "NamedMetric",
    "NDCG",
    "ndcg",
    "normalized_entropy",
    "NormalizedEntropy",
    "Novelty",
    "novelty",
    "p_value",
    "PCOC",
    "pcoc",
    "popularity_lift",
    "PopularityLift",
    "Precision",
    "precision",
    "Queries",
    "Recall",
    "recall",
    "rela_impr",
    "RelaImpr",
]

public_face(
    __name__,
    {"recsys.metrics.streaming": [name for name in __all__ if name not in globals()]},
)
