"""The embeddings of version 1, by their paths there."""

from recsys.layers.mask_embedding import MaskEmbedding
from recsys.layers.positions import PositionalEmbedding
from recsys.layers.table import DenseEmbedding

__all__ = ["DenseEmbedding", "MaskEmbedding", "PositionalEmbedding"]
