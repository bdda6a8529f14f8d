"""HSTU against equations 1-3 of the paper."""

import numpy as np
import pytest

from recsys import Field, Task
from recsys.layers.hstu import HSTULayer
from recsys.rank.hstu_rank import hstu_rank
from tests import oracle, zoo
from tests.close import close
from tests.rank.test_tin import NUM_TIMES, TIMED, timed

BOTH = Task("ctr", return_logit=True)
ACTED = [
    *TIMED,
    Field("kind", vocabulary_size=4, dim=3, length=zoo.LENGTH, belong="history"),
]
H, QK, V, D = 2, 3, 5, 6


def silu(x):
    return x * oracle.sigmoid(x)


def _layer(tokens, times, length, w, name):
    """One row, oldest token first: the opposite of the layer's order.

    Without `times` tokens differ by their distance only.
    """
    normed = oracle.norm(tokens, w, f"{name}/norm")
    width = 2 * H * (QK + V)
    projected = silu(oracle.dense(normed, w, f"{name}/w1", width, bias=False))  # eq. 1
    u, v, q, k = np.split(projected, np.cumsum([H * V, H * V, H * QK]), axis=-1)
    n = len(tokens)
    out = np.zeros((n, H * V))
    for h in range(H):
        at = slice(h * QK, (h + 1) * QK)
        for i in range(n):
            for j in range(i + 1):
                score = q[i, at] @ k[j, at] / np.sqrt(QK)
                score += w[f"{name}/by_distance"][i - j]
                if times is not None:
                    since = np.clip(times[j] - times[i], 0, NUM_TIMES - 1)
                    score += w[f"{name}/by_time"][since]
                part = slice(h * V, (h + 1) * V)
                out[i, part] += silu(score) / length * v[j, part]  # eq. 2
    gated = oracle.norm(out, w, f"{name}/norm_av") * u  # eq. 3
    return tokens + oracle.dense(gated, w, f"{name}/w2", D, bias=False)


def _interest(x, w, acted, timed_):
    e, valid, q = oracle.history(x, w)
    rows = []
    for row in range(len(e)):
        tokens, times = [], []
        for t in np.flatnonzero(valid[row]):
            tokens.append(oracle.dense(e[row, t], w, "dnn_item_default", D))
            if acted:
                done = w["embedding_kind/embeddings"][x["kind"][row, t]]
                tokens.append(oracle.dense(done, w, "dnn_action_default", D))
            times += [x["age_of"][row, t]] * (1 + acted)
        tokens.append(oracle.dense(q[row], w, "dnn_item_default", D))
        times = [*times, 0] if timed_ else None
        s, length = np.stack(tokens), (1 + acted) * zoo.LENGTH + 1
        for i in range(2):
            s = _layer(s, times, length, w, f"dnn_hstu_default_{i}")
        rows.append(oracle.norm(s[-1], w, "dnn_first_default/norm"))
    return np.stack(rows)


@pytest.mark.parametrize(
    ("fields", "acted", "timed_"),
    [(zoo.fields(), 0, 0), (TIMED, 0, 1), (ACTED, 1, 1)],
    ids=["items", "times", "actions"],
)
@pytest.mark.oracle
def test_it_computes_the_paper(fields, acted, timed_):
    sizes = {"d_model": D, "num_heads": H, "qk_dim": QK, "v_dim": V}
    model = hstu_rank(fields, BOTH, (8, 4), num_layers=2, **sizes)
    zoo.jitter(model)
    x = timed(9)
    kinds = np.random.default_rng(0).integers(1, 4, x["seen"].shape)
    x["kind"] = np.where(x["seen"] != 0, kinds, 0)
    w = oracle.weights(model)
    interest = _interest(x, w, acted, timed_)
    expected = oracle.with_interest(x, w, interest, (8, 4), oracle.relu)
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def _tokens(seed=0):
    layer = HSTULayer(H, QK, V)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    layer(x, np.ones((2, 5), bool))
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer, x


def test_no_token_sees_newer_ones():
    layer, x = _tokens()
    before = np.asarray(layer(x, np.ones((2, 5), bool)))
    changed = x.copy()
    changed[:, 2] *= [1, -2, 3, 4]  # a shift is normalised away
    moved = np.abs(np.asarray(layer(changed, np.ones((2, 5), bool))) - before).max(
        (0, 2)
    )
    assert (moved[:3] > 1e-3).all()  # newest first
    assert (moved[3:] == 0).all()


def test_padding_is_not_seen():
    layer, x = _tokens()
    valid = np.array([[1, 1, 1, 0, 0]] * 2, bool)
    before = np.asarray(layer(x, valid))
    x[:, 3:] += 5
    np.testing.assert_array_equal(np.asarray(layer(x, valid))[:, :3], before[:, :3])


def test_parameters():
    layer, _ = _tokens()
    d = 4
    expected = 2 * d + d * H * (2 * QK + 2 * V) + 2 * H * V + H * V * d + 5
    assert layer.count_params() == expected
