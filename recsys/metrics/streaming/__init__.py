"""Metrics that take batches: in `fit`, in `evaluate`, or by hand.

None grows with the rows. What one holds, in bytes:

    kept                    bytes                     metrics
    sums                    8 each, at most 5 of them LogLoss, PCOC, Accuracy, ...
    histograms              16 for each bin           BinnedAUC
    exposure                4 for each item           Coverage, Gini, ExposureEntropy
    rows                    12 for each of capacity   AUC, AveragePrecision, ECE, ...
    rows with a group       20                        GAUC, NDCG, Recall, FieldECE, ...
    rows with parts (`by`)  20, with a group 28       By

On JAX groups and parts are integers of 4 bytes, not 8. Metrics of recommended lists
hold sums, and the table they are given (counts, categories or vectors) on the host.
"""

from recsys.metrics.streaming.auc import AUC, BinnedAUC, RelaImpr
from recsys.metrics.streaming.average_precision import AveragePrecision
from recsys.metrics.streaming.by import By
from recsys.metrics.streaming.calibration import (
    COPC,
    ECE,
    MCE,
    PCOC,
    BrierScore,
    CalibrationBias,
    FieldECE,
)
from recsys.metrics.streaming.gauc import GAUC
from recsys.metrics.streaming.lists import (
    AveragePopularity,
    CategoryDistance,
    Coverage,
    ExposureEntropy,
    Gini,
    IntraListDistance,
    LongTailShare,
    Novelty,
    PopularityLift,
)
from recsys.metrics.streaming.log_loss import LogLoss, NormalizedEntropy
from recsys.metrics.streaming.threshold import Accuracy, F1Score
from recsys.metrics.streaming.top_k import (
    F1,
    MRR,
    NDCG,
    HitRate,
    MeanAveragePrecision,
    Precision,
    Recall,
)

__all__ = [
    "Accuracy",
    "AUC",
    "AveragePopularity",
    "AveragePrecision",
    "BinnedAUC",
    "BrierScore",
    "By",
    "CalibrationBias",
    "CategoryDistance",
    "COPC",
    "Coverage",
    "ECE",
    "ExposureEntropy",
    "F1",
    "F1Score",
    "FieldECE",
    "GAUC",
    "Gini",
    "HitRate",
    "IntraListDistance",
    "LogLoss",
    "LongTailShare",
    "MCE",
    "MeanAveragePrecision",
    "MRR",
    "NDCG",
    "NormalizedEntropy",
    "Novelty",
    "PCOC",
    "PopularityLift",
    "Precision",
    "Recall",
    "RelaImpr",
]
