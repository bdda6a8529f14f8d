"""Parts of an event log, by time and user."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data import (
    Categorical,
    FeaturePipeline,
    History,
    as_columns,
    leave_one_out,
    split_by_ratio,
    split_by_time,
)


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


def test_one_cut_for_all_users():
    rng = np.random.default_rng(0)
    times = rng.integers(0, 99, 500)
    part = split_by_time(None, times)
    cuts = [times[part == p] for p in range(3)]
    assert cuts[0].max() < cuts[1].min() and cuts[1].max() < cuts[2].min()
    assert [len(c) for c in cuts] == pytest.approx([400, 50, 50], abs=12)


def test_ratio_is_kept_for_each_user_and_the_choice_is_random():
    users = np.repeat([3, 1, 2], [100, 10, 1])
    part = split_by_ratio(users, seed=1)
    assert np.bincount(part[users == 3]).tolist() == [80, 10, 10]
    assert np.bincount(part[users == 1]).tolist() == [8, 1, 1]
    assert part[users == 2] == [0]
    assert 5 < np.mean(np.flatnonzero(part[:100] == 2)) < 90  # not the last
    np.testing.assert_array_equal(split_by_ratio(users, seed=1), part)
    assert (split_by_ratio(users, seed=2) != part).any()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=40),
    st.integers(2, 4),
)
def test_leave_one_out_takes_the_last_of_each_user(events, num_parts):
    users, times = np.array(events, int).reshape(-1, 2).T
    part = leave_one_out(users, times, num_parts)
    for user in set(users):
        rows = sorted(np.flatnonzero(users == user), key=lambda row: (times[row], row))
        held = num_parts - 1 if len(rows) >= num_parts else 0
        wanted = [0] * (len(rows) - held) + [*range(1, held + 1)]
        assert part[rows].tolist() == wanted


def test_no_history_contains_its_target():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(8), 12)
    items = np.concatenate([rng.permutation(20)[:12] for _ in range(8)])  # each once
    log = {"user": users, "item": items, "time": rng.integers(0, 40, 96)}  # ties
    history = History("past", of=["item"], length=12, user="user", time="time")
    pipeline = FeaturePipeline([Categorical("item", belong="item"), history])
    parts = {
        "leave one out": leave_one_out(users, log["time"]),
        "time": split_by_time(users, log["time"]),
        "one time": split_by_time(None, log["time"]),
        "ratio": split_by_ratio(users),
    }
    pipeline.fit(log)
    for name, part in parts.items():
        for p in range(3):
            rows = {key: column[part == p] for key, column in log.items()}
            x = as_columns(pipeline.transform(rows, events=log))
            past, target = x["past_item"], x["item"]
            assert (past > 0).any(), name
            assert not (past == target[:, None]).any(), name
            if name == "leave one out" and p:  # all that is strictly earlier
                earlier = [
                    np.sum((users == u) & (log["time"] < t))
                    for u, t in zip(rows["user"], rows["time"], strict=True)
                ]
                assert (past > 0).sum(axis=1).tolist() == earlier


def test_errors():
    with pytest.raises(ValueError, match=r"one length. Received: shapes \(2,\)"):
        leave_one_out([1, 2], [1])
    with pytest.raises(ValueError, match="num_parts must be at least 2"):
        leave_one_out([1], [1], 1)
    with pytest.raises(ValueError, match=r"one length. Received: shapes \(2,\)"):
        split_by_time([1, 2], [1])
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_time([1], [1], (0.5, 0.4))
