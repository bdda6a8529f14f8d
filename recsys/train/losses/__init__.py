"""Losses beyond those of Keras. All take logits, which `recsys.train.Model` supplies.

    model.compile(loss=RankingLoss(group="session"))

A row without a label has no gradient. `reduction` means what it does in Keras.
"""

from recsys._face import public_face
from recsys.train.losses.augmented import AugmentedBinaryCrossentropy
from recsys.train.losses.combined import CombinedLoss
from recsys.train.losses.jrc import JRCLoss
from recsys.train.losses.listwise import ListwiseSoftmax
from recsys.train.losses.pairwise import (
    HingeRankingLoss,
    RankingLoss,
    ranking_loss,
)
from recsys.train.losses.pointwise import (
    FocalLoss,
    PoissonOfLogits,
    WatchTimeLoss,
    WeightedBinaryCrossentropy,
    undo_downsampling,
)
from recsys.train.losses.softmax import FullSoftmax, in_batch_softmax, sampled_softmax

__all__ = [
    "AugmentedBinaryCrossentropy",
    "CombinedLoss",
    "FocalLoss",
    "FullSoftmax",
    "HingeRankingLoss",
    "JRCLoss",
    "ListwiseSoftmax",
    "PoissonOfLogits",
    "RankingLoss",
    "WatchTimeLoss",
    "WeightedBinaryCrossentropy",
    "in_batch_softmax",
    "ranking_loss",
    "sampled_softmax",
    "undo_downsampling",
]

public_face(__name__)
