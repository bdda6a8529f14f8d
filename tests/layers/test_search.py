"""Searches over long histories, and hashes."""

import numpy as np
import pytest

from recsys.layers.search import SimHash, TakeSteps, TopSteps


def _some(seed=0, n=50, length=7):
    rng = np.random.default_rng(seed)
    return (
        rng,
        rng.normal(size=(n, length)).astype("float32"),
        rng.random((n, length)) < rng.random((n, 1)),
    )


def test_only_valid_behaviours_are_found_whatever_their_scores():
    _, scores, valid = _some()
    index, found = (np.asarray(t) for t in TopSteps(3)(scores - 100, valid))
    for i in range(len(valid)):
        chosen = index[i][found[i]]
        best = [t for t in np.argsort(-scores[i]) if valid[i, t]][:3]
        assert list(chosen) == best


def test_of_equals_the_most_recent_are_found():
    _, _, valid = _some()
    index, found = (np.asarray(t) for t in TopSteps(2)(0.0 * valid, valid))
    for i in range(len(valid)):
        assert list(index[i][found[i]]) == list(np.flatnonzero(valid[i])[::-1][:2])


def test_a_history_shorter_than_k():
    index, found = TopSteps(9)(np.zeros((1, 2), "float32"), np.array([[True, False]]))
    assert index.shape == found.shape == (1, 2)
    assert np.asarray(found).sum() == 1


def test_equal_scores_give_the_most_recent_first_and_padding_last():
    _, _, valid = _some(1)
    index, found = (np.asarray(t) for t in TopSteps(7)(valid, valid))
    for i in range(len(valid)):
        assert list(index[i][found[i]]) == list(np.flatnonzero(valid[i])[::-1])
        assert sorted(index[i]) == list(range(7))


@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 2)])
def test_taking_steps(shape):
    rng = np.random.default_rng(0)
    column, index = rng.integers(0, 99, shape), rng.integers(0, 7, (4, 3))
    taken = np.asarray(TakeSteps()([column, index.astype("int32")]))
    for i in range(4):
        np.testing.assert_array_equal(taken[i], column[i, index[i]])


def test_a_hash_knows_directions_only():
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    layer = SimHash(32)
    code = np.asarray(layer(x))
    assert set(np.unique(code)) == {-1.0, 1.0}
    np.testing.assert_array_equal(layer(7 * x), code)
    np.testing.assert_array_equal(layer(-x), -code)
    np.testing.assert_array_equal(SimHash(32)(x), code)  # nothing is drawn anew
    assert (np.asarray(SimHash(32, seed=1)(x)) != code).any()


def test_bits_that_differ_measure_the_angle():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5)).astype("float32")
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    one, other = np.asarray(SimHash(40_000)(np.stack([a, b])))
    assert np.mean(one != other) == pytest.approx(np.arccos(cosine) / np.pi, abs=0.01)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="k must be an integer.*k=0"):
        TopSteps(0)
    with pytest.raises(ValueError, match="k must be an integer.*k=1.5"):
        TopSteps(1.5)
    with pytest.raises(ValueError, match="num_bits must be at least 1"):
        SimHash(0)
