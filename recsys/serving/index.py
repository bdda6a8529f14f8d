"""Items that can be searched: exactly, or approximately by faiss, with one interface.

    vectors, interests = model.user_vectors(users)
    index = FaissIndex(model.item_matrix(), reserved=model.reserved)
    ids, scores = index.search(vectors, 100, interest_mask=interests, exclude=seen)

An id is the number of a row, as in `recsys.retrieval.top_k`.
"""

import math
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.data.writing import whole_file
from recsys.feature._arrays import as_numbers
from recsys.feature._constraints import Integer
from recsys.metrics.lists import check_k
from recsys.metrics.recall import recall
from recsys.retrieval import check_excluded, top_k
from recsys.train.match_model import as_csr

_BLOCK = 1024  # user vectors of one search
_DAMAGED = (OSError, zipfile.BadZipFile, zlib.error)
_UNREADABLE = (*_DAMAGED, AssertionError, KeyError, RuntimeError, TypeError, ValueError)


class Index(Protocol):
    """What can be searched for the items of the largest inner products.

    Any number of threads may search, and add to, one index.
    """

    def __len__(self) -> int:
        """How many ids there are, reserved ones included."""

    def add(self, items: ArrayLike) -> NDArray[np.int32]:
        """Adds items, `(rows, dim)`, and returns their ids; trains nothing."""

    def search(
        self,
        users: ArrayLike,
        k: int,
        *,
        interest_mask: ArrayLike | None = None,
        exclude: Any = None,
    ) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """Returns ids and scores of the best items, as `recsys.retrieval.top_k`.

        Args:
            users: `(num_users, dim)`, or `(num_users, num_interests, dim)`.
            k: Items per user.
            interest_mask: Which interests exist, `(num_users, num_interests)`.
            exclude: Ids a user must not get: a list with one array for each user, or
                `(offsets, ids)`.
        """

    def save(self, path: str | Path) -> None:
        """Writes one file, whole or not at all; `load_index` makes an equal index.

        Raises:
            FileExistsError: If there is a file of that name that is no index.
        """


