"""An index that looks at every item."""

import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.data.writing import checked_path, whole_file
from recsys.feature._arrays import as_numbers
from recsys.feature._constraints import Integer
from recsys.retrieval.search import top_k
from recsys.train.match_model import as_csr

BLOCK = 1024  # user vectors of one search


class Index(ABC):
    """What can be searched for the items of the largest inner products.

    Any number of threads may search, and add to, one index.
    """

    @abstractmethod
    def __len__(self) -> int:
        """How many ids there are, reserved ones included."""

    @abstractmethod
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

        Raises:
            ValueError: If the arguments are not of these shapes, or no finite numbers.
        """
        vectors = as_numbers("users", users).astype(np.float32, copy=False)
        gone = None if exclude is None else as_csr(exclude)
        return self._search(vectors, k, interest_mask, gone)

    @abstractmethod
    def _search(
        self,
        users: NDArray[np.float32],
        k: int,
        interest_mask: ArrayLike | None,
        exclude: tuple[Any, ...] | None,
    ) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """Does as `search` says."""

    @abstractmethod
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
        check_reserved(reserved)
        self.items = checked_vectors(vectors, vectors.shape[-1] if vectors.ndim else 0)
        self.reserved = reserved
        self._adding = Turn()

    def __len__(self) -> int:
        return len(self.items)

    def add(self, items: ArrayLike) -> NDArray[np.int32]:
        with self._adding:
            before = len(self)
            more = checked_vectors(as_numbers("items", items), self.items.shape[1])
            self.items = np.concatenate([self.items, more])
            return np.arange(before, len(self), dtype=np.int32)

    def _search(
        self,
        users: NDArray[np.float32],
        k: int,
        interest_mask: ArrayLike | None,
        exclude: tuple[Any, ...] | None,
    ) -> tuple[NDArray[np.int32], NDArray[Any]]:
        return top_k(
            users,
            self.items,
            k,
            interest_mask=interest_mask,
            exclude=exclude,
            reserved=self.reserved,
        )

    def save(self, path: str | Path) -> None:
        save_arrays(path, items=self.items, reserved=self.reserved)


def save_arrays(path: str | Path, **arrays: Any) -> None:
    if checked_path("save: path", path).is_file() and not _is_index(path):
        raise FileExistsError(
            f"{path} must be a new file, or an index. Received: one that is no index"
        )
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def _is_index(path: str | Path) -> bool:
    """Whether a file has the arrays of an index, of its types and axes."""
    try:
        with zipfile.ZipFile(path) as file:
            found = {name: _form(file, name) for name in file.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError):
        return False
    reserved, axes = found.pop("reserved.npy", (np.dtype("O"), 0))
    vectors, faiss = (np.dtype("float32"), 2), (np.dtype("uint8"), 1)
    mine = found in ({"items.npy": vectors}, {"faiss.npy": faiss})
    return mine and reserved.kind in "iu" and axes == 0


def _form(archive: zipfile.ZipFile, name: str) -> tuple[np.dtype[Any], int]:
    """Returns the type and the number of axes of an array in a file."""
    with archive.open(name) as member:
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    return dtype, len(shape)


def check_reserved(reserved: int) -> None:
    if not Integer(0).accepts(reserved):
        raise ValueError(
            f"reserved must be {Integer(0).wanted}. Received: reserved={reserved!r}"
        )


def checked_vectors(vectors: NDArray[Any], dim: int) -> NDArray[np.float32]:
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


class Turn:
    """A lock; with a copy of what holds it comes a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["Turn"], tuple[()]]:
        return Turn, ()
