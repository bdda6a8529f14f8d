"""Splits of an event log."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def split_by_time(
    users: ArrayLike | None, times: ArrayLike, shares: Sequence[float] = (0.8, 0.1, 0.1)
) -> NDArray[np.int64]:
    """Cuts the events of each user, or of all together, into consecutive parts.

    The first share of every user's events is part 0, the next part 1 and so on; events
    of the same time stay together, in the earlier part, so that whatever is in a part
    is strictly later than all that is in the parts before.

    Without users there is one cut for all: nothing of the future trains, as in
    production, but the test part has users that no training row knows.

    Args:
        users: User of each event, `(rows,)`, or `None`.
        times: Time of each event, `(rows,)`.
        shares: Share of each part, in order; they sum to 1.

    Returns:
        Selection of each event, `(rows,)`.

    Raises:
        ValueError: If the lengths differ, or the shares are no shares.

    Example:
    >>> split_by_time([1, 1, 1, 1, 2], [10, 30, 30, 20, 5], (0.5, 0.5))
    array([0, 1, 1, 0, 0])
    >>> split_by_time(None, [10, 30, 30, 20, 5], (0.6, 0.4))
    array([0, 1, 1, 0, 0])
    """
    times = np.asarray(times)
    users = np.zeros(times.shape, int) if users is None else np.asarray(users)
    cuts = np.cumsum(shares)
    _check_columns(users, times)
    if min(shares) <= 0 or not np.isclose(cuts[-1], 1):
        raise ValueError(
            f"shares must be positive and sum to 1. Received: shares={tuple(shares)}"
        )
    order = np.lexsort((times, users))
    user, time = users[order], times[order]
    new_user = np.r_[True, user[1:] != user[:-1]][: len(user)]
    new_time = new_user | np.r_[True, time[1:] != time[:-1]][: len(user)]
    place = np.arange(len(user))
    start = np.maximum.accumulate(np.where(new_user, place, 0))
    earlier = np.maximum.accumulate(np.where(new_time, place, 0)) - start
    count = np.bincount(np.cumsum(new_user) - 1)[np.cumsum(new_user) - 1]
    part = np.empty(len(user), np.int64)
    # A share of 1/10 of 10 events is one, whatever its sum is in floating point.
    part[order] = np.searchsorted(cuts[:-1] - 1e-9, earlier / count, side="right")
    return part


def split_by_ratio(
    users: ArrayLike, shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> NDArray[np.int64]:
    """Shares out the events of each user among parts, at random.

    For sets without times, and protocols that are published so. Where there are times,
    events that train may be later than those that test.

    Args:
        users: User of each event, `(rows,)`.
        shares: Share of each part of each user's events; they sum to 1. What is left
            of a user's last whole event goes to the earlier part.
        seed: Seed of the order.

    Returns:
        Selection of each event, `(rows,)`.

    Raises:
        ValueError: As `split_by_time`.

    Example:
    >>> np.bincount(split_by_ratio([7] * 10, (0.8, 0.2)))
    array([8, 2])
    """
    order = np.random.default_rng(seed).permutation(np.size(users))
    return split_by_time(users, order, shares)


def leave_one_out(
    users: ArrayLike, times: ArrayLike, num_parts: int = 3
) -> NDArray[np.int64]:
    """Holds out the last event of each user, and the one before it.

    With three parts the last event is part 2 (test), the one before part 1
    (validation), all others part 0. Of equal times the later row is the later event.
    Users of less than `num_parts` events are in part 0 alone.

    Args:
        users: User of each event, `(rows,)`.
        times: Time of each event, `(rows,)`.
        num_parts: 3, or 2 without validation.

    Returns:
        Selection of each event, `(rows,)`.

    Raises:
        ValueError: If the lengths differ, or there are less than two parts.

    Example:
    >>> leave_one_out([1, 1, 1, 1, 2], [10, 40, 30, 20, 5])
    array([0, 2, 1, 0, 0])
    """
    users, times = np.asarray(users), np.asarray(times)
    _check_columns(users, times)
    if num_parts < 2:
        raise ValueError(
            f"num_parts must be at least 2. Received: num_parts={num_parts}"
        )
    order = np.lexsort((times, users))
    _, user, count = np.unique(users[order], return_inverse=True, return_counts=True)
    from_last = np.cumsum(count)[user] - 1 - np.arange(len(user))
    part = np.empty(len(user), np.int64)
    held = count[user] >= num_parts
    part[order] = np.where(held, np.maximum(num_parts - 1 - from_last, 0), 0)
    return part


def _check_columns(users: NDArray[Any], times: NDArray[Any]) -> None:
    if users.shape != times.shape or users.ndim != 1:
        raise ValueError(
            "users and times must be two columns of one length. "
            f"Received: shapes {users.shape} and {times.shape}"
        )
