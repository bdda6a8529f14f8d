"""Items drawn alike, or by their counts."""

import keras
import numpy as np
import pytest

from recsys.layers.sampling import (
    LogUniformSampler,
    UnigramSampler,
    _alias_table,
    draw_unseen,
)
from tests.close import close


def test_what_was_seen_is_never_drawn_and_all_else_alike():
    seen = np.array([[5, 2, 5, 0, 3], [0, 0, 0, 0, 0], [9, 8, 2, 0, 0]])
    seed = keras.random.SeedGenerator(0)
    ids, left = draw_unseen(seen, 2, 8, 6000, seed)  # items 2 to 9
    assert np.asarray(left).all()
    for row, drawn in zip(seen, np.asarray(ids), strict=True):
        others = sorted({*range(2, 10)} - {*row})
        values, counts = np.unique(drawn, return_counts=True)
        assert list(values) == others
        assert counts / 6000 == pytest.approx(1 / len(others), abs=0.025)


def test_nothing_is_left_to_draw():
    ids, left = draw_unseen(
        np.array([[1, 2, 3], [1, 2, 0]]), 1, 3, 4, keras.random.SeedGenerator(0)
    )
    assert list(np.asarray(left)[:, 0]) == [False, True]
    np.testing.assert_array_equal(np.asarray(ids)[1], [3] * 4)
    assert (np.asarray(ids)[0] <= 3).all()  # a row of the table, if only to be masked


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(7),
        np.random.default_rng(0).pareto(0.8, 5000) + 1e-6,
        np.array([3.0, 1, 1, 1, 3, 3]),  # the sums of what is lacking and spare meet
        np.array([1.2, 1.2, 1.2, 0.1, 0.1, 0.1]),  # a frequent one must be filled too
        np.ones(1),
    ],
)
def test_aliases_leave_each_item_its_share(weights):
    share = weights / weights.sum()
    keep, alias = _alias_table(share)
    assert keep.min() >= 0 and keep.max() <= 1
    given = np.bincount(alias, 1 - keep, len(share))
    close((keep + given) / len(share), share, terms=10_000, dtype="float64")


def test_items_are_drawn_by_their_counts():
    counts = np.array([9, 9, 1, 16, 0, 81])  # two ids are no items, one was not seen
    sampler = UnigramSampler(2, 4, alpha=0.5)
    sampler.build()
    sampler.adapt(counts)
    share = np.array([1, 4, 1, 9]) / 15
    found = np.exp(np.asarray(sampler.log_probability(np.arange(2, 6))))
    close(found, share)
    drawn = np.asarray(sampler.draw(20000, keras.random.SeedGenerator(0)))
    drawn = np.bincount(drawn, minlength=6) / 20000
    assert drawn == pytest.approx(np.array([0, 0, *share]), abs=0.015)
    with pytest.raises(ValueError, match=r"count for each of 6 ids.*shape \(4,\)"):
        sampler.adapt(counts[2:])


def test_the_first_items_are_drawn_most():
    sampler = LogUniformSampler(2, 5)
    share = np.log([2, 3 / 2, 4 / 3, 5 / 4, 6 / 5]) / np.log(6)
    found = np.exp(np.asarray(sampler.log_probability(np.arange(2, 7))))
    close(found, share)
    drawn = np.asarray(sampler.draw(20000, keras.random.SeedGenerator(0)))
    drawn = np.bincount(drawn, minlength=7) / 20000
    assert drawn == pytest.approx(np.array([0, 0, *share]), abs=0.015)