class ExactIndex(Index):
    """An index that compares every item.

    Args:
        items: `(num_items, dim)`; the row is the id.
        reserved: Ids below this one are no items.

    Example:
    >>> index = ExactIndex([[1.0], [3.0], [2.0]], reserved=0)
    >>> index.add([[2.5]])
    array([3], dtype=int32)
    >>> index.search([[1.0]], 2, exclude=[[1]])
    (array([[3, 2]], dtype=int32), array([[2.5, 2. ]], dtype=float32))
    """

    def __init__(self, items: ArrayLike, reserved: int = 2) -> None:
        vectors = as_numbers("items", items)
        _check_reserved(reserved)
        self.items = _checked(vectors, vectors.shape[-1] if vectors.ndim else 0)
        self.reserved = reserved
        self._adding = _Turn()

    def __len__(self) -> int:
        return len(self.items)

    def add(self, items: ArrayLike) -> NDArray[np.int32]:
        with self._adding:
            before = len(self)
            more = _checked(as_numbers("items", items), self.items.shape[1])
            self.items = np.concatenate([self.items, more])
            return np.arange(before, len(self), dtype=np.int32)

    def search(
        self,
        users: ArrayLike,
        k: int,
        *,
        interest_mask: ArrayLike | None = None,
        exclude: Any = None,
    ) -> tuple[NDArray[np.int32], NDArray[Any]]:
        return top_k(
            as_numbers("users", users).astype(np.float32, copy=False),
            self.items,
            k,
            interest_mask=interest_mask,
            exclude=None if exclude is None else as_csr(exclude),
            reserved=self.reserved,
        )

    def save(self, path: str | Path) -> None:
        _save(path, items=self.items, reserved=self.reserved)


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
            `reserved`.
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
        _check_reserved(reserved)
        if items.ndim != 2 or len(items) <= reserved:
            raise ValueError(
                f"items must have shape (num_items, dim), more than {reserved} "
                f"reserved ones. Received: shape {items.shape}"
            )
        faiss = _faiss()
        real = _checked(items[reserved:], items.shape[1])
        if factory is None:
            # faiss wants 39 vectors to place the centre of a list.
            lists = max(1, min(4 * math.isqrt(len(real)), len(real) // 39))
            factory = f"IVF{lists},Flat"
            parameters = parameters or f"nprobe={max(1, lists // 16)}"
        self.reserved = reserved
        self._turn = _Turn()
        self._index = faiss.index_factory(
            items.shape[1], factory, faiss.METRIC_INNER_PRODUCT
        )
        self._index.train(real)
        self._index.add(real)
        if parameters is not None:
            self.set_parameters(parameters)

    def __len__(self) -> int:
        return self.reserved + int(self._index.ntotal)

    def set_parameters(self, parameters: str) -> None:
        """Sets how hard to search, as `parameters` at the start."""
        _faiss().ParameterSpace().set_index_parameters(self._index, parameters)

    def add(self, items: ArrayLike) -> NDArray[np.int32]:
        items = _checked(as_numbers("items", items), self._index.d)
        with self._turn:  # faiss adds and searches, but not both at once
            before = len(self)
            self._index.add(items)
            return np.arange(before, len(self), dtype=np.int32)

    def search(
        self,
        users: ArrayLike,
        k: int,
        *,
        interest_mask: ArrayLike | None = None,
        exclude: Any = None,
    ) -> tuple[NDArray[np.int32], NDArray[Any]]:
        vectors = as_numbers("users", users).astype(np.float32, copy=False)
        if vectors.ndim == 2:
            vectors = vectors[:, None]
        num_users = len(vectors)
        exists = np.ones(vectors.shape[:2], bool)
        if interest_mask is not None:
            exists = as_numbers("interest_mask", interest_mask).astype(bool)
        if vectors.shape[2:] != (self._index.d,) or exists.shape != vectors.shape[:2]:
            raise ValueError(
                f"users must have dim {self._index.d} and interest_mask their shape. "
                f"Received: shapes {np.shape(users)} and {exists.shape}"
            )
        check_k(k)
        offsets, gone = check_excluded(
            None if exclude is None else as_csr(exclude), num_users, len(self)
        )
        ids = np.full((num_users, k), -1, np.int32)
        scores = np.full((num_users, k), -np.inf, np.float32)
        for start in range(0, num_users, _BLOCK):
            rows = slice(start, min(start + _BLOCK, num_users))
            count = np.diff(offsets[start : rows.stop + 1])
            with self._turn:
                forbidden = np.repeat(np.arange(len(count)), count) * len(self)
                forbidden += gone[offsets[start] : offsets[rows.stop]]
                self._search(
                    vectors[rows],
                    exists[rows],
                    forbidden,
                    min(k + int(count.max()), int(self._index.ntotal)),
                    (ids[rows], scores[rows]),
                )
        return ids, scores

    def _search(
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
            _checked(vectors[exists], self._index.d), depth
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
            index = _faiss().serialize_index(self._index)
        _save(path, faiss=index, reserved=self.reserved)


def load_index(path: str | Path) -> ExactIndex | FaissIndex:
    """Returns the index that `save` wrote.

    Raises:
        ImportError: If it is one of faiss, and faiss is not installed.
        ValueError: If it is no such file, or not all of it.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} must be a file that the `save` of an index wrote. Received: "
            f"{'another file' if Path(path).is_file() else 'no file'}"
        )
    try:
        with np.load(path) as file:
            reserved = int(file["reserved"])
            if "items" in file:
                return ExactIndex(file["items"], reserved)
            index = FaissIndex.__new__(FaissIndex)
            index.reserved = reserved
            index._turn = _Turn()
            index._index = _faiss().deserialize_index(file["faiss"])
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


class _Turn:
    """A lock; with a copy of what holds it comes a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["_Turn"], tuple[()]]:
        return _Turn, ()


def _save(path: str | Path, **arrays: Any) -> None:
    if Path(path).is_file() and not _is_index(path):
        raise FileExistsError(
            f"{path} must be a new file, or an index. Received: one that is no index"
        )
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def _is_index(path: str | Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return "reserved.npy" in file.namelist()


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "FaissIndex needs faiss: pip install 'deep-rec-kit[ann]'"
        ) from error
    return faiss


def _check_reserved(reserved: int) -> None:
    if not Integer(0).accepts(reserved):
        raise ValueError(
            f"reserved must be {Integer(0).wanted}. Received: reserved={reserved!r}"
        )


def _checked(vectors: NDArray[Any], dim: int) -> NDArray[np.float32]:
    """Returns vectors as faiss wants them.

    Raises:
        ValueError: If they are not finite, or not of `dim`.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(
            f"Vectors must have shape (rows, {dim}). Received: shape {vectors.shape}"
        )
    if not np.isfinite(vectors).all():
        raise ValueError("Vectors must be finite. Received: NaN or infinite values")
    return np.ascontiguousarray(vectors, np.float32)
