"""Feature interactions, one idea a file; the names of version 1 that have landed."""

from recsys.layers.domain import EPNet, GateNU, PPNet
from recsys.layers.elementary import WeightedSum
from recsys.layers.gates import GatingNetwork
from recsys.layers.interaction.bilinear import BiLinearLayer
from recsys.layers.interaction.cross import CrossNet
from recsys.layers.interaction.expert import InteractionExpert
from recsys.layers.interaction.fm import FM
from recsys.layers.interaction.gwpfm import GwPFM
from recsys.layers.interaction.product import ProductLayer
from recsys.layers.interaction.senet import SENet
from recsys.layers.meta import MetaAttention, MetaTower, MetaUnit
from recsys.layers.star import PartitionedNormalization, StarTopologyFCN

__all__ = [
    "BiLinearLayer",
    "CrossNet",
    "EPNet",
    "FM",
    "GateNU",
    "GatingNetwork",
    "GwPFM",
    "InteractionExpert",
    "MetaAttention",
    "MetaTower",
    "MetaUnit",
    "PPNet",
    "PartitionedNormalization",
    "ProductLayer",
    "SENet",
    "StarTopologyFCN",
    "WeightedSum",
]
