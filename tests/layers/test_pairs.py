"""Pairs of fields against two loops."""

import itertools

import numpy as np
import pytest

from recsys.layers.interaction import pairs
from tests.close import close


@pytest.mark.parametrize("n", [2, 3, 5])
def test_pairs_are_lexicographic(n):
    e = np.random.default_rng(0).normal(size=(4, n, 3)).astype("float32")
    expected = list(itertools.combinations(range(n), 2))
    assert pairs.field_pairs(n) == expected
    left, right = pairs.pair_embeddings([e[:, i] for i in range(n)])
    for pairs_first, side in ((left, 0), (right, 1)):
        own = e[:, [pair[side] for pair in expected]]
        np.testing.assert_array_equal(pairs_first, own.transpose(1, 0, 2))
    close(
        pairs.inner_products(e),
        np.stack([(e[:, i] * e[:, j]).sum(-1) for i, j in expected], 1),
        terms=100,
    )
