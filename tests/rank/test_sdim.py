"""SDIM against equations 5-10 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.sdim import HashAttention, sdim
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
NUM_BITS = 12


def _attention(e, valid, q, r, bits):
    assert r.shape == (e.shape[-1], NUM_BITS)
    groups = NUM_BITS // bits
    rows = []
    for row in range(len(e)):
        total = np.zeros(e.shape[-1])
        for g in range(groups):
            part = r[:, g * bits : (g + 1) * bits]
            same = ((e[row] @ part > 0) == (q[row] @ part > 0)).all(-1) & valid[row]
            s = e[row][same].sum(0)
            total += s / np.linalg.norm(s) if same.any() else 0
        rows.append(total / groups)
    return np.stack(rows)


@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.oracle
def test_it_computes_the_paper(bits):
    model = sdim(zoo.fields(), BOTH, (8, 4), num_bits=NUM_BITS, signature_bits=bits)
    zoo.jitter(model)
    x, w = zoo.rows(24), oracle.weights(model)
    e, valid, q = oracle.history(x, w)
    r = w["dnn_hash_default/hash/directions"]
    interest = _attention(e, valid, q, r, bits)
    assert np.linalg.norm(interest, axis=-1).max() <= 1
    expected = oracle.with_interest(x, w, interest, (8, 4))
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def _pair(seed=0):
    rng = np.random.default_rng(seed)
    q, e = rng.normal(size=(3, 4)), rng.normal(size=(3, 6, 4))
    return q.astype("float32"), e.astype("float32"), np.ones((3, 6), bool)


def test_copies_of_the_target_give_its_direction():
    q, _, valid = _pair()
    e = np.repeat(q[:, None], 6, axis=1)
    unit = q / np.linalg.norm(q, axis=1, keepdims=True)
    close(HashAttention()([q, e], valid), unit, terms=100)


def test_what_collides_with_nothing_is_zero():
    q, _, valid = _pair()
    e = np.repeat(-q[:, None], 6, axis=1)
    np.testing.assert_array_equal(HashAttention()([q, e], valid), np.zeros((3, 4)))


def test_order_does_not_matter():
    q, e, valid = _pair()
    layer = HashAttention()
    close(layer([q, e], valid), layer([q, e[:, ::-1]], valid), terms=100)


def test_a_behaviour_collides_as_often_as_its_angle_says():
    q, e, _ = _pair(1)
    layer = HashAttention(60_000, 3)
    one = np.zeros((3, 6), bool)
    one[:, 0] = True
    found = np.asarray(layer([q, e], one))  # share of collisions times the direction
    unit = e[:, 0] / np.linalg.norm(e[:, 0], axis=1, keepdims=True)
    cosine = (unit * q).sum(1) / np.linalg.norm(q, axis=1)
    expected = (1 - np.arccos(cosine) / np.pi) ** 3
    assert (found * unit).sum(1) == pytest.approx(expected, abs=0.02)


def test_bits_must_fit():
    with pytest.raises(ValueError, match="must divide.*num_bits=10, signature_bits=3"):
        HashAttention(10)
