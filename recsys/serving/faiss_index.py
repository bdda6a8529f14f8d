"""An index of faiss: fast, and not exact."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_numbers
from recsys.metrics.lists import check_k
from recsys.retrieval.checks import check_excluded
from recsys.serving.exact_index import (
    BLOCK,
    Index,
    Turn,
    check_reserved,
    checked_vectors,
    save_arrays,
)


class FaissIndex(Index):
    """An approximate index of faiss, of the extra `ann`.

    Inner products are computed on few of the items, as many as `parameters` say;
    `index_recall` measures what is missed. Items can be added at any time. An inverted
    file places them by the lists it was trained for: build it anew when the catalogue
    has become another one.

    Args:
        items: `(num_items, dim)`; the row is the id.
        reserved: Ids below this one are no items.
        factory: What faiss builds, see its `index_factory`, such as `"HNSW32,Flat"`.
            Default: an inverted file of `4 sqrt(num_items)` lists.
        parameters: How hard to search, in the words of faiss: `"nprobe=64"` lists, or
            `"efSearch=128"`. Default: of inverted files one list in 16.

    Raises:
        ImportError: If faiss is not installed.
        ValueError: If items are not `(num_items, dim)`, finite, and more than
            `reserved`, or faiss does not know the factory or parameters, or cannot
            build that of so few items.
    """

    def __init__(
        self,
        items: ArrayLike,
        reserved: int = 2,
        *,
        factory: str | None = None,
        parameters: str | None = None,
    ) -> None:
        items = as_numbers("items", items)
        check_reserved(reserved)
        if items.ndim != 2 or len(items) <= reserved:
            raise ValueError(
                f"items must have shape (num_items, dim), more than {reserved} "
                f"reserved ones. Received: shape {items.shape}"
            )
        faiss = faiss_module()
        real = checked_vectors(items[reserved:], items.shape[1])
        if factory is None:
            # faiss wants 39 vectors to place the centre of a list.
            lists = max(1, min(4 * math.isqrt(len(real)), len(real) // 39))
            factory = f"IVF{lists},Flat"
            parameters = parameters or f"nprobe={max(1, lists // 16)}"
        self.reserved = reserved
        self._turn = Turn()
        kind = faiss.METRIC_INNER_PRODUCT
        with _said("factory", factory):
            self._index = faiss.index_factory(items.shape[1], factory, kind)
            self._index.train(real)
        self._index.add(real)
        if parameters is not None:
            self.set_parameters(parameters)

    def __len__(self) -> int:
        return self.reserved + int(self._index.ntotal)

    def set_parameters(self, parameters: str) -> None:
        """Sets how hard to search, as `parameters` at the start.

        Raises:
            ValueError: If they are none that faiss knows of this index.
        """
        space = faiss_module().ParameterSpace()
        with _said("parameters", parameters):
            space.set_index_parameters(self._index, parameters)

    def add(self, items: ArrayLike) -> NDArray[np.int32]:
        items = checked_vectors(as_numbers("items", items), self._index.d)
        with self._turn:  # faiss adds and searches, but not both at once
            before = len(self)
            self._index.add(items)
            return np.arange(before, len(self), dtype=np.int32)

    def _search(
        self,
        users: NDArray[np.float32],
        k: int,
        interest_mask: ArrayLike | None,
        exclude: tuple[Any, ...] | None,
    ) -> tuple[NDArray[np.int32], NDArray[Any]]:
        vectors = users[:, None] if users.ndim == 2 else users
        num_users = len(vectors)
        exists = np.ones(vectors.shape[:2], bool)
        if interest_mask is not None:
            exists = as_numbers("interest_mask", interest_mask).astype(bool)
        if vectors.shape[2:] != (self._index.d,) or exists.shape != vectors.shape[:2]:
            raise ValueError(
                f"users must have dim {self._index.d} and interest_mask their shape. "
                f"Received: shapes {users.shape} and {exists.shape}"
            )
        check_k(k)
        offsets, gone = check_excluded(exclude, num_users, len(self))
        ids = np.full((num_users, k), -1, np.int32)
        scores = np.full((num_users, k), -np.inf, np.float32)
        for start in range(0, num_users, BLOCK):
            rows = slice(start, min(start + BLOCK, num_users))
            count = np.diff(offsets[start : rows.stop + 1])
            with self._turn:
                forbidden = np.repeat(np.arange(len(count)), count) * len(self)
                forbidden += gone[offsets[start] : offsets[rows.stop]]
                self._search_block(
                    vectors[rows],
                    exists[rows],
                    forbidden,
                    min(k + int(count.max()), int(self._index.ntotal)),
                    (ids[rows], scores[rows]),
                )
        return ids, scores

    def _search_block(
        self,
        vectors: NDArray[np.float32],
        exists: NDArray[np.bool_],
        forbidden: NDArray[Any],
        depth: int,
        out: tuple[NDArray[np.int32], NDArray[np.float32]],
    ) -> None:
        """Searches for a block of users; `forbidden` holds user * len(self) + id."""
        user = np.nonzero(exists)[0]
        score, place = self._index.search(
            checked_vectors(vectors[exists], self._index.d), depth
        )
        user = np.repeat(user, depth)
        found, score = (place + self.reserved).reshape(-1), score.reshape(-1)
        key = user * len(self) + found
        good = (place.reshape(-1) >= 0) & ~np.isin(key, forbidden)
        user, found, score, key = user[good], found[good], score[good], key[good]
        order = np.lexsort((found, -score, user))
        once = np.unique(key[order], return_index=True)[1]  # of its best interest
        order = order[np.sort(once)]
        user = user[order]
        rank = np.arange(len(user)) - np.searchsorted(user, user)
        kept = rank < out[0].shape[1]
        out[0][user[kept], rank[kept]] = found[order][kept]
        out[1][user[kept], rank[kept]] = score[order][kept]

    def save(self, path: str | Path) -> None:
        with self._turn:
            index = faiss_module().serialize_index(self._index)
        save_arrays(path, faiss=index, reserved=self.reserved)


@contextmanager
def _said(what: str, words: Any) -> Iterator[None]:
    """Raises `ValueError` for words that faiss does not know, or that do not fit."""
    try:
        if not isinstance(words, str):  # it takes numbers, as those of other things
            raise TypeError
        yield
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"FaissIndex: {what} must be in the words of faiss, and fit the items and "
            f"their number. Received: {what}={words!r}"
        ) from error


def faiss_module() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "FaissIndex needs faiss: pip install 'deep-rec-kit[ann]'"
        ) from error
    return faiss
