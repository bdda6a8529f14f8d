"""Feature interactions, one idea a file; the names of version 1 that have landed.

Each is loaded when it is used, so that threads may import models at once.
"""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
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

public_face(
    __name__,
    {
        "recsys.layers.domain": ["EPNet", "GateNU", "PPNet"],
        "recsys.layers.elementary": ["WeightedSum"],
        "recsys.layers.gates": ["GatingNetwork"],
        "recsys.layers.interaction.bilinear": ["BiLinearLayer"],
        "recsys.layers.interaction.cross": ["CrossNet"],
        "recsys.layers.interaction.expert": ["InteractionExpert"],
        "recsys.layers.interaction.fm": ["FM"],
        "recsys.layers.interaction.gwpfm": ["GwPFM"],
        "recsys.layers.interaction.product": ["ProductLayer"],
        "recsys.layers.interaction.senet": ["SENet"],
        "recsys.layers.meta": ["MetaAttention", "MetaTower", "MetaUnit"],
        "recsys.layers.star": ["PartitionedNormalization", "StarTopologyFCN"],
    },
)
