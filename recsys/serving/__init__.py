"""Indexes of items for serving."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.serving.exact_index import ExactIndex
    from recsys.serving.faiss_index import FaissIndex
    from recsys.serving.index import index_recall, load_index

__all__ = [
    "ExactIndex",
    "FaissIndex",
    "index_recall",
    "load_index",
]

public_face(
    __name__,
    {
        "recsys.serving.exact_index": ["ExactIndex"],
        "recsys.serving.faiss_index": ["FaissIndex"],
        "recsys.serving.index": ["index_recall", "load_index"],
    },
)
