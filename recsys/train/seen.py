"""Items that users know, and rows that evaluation asks for."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.data.progress import working
from recsys.feature._constraints import Integer
from recsys.metrics.relevance import repeated
from recsys.train.match_model import as_csr

UNSEEN = 1
"""Id of all items that training has not seen, where ids below 2 are reserved."""


def blocks_of(num_users: int, block: int) -> Iterator[slice]:
    """Yields slices of users, and shows how far they are."""
    with working("Ranking") as show:
        for start in range(0, num_users, block):
            stop = min(start + block, num_users)
            show(f"Ranking: {start:,} of {num_users:,} users")
            yield slice(start, stop)


def seen_by(exclude: Any, num_users: int) -> tuple[Any, Any]:
    """What each user must not get, as CSR."""
    if exclude is None:
        return np.zeros(num_users + 1, np.int64), np.empty(0, np.int64)
    seen = as_csr(exclude)
    if len(seen[0]) != num_users + 1:
        raise ValueError(
            f"exclude must have as many users as relevant, {num_users}. "
            f"Received: {len(seen[0]) - 1}"
        )
    return seen


def rows_of(csr: tuple[Any, ...], rows: slice) -> tuple[Any, ...]:
    """Some rows of a CSR matrix, as one."""
    offsets = np.asarray(csr[0])[rows.start : rows.stop + 1]
    return offsets - offsets[0], *(x[offsets[0] : offsets[-1]] for x in csr[1:])


def check_arguments_of(
    k: int | Sequence[int], metrics: Sequence[str], known: Any
) -> tuple[list[int], list[str]]:
    """Returns the distinct lengths and names of metrics, in their order."""
    cuts = [*k] if isinstance(k, Iterable) else [k]
    wrong = any(not Integer(1).accepts(cut) for cut in cuts)
    named = isinstance(metrics, Iterable) and not isinstance(metrics, str)
    if not cuts or wrong or not named:
        raise ValueError(
            "k must be an integer of at least 1 or a list of them, and metrics a list "
            f"of names. Received: k={k!r}, metrics={metrics!r}"
        )
    if unknown := set(metrics) - set(known):
        raise ValueError(
            f"metrics must be out of {[*known]}. Received: {sorted(unknown, key=str)}"
        )
    return [*dict.fromkeys(map(int, cuts))], [*dict.fromkeys(metrics)]


def unseen_of(ids: ArrayLike, reserved: int, num_items: int) -> NDArray[np.bool_]:
    """Which of the relevant ids stand for items that training has not seen.

    Raises:
        ValueError: If one of the others is no item.
    """
    ids = np.asarray(ids)
    unseen: NDArray[np.bool_] = (ids == UNSEEN) & (reserved > UNSEEN)
    wrong = ids[~unseen & ((ids < reserved) | (ids >= num_items))]
    if wrong.size:
        also = f", or {UNSEEN} for an item that training has not seen"
        raise ValueError(
            f"Relevant ids must be in [{reserved}, {num_items})"
            f"{also if reserved > UNSEEN else ''}. "
            f"Received: {wrong.min()} to {wrong.max()}"
        )
    return unseen


def distinct_of(
    wanted: tuple[Any, ...], reserved: int, num_items: int, first: int
) -> tuple[Any, ...]:
    """Gives each unseen item an id of its own, behind those that are recommended.

    Args:
        wanted: Relevant ids of some users, as CSR.
        reserved, num_items: Size of the catalogue, see `evaluate`.
        first: The first of these users.

    Raises:
        ValueError: If a user has an item twice, or as `unseen_of`.
    """
    offsets, ids, *grades = wanted
    unseen = unseen_of(ids, reserved, num_items)
    ids = np.where(unseen, num_items + np.arange(len(ids)), ids)
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    if twice := repeated(user, ids):
        raise ValueError(
            "relevant must not have an item twice with one user. "
            f"Received: id {twice[1]} of user {first + twice[0]}"
        )
    return offsets, ids, *grades


def check_rows(got: int, rows: slice) -> None:
    if got != rows.stop - rows.start:
        raise ValueError(
            f"There must be one row for each user of relevant, {rows.stop} or more. "
            f"Received: {rows.start + got}"
        )
