"""Splits of an event log."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def split_by_time(
    users: ArrayLike, times: ArrayLike, shares: Sequence[float] = (0.8, 0.1, 0.1)
) -> NDArray[np.int64]:
    """Cuts the events of each user into consecutive parts.

    One cut for all users would leave a test part of users that no training row knows.
    Here the first share of every user's events is part 0, the next part 1 and so on;
    events of the same time stay together, in the earlier part, so that whatever is in
    a part is strictly later than all that is in the parts before.

    Args:
        users: User of each event, `(rows,)`.
        times: Time of each event, `(rows,)`.
        shares: Share of each part, in order; they sum to 1.

    Returns:
        Part of each event, `(rows,)`.

    Raises:
        ValueError: If the lengths differ, or the shares are no shares.

    Example:
    >>> split_by_time([1, 1, 1, 1, 2], [10, 30, 30, 20, 5], (0.5, 0.5))
    array([0, 1, 1, 0, 0])
    """
    users, times = np.asarray(users), np.asarray(times)
    cuts = np.cumsum(shares)
    if users.shape != times.shape or users.ndim != 1:
        raise ValueError(
            "users and times must be two columns of one length. "
            f"Received: shapes {users.shape} and {times.shape}"
        )
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
