"""The k largest scores, tile by tile."""

import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from recsys.feature._arrays import as_numbers
from recsys.retrieval.checks import check_excluded, check_finite, check_numbers

# A tile of scores: enough for BLAS to run at full speed, and still in the cache when
# its best are looked for.
_USERS, _ITEMS = 1024, 512


_GROUP = 16  # items of a tile whose largest score is looked at first


_LIMITED = threading.Lock()  # two that limit BLAS in turns would leave it limited


def top_k(
    users: ArrayLike,
    items: ArrayLike,
    k: int,
    *,
    interest_mask: ArrayLike | None = None,
    exclude: tuple[ArrayLike, ArrayLike] | None = None,
    reserved: int = 2,
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Finds the k best items of each user among all items.

    The score of an item is its inner product with the user's vector, or the largest one
    with the user's interests. Items are ordered by (score descending, id ascending),
    also at the cut. Scores are those of BLAS, where the last bit may depend on the
    place of an item: equal vectors may be one rounding away from a tie.

    Users and items are multiplied in tiles that stay in the cache, one user block on
    each core. A tile is only compared with the k-th best scores so far, which few items
    pass. Memory beyond the result is some 60 MB a core, and 20 bytes for each user of a
    block and each of its k items.

    Args:
        users: `(num_users, dim)`, or `(num_users, num_interests, dim)`.
        items: `(num_items, dim)`; the row is the id.
        k: Items per user.
        interest_mask: Which interests exist, `(num_users, num_interests)`; what the
            others contain does not matter. Default: all.
        exclude: `(offsets, ids)`, the rows of a CSR matrix: user u never gets
            `ids[offsets[u]:offsets[u + 1]]`, e.g. the items already seen.
        reserved: Ids below this one are never returned: 0 is padding, 1 unseen items.

    Returns:
        Ids and scores, `(num_users, k)`. Users with less than k candidates have id -1
        and score -inf in the last places. Scores are float64 if an argument is, else
        float32.

    Raises:
        ValueError: If shapes do not fit together, an item or an existing interest is
            not finite, an excluded id is no item, or a number is out of range.

    Example:
    >>> items = [[9.0], [9.0], [1.0], [3.0], [3.0], [2.0]]
    >>> ids, scores = top_k([[1.0], [-1.0]], items, 3, exclude=([0, 1, 1], [5]))
    >>> ids
    array([[3, 4, 2],
           [2, 5, 3]], dtype=int32)
    """
    users, items = as_numbers("users", users), as_numbers("items", items)
    if users.ndim == 2:
        users = users[:, None, :]
    if users.ndim != 3 or items.ndim != 2 or users.shape[2] != items.shape[1]:
        raise ValueError(
            "users must have shape (num_users, dim) or (num_users, num_interests, dim) "
            "and items (num_items, dim). Received: shapes "
            f"{users.shape} and {items.shape}"
        )
    check_numbers(k, reserved)
    num_users, num_interests, _ = users.shape
    exists = np.ones(users.shape[:2], bool)
    if interest_mask is not None:
        exists = as_numbers("interest_mask", interest_mask).astype(bool)
    if exists.shape != users.shape[:2]:
        raise ValueError(
            f"interest_mask must have shape {users.shape[:2]}. "
            f"Received: shape {exists.shape}"
        )
    offsets, excluded = check_excluded(exclude, num_users, len(items))
    check_finite("items", items)

    dtype = np.result_type(users, items, np.float32)
    ids = np.full((num_users, k), -1, np.int32)
    scores = np.full((num_users, k), -np.inf, dtype)
    cores = os.cpu_count() or 1
    num_rows = max(1, min(_USERS // num_interests, math.ceil(num_users / cores)))

    def search(start: int) -> None:
        rows = slice(start, min(start + num_rows, num_users))
        valid = exists[rows].T.reshape(-1)
        all_valid = valid.all()
        vectors = np.where(exists[rows, :, None], users[rows], 0).swapaxes(0, 1)
        vectors = vectors.reshape(len(valid), -1).astype(dtype, copy=False)
        check_finite("users", vectors)
        columns = np.ascontiguousarray(vectors.T)
        seen = excluded[offsets[rows.start] : offsets[rows.stop]]
        by_id = np.argsort(seen)
        seen = seen[by_id]
        seen_by = np.repeat(
            np.arange(rows.stop - start), np.diff(offsets[start : rows.stop + 1])
        )[by_id]

        best = _Best(ids[rows], scores[rows])
        memory = np.empty(_ITEMS * len(valid), dtype)
        for first in range(reserved, len(items), _ITEMS):
            block = items[first : first + _ITEMS].astype(dtype, copy=False)
            tile = memory[: len(block) * len(valid)].reshape(len(block), -1)
            np.matmul(block, columns, tile)
            if not all_valid:
                tile[:, ~valid] = -np.inf
            if num_interests > 1:
                tile = tile.reshape(len(block), num_interests, -1).max(axis=1)
            if len(seen):
                here = slice(*np.searchsorted(seen, (first, first + len(block))))
                tile[seen[here] - first, seen_by[here]] = -np.inf
            best.see(tile, first)
        best.merge()

    # BLAS on one core for each block: its own threads would leave the search to one.
    with _LIMITED, threadpool_limits(1, "blas"), ThreadPoolExecutor(cores) as pool:
        list(pool.map(search, range(0, num_users, num_rows)))
    return ids, scores


def top_k_of_scores(
    scores: ArrayLike,
    k: int,
    *,
    exclude: tuple[ArrayLike, ArrayLike] | None = None,
    reserved: int = 2,
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Finds the k best items of each user where all scores are there already.

    Args:
        scores: `(num_users, num_items)`; the column is the id. An item of score -inf
            is never returned.
        k, exclude, reserved: As `top_k`.

    Returns:
        Ids and scores in the order of `top_k`, `(num_users, k)`; id -1 and score -inf
        where a user has less than k candidates.

    Raises:
        ValueError: If a score is NaN, shapes do not fit together, an excluded id is no
            item, or a number is out of range.

    Example:
    >>> top_k_of_scores([[9.0, 9.0, 1.0, 3.0, 3.0]], 2, exclude=([0, 1], [3]))
    (array([[4, 2]], dtype=int32), array([[3., 1.]]))
    """
    given = as_numbers("scores", scores)
    scores = np.array(given, np.result_type(given, np.float32))
    if scores.ndim != 2 or np.isnan(scores.max(initial=-np.inf)):
        raise ValueError(
            "scores must have shape (num_users, num_items) and not be NaN. Received: "
            f"shape {scores.shape}"
        )
    check_numbers(k, reserved)
    offsets, excluded = check_excluded(exclude, *scores.shape)
    scores[np.repeat(np.arange(len(scores)), np.diff(offsets)), excluded] = -np.inf
    ids = np.full((len(scores), k), -1, np.int32)
    found = np.full((len(scores), k), -np.inf, scores.dtype)
    for start in range(0, len(scores), _USERS):
        rows = slice(start, start + _USERS)
        best = _Best(ids[rows], found[rows])
        for first in range(reserved, scores.shape[1], _ITEMS):
            best.see(scores[rows, first : first + _ITEMS].T, first)
        best.merge()
    return ids, found


class _Best:
    """The best items of users so far, in `ids` and `scores`, which it writes.

    Items come in order of id, so that a stable sort by score settles ties.
    """

    def __init__(self, ids: NDArray[np.int32], scores: NDArray[Any]) -> None:
        self.ids, self.scores = ids, scores
        self.kth = scores[:, -1].copy()
        self.users: list[NDArray[np.intp]] = []
        self.found: list[NDArray[np.int32]] = []
        self.values: list[NDArray[Any]] = []
        self.waiting = 0

    def see(self, tile: NDArray[Any], first: int) -> None:
        """Keeps what is better than the k-th best of its user in `(items, users)`."""
        num_items, num_users = tile.shape
        size = math.gcd(num_items, _GROUP)
        groups = tile.reshape(-1, size, num_users)
        largest = np.maximum.reduce(groups, axis=1)
        group, user = np.divmod(np.flatnonzero(largest > self.kth), num_users)
        values = groups[group, :, user]
        of, place = np.divmod(np.flatnonzero(values > self.kth[user, None]), size)
        self.users.append(user[of])
        self.found.append((first + group[of] * size + place).astype(np.int32))
        self.values.append(values[of, place])
        self.waiting += len(of)
        if self.waiting > self.ids.size:
            self.merge()

    def merge(self) -> None:
        if not self.waiting:
            return
        user = np.concatenate(self.users)
        by_user = np.argsort(user, kind="stable")
        user = user[by_user]
        num_users, k = self.ids.shape
        count = np.bincount(user, minlength=num_users)
        place = k + np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
        shape = num_users, k + count.max()
        values = np.full(shape, -np.inf, self.scores.dtype)
        ids = np.full(shape, -1, np.int32)
        values[:, :k], ids[:, :k] = self.scores, self.ids
        values[user, place] = np.concatenate(self.values)[by_user]
        ids[user, place] = np.concatenate(self.found)[by_user]
        best = np.argsort(-values, axis=1, kind="stable")[:, :k]
        self.scores[:] = np.take_along_axis(values, best, axis=1)
        self.ids[:] = np.take_along_axis(ids, best, axis=1)
        self.kth = self.scores[:, -1].copy()
        self.users, self.found, self.values, self.waiting = [], [], [], 0
