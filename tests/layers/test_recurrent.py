"""AUGRU and its relatives against equations 8-15 of DIEN."""

import numpy as np
import pytest

from recsys.layers.recurrent import AttentionGRU, AttentionGRUCell
from tests import oracle
from tests.close import close

N, L, D = 3, 4, 5


def reference(e, attention, valid, w, kind, name=""):
    """The last state of one row."""
    kernel, bias = w[f"{name}input/kernel"], w[f"{name}input/bias"]
    u, n = w[f"{name}rnn/cell/recurrent_kernel"], e.shape[-1]
    assert u.shape == (n, (2 if kind == "agru" else 3) * n)
    h = np.zeros(n)
    for e_t, a, there in zip(e, attention, valid, strict=True):
        if not there:
            continue
        x = (a * e_t if kind == "aigru" else e_t) @ kernel + bias
        reset = oracle.sigmoid(x[:n] + h @ u[:, :n])
        candidate = np.tanh(x[n : 2 * n] + reset * (h @ u[:, n : 2 * n]))
        update = a
        if kind != "agru":
            update = oracle.sigmoid(x[2 * n :] + h @ u[:, 2 * n :])
        if kind == "augru":
            update = a * update
        h = (1 - update) * h + update * candidate
    return h


def _layer(kind, seed=0):
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(N, L, D)).astype("float32")
    a = rng.random((N, L)).astype("float32")
    valid = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]], bool)
    layer = AttentionGRU(D, kind)
    layer(e, a, valid)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    w = {v.path.split("/", 1)[1]: v.numpy().astype("float64") for v in layer.weights}
    return layer, e, a, valid, w


@pytest.mark.parametrize("kind", ["augru", "agru", "aigru"])
@pytest.mark.oracle
def test_it_computes_the_paper(kind):
    layer, e, a, valid, w = _layer(kind)
    expected = [reference(*row, w, kind) for row in zip(e, a, valid, strict=True)]
    close(layer(e, a, valid), expected, terms=1_000)


@pytest.mark.parametrize("kind", ["augru", "agru"])
def test_without_attention_nothing_changes_the_state(kind):
    cell, h = AttentionGRUCell(D, kind), np.ones((2, D), "float32")
    gates = 2 if kind == "agru" else 3
    x = np.random.default_rng(0).normal(size=(2, gates * D)).astype("float32")
    cell.build((2, gates * D + 1))
    kept, _ = cell(np.hstack([x, np.zeros((2, 1), "float32")]), [h])
    np.testing.assert_array_equal(kept, h)


def test_with_full_attention_augru_is_a_plain_gru():
    layer, e, _, valid, w = _layer("augru")
    ones = np.ones((N, L), "float32")
    plain = [reference(*row, w, "aigru") for row in zip(e, ones, valid, strict=True)]
    close(layer(e, ones, valid), plain, terms=1_000)


def test_with_full_attention_agru_keeps_the_candidate_alone():
    cell = AttentionGRUCell(D, "agru")
    cell.build((2, 2 * D + 1))
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(2, 2 * D)), rng.normal(size=(2, D))
    full = np.hstack([x, np.ones((2, 1))]).astype("float32")
    new, _ = cell(full, [h.astype("float32")])
    u = cell.recurrent_kernel.numpy()
    reset = oracle.sigmoid(x[:, :D] + h @ u[:, :D])
    close(new, np.tanh(x[:, D:] + reset * (h @ u[:, D:])), terms=1_000)


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="augru.*Received: kind='gru'"):
        AttentionGRU(D, "gru")
