"""Items that can be searched: exactly, or approximately by faiss, with one interface.

    vectors, interests = model.user_vectors(users)
    index = FaissIndex(model.item_matrix(), reserved=model.reserved)
    ids, scores = index.search(vectors, 100, interest_mask=interests, exclude=seen)

An id is the number of a row, as in `recsys.retrieval.top_k`.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from recsys.data.writing import checked_path
from recsys.metrics.recall import recall
from recsys.serving.exact_index import ExactIndex, Index, Turn
from recsys.serving.faiss_index import FaissIndex, faiss_module
from recsys.train.match_model import as_csr

_DAMAGED = (OSError, zipfile.BadZipFile, zlib.error)
_UNREADABLE = (*_DAMAGED, AssertionError, KeyError, RuntimeError, TypeError, ValueError)


def load_index(path: str | Path) -> ExactIndex | FaissIndex:
    """Returns the index that `save` wrote.

    Raises:
        ImportError: If it is one of faiss, and faiss is not installed.
        ValueError: If it is no such file, or not all of it.
    """
    file = checked_path("load_index: path", path)
    if not zipfile.is_zipfile(file):
        found = "a folder" if file.is_dir() else "no file"
        raise ValueError(
            f"{path} must be a file that the `save` of an index wrote. Received: "
            f"{'another file' if file.is_file() else found}"
        )
    try:
        with np.load(path) as arrays:
            reserved = int(arrays["reserved"])
            if "items" in arrays:
                return ExactIndex(arrays["items"], reserved)
            index = FaissIndex.__new__(FaissIndex)
            index.reserved = reserved
            index._turn = Turn()
            index._index = faiss_module().deserialize_index(arrays["faiss"])
            return index
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} must be a whole file that the `save` of an index wrote. "
            f"Received: {error}"
        ) from error


def index_recall(index: Index, exact: Index, users: ArrayLike, k: int) -> float:
    """Share of the k best items of `exact` that `index` finds, mean over users.

    Example:
    >>> exact = ExactIndex([[1.0], [3.0], [2.0]], reserved=0)
    >>> index_recall(ExactIndex([[1.0], [3.0]], reserved=0), exact, [[1.0]], k=2)
    0.5
    """
    wanted, _ = exact.search(users, k)
    found, _ = index.search(users, k)
    return recall(as_csr([ids[ids >= 0] for ids in wanted]), found, k=k)
