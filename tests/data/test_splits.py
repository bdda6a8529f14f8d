"""Parts of an event log, by time and user."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.splits import split_by_time


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (0.2, 0.3, 0.5), (1.0,)]),
)
def test_parts_are_consecutive_and_as_large_as_ties_allow(events, shares):
    users, times = np.array(events).T
    part = split_by_time(users, times, shares)
    assert set(part) <= set(range(len(shares)))
    for user in set(users):
        mine = users == user
        for p in range(1, len(shares)):
            before, after = times[mine & (part < p)], times[mine & (part >= p)]
            assert len(before)
            assert not len(after) or before.max() < after.min()
            # The share before the cut is reached with the last time before it, not
            # earlier.
            wanted = sum(shares[:p]) * mine.sum()
            assert len(before) >= wanted - 1e-6
            assert (before < before.max()).sum() < wanted - 1e-9


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    users, times = rng.integers(0, 9, 500), rng.integers(0, 99, 500)
    order = rng.permutation(500)
    part = split_by_time(users, times)
    np.testing.assert_array_equal(
        split_by_time(users[order], times[order]), part[order]
    )
    assert len(split_by_time([], [])) == 0


def test_errors():
    with pytest.raises(ValueError, match=r"one length. Received: shapes \(2,\)"):
        split_by_time([1, 2], [1])
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_time([1], [1], (0.5, 0.4))
