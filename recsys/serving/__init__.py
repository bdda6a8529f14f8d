"""Indexes of items for serving."""

from recsys.serving.index import ExactIndex, FaissIndex, index_recall, load_index

__all__ = ["ExactIndex", "FaissIndex", "index_recall", "load_index"]
