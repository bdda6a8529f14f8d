"""The interaction layers that frameworks take as a part."""

from enum import Enum
from typing import Any

from recsys.layers.base import Layer
from recsys.layers.interaction.bilinear import BiLinearLayer
from recsys.layers.interaction.cross import CrossNet
from recsys.layers.interaction.gwpfm import GwPFM
from recsys.layers.interaction.product import ProductLayer
from recsys.layers.interaction.senet import SENet


class InteractionExpert(Enum):
    """Layers from a list of embeddings `(batch, dim)` to one vector `(batch, width)`.

    All but `CrossNet` multiply embeddings with each other, which must have one `dim`.
    """

    CrossNet = CrossNet
    GwPFM = GwPFM
    ProductLayer = ProductLayer
    SENet = SENet
    BiLinearLayer = BiLinearLayer

    def __str__(self) -> str:
        return self.name

    @property
    def one_dim(self) -> bool:
        """Whether the embeddings must have one `dim`."""
        return self is not InteractionExpert.CrossNet

    def init_layer(self, *args: Any, **kwargs: Any) -> Layer:
        """Returns a new layer."""
        layer: Layer = self.value(*args, **kwargs)
        return layer
