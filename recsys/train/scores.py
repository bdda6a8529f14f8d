"""Scores of a catalogue: of a model, of vectors, of a table, of a function."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.data.reader import as_columns
from recsys.feature._arrays import as_numbers
from recsys.retrieval.search import top_k, top_k_of_scores
from recsys.train.feeding import check_fingerprint
from recsys.train.match_model import MatchModel
from recsys.train.seen import check_rows

Floats = NDArray[np.float64]


Scores = (
    MatchModel | tuple[ArrayLike, ArrayLike] | ArrayLike | Callable[[slice], ArrayLike]
)


Pairs = (
    MatchModel
    | tuple[ArrayLike, ArrayLike]
    | ArrayLike
    | Callable[[slice, NDArray[np.int64]], ArrayLike]
)


class _Vectors:
    """Users and items in one space; `of` gives the vectors of a slice of users."""

    def __init__(self, of: Any, items: ArrayLike, reserved: int) -> None:
        self.of = of
        self.items = np.asarray(items)
        self.num_items: int | None = len(self.items)
        self.reserved = reserved

    def best(self, rows: slice, k: int, gone: Any) -> tuple[NDArray[np.int32], int]:
        vectors, interests = self.of(rows)
        check_rows(len(vectors), rows)
        ids, _ = top_k(
            vectors,
            self.items,
            k,
            interest_mask=interests,
            exclude=gone,
            reserved=self.reserved,
        )
        return ids, len(self.items)

    def pairs(self, rows: slice, ids: NDArray[np.int64]) -> NDArray[Any]:
        vectors, interests = self.of(rows)
        check_rows(len(vectors), rows)
        vectors = vectors.reshape(len(vectors), -1, vectors.shape[-1])
        found = np.einsum("bkd,bnd->bkn", vectors, self.items[ids])
        if interests is not None:
            found = np.where(interests[:, :, None], found, -np.inf)
        best: NDArray[Any] = found.max(axis=1)
        return best


class _Table:
    """Scores of all items; `of` gives those of a slice of users."""

    def __init__(self, of: Any, num_items: int | None, reserved: int) -> None:
        self.of = of
        self.num_items = num_items
        self.reserved = reserved

    def best(self, rows: slice, k: int, gone: Any) -> tuple[NDArray[np.int32], int]:
        scores = np.asarray(self.of(rows))
        check_rows(len(scores), rows)
        ids, _ = top_k_of_scores(scores, k, exclude=gone, reserved=self.reserved)
        return ids, scores.shape[1]

    def pairs(self, rows: slice, ids: NDArray[np.int64]) -> NDArray[Any]:
        scores = np.asarray(self.of(rows))
        check_rows(len(scores), rows)
        return np.take_along_axis(scores, ids, axis=1)


def source_of(scores: Any, users: Any, reserved: int) -> _Vectors | _Table:
    is_model = isinstance(scores, MatchModel)
    if is_model != (users is not None):
        raise ValueError(
            "users must be given with a match model, and only then. "
            f"Received: {type(scores).__name__}, users of type {type(users).__name__}"
        )
    if is_model:
        check_fingerprint(scores.fingerprints, users)
        columns = as_columns(users, scores.columns)

        def of_model(rows: slice) -> Any:
            return scores.user_vectors({n: c[rows] for n, c in columns.items()})

        return _Vectors(of_model, scores.item_matrix(), scores.reserved)
    if isinstance(scores, tuple):
        if len(scores) != 2:
            raise ValueError(
                "scores as a tuple must be (user_vectors, item_matrix). "
                f"Received: {len(scores)} parts"
            )
        vectors, items = (as_numbers("scores", each) for each in scores)
        if items.ndim != 2 or vectors.shape[-1:] != items.shape[1:]:
            raise ValueError(
                "scores as (user_vectors, item_matrix) must have one dim. "
                f"Received: shapes {vectors.shape} and {items.shape}"
            )
        return _Vectors(lambda rows: (vectors[rows], None), items, reserved)
    if callable(scores):
        return _Table(scores, None, reserved)
    if not hasattr(scores, "shape"):
        scores = as_numbers("scores", scores)
    if len(scores.shape) != 2:
        raise ValueError(
            "scores must have shape (num_users, num_items). "
            f"Received: shape {tuple(scores.shape)}"
        )
    return _Table(scores.__getitem__, scores.shape[1], reserved)
