"""The core layers of version 1, by their paths there."""

from recsys.layers.elementary import Identity
from recsys.layers.heads import PredictLayer, predict
from recsys.layers.mlp import FeedForwardLayer

__all__ = ["FeedForwardLayer", "Identity", "PredictLayer", "predict"]
