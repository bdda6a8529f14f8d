"""Indexes of items for serving."""

from recsys.serving.exact_index import ExactIndex
from recsys.serving.faiss_index import FaissIndex
from recsys.serving.index import index_recall, load_index

__all__ = ["ExactIndex", "FaissIndex", "index_recall", "load_index"]
