"""DSIN against equations 1-12 of the paper."""

from dataclasses import replace

import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.dsin import SessionInterests, dsin
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
K, T, H = 3, 2, 2
UNITS, DFF = (8, 4), 5
SESSIONS = [
    *zoo.fields(),
    Field(
        "part", vocabulary_size=7, length=zoo.LENGTH, belong="history", role="session"
    ),
]


def _rows(n, seed=0):
    """Rows whose sessions, counted from the end, have random lengths."""
    x, rng = zoo.rows(n, seed), np.random.default_rng(seed)
    valid = x["seen"] != 0
    later = np.cumsum(rng.random(valid.shape) < 0.5, axis=1)
    part = later.max(1, keepdims=True, where=valid, initial=0) - later + 1
    return {**x, "part": np.where(valid, part, 0)}


def _interests(e, valid, part, w, name="dnn_sessions_default"):
    """Eq. 2-6: `(rows, K, d)`, oldest session first, and which there are."""
    of_session, of_position, of_unit = (
        w[f"{name}/of_{n}"] for n in ("session", "position", "unit")
    )
    vectors, there = np.zeros((len(e), K, e.shape[-1])), np.zeros((len(e), K), bool)
    for row in range(len(e)):
        for k in range(1, K + 1):
            steps = np.flatnonzero(valid[row] & (part[row] == k))
            if not len(steps):
                continue
            back = np.minimum(np.arange(len(steps))[::-1], T - 1)
            s = e[row, steps] + of_session[k - 1] + of_unit
            s = s + of_position[back][:, None]
            encoder = f"{name}/encoder"
            seen = np.ones((len(steps), len(steps)), bool)
            attended = oracle.attention(
                s, s, seen, H, w, f"{encoder}/cross_attention/attention"
            )
            s = oracle.norm(s + attended, w, f"{encoder}/cross_attention/norm")
            hidden = oracle.relu(oracle.dense(s, w, f"{encoder}/ffn/expand", DFF))
            change = oracle.dense(hidden, w, f"{encoder}/ffn/contract", s.shape[-1])
            s = oracle.norm(s + change, w, f"{encoder}/ffn/norm")
            vectors[row, K - k], there[row, K - k] = s.mean(0), True
    return vectors, there


def _lstm(x, there, w, name):
    """Eq. 7-8: states of one row in the order of the steps that are."""
    kernel, recurrent, bias = (
        w[f"{name}/lstm_cell/{n}"] for n in ("kernel", "recurrent_kernel", "bias")
    )
    h = c = np.zeros(x.shape[-1])
    states = np.zeros_like(x)
    for k in there:
        i, f, g, o = np.split(x[k] @ kernel + h @ recurrent + bias, 4)
        c = oracle.sigmoid(f) * c + oracle.sigmoid(i) * np.tanh(g)
        h = oracle.sigmoid(o) * np.tanh(c)
        states[k] = h
    return states


def _interest(x, w, merge):
    e, valid, q = oracle.history(x, w)
    vectors, there = _interests(e, valid, x["part"], w)
    found = []
    for row in range(len(e)):
        steps = np.flatnonzero(there[row])
        ways = [
            _lstm(vectors[row], s, w, f"dnn_lstm_default/both/{n}_lstm")
            for n, s in (("forward", steps), ("backward", steps[::-1]))
        ]
        concat = np.concatenate(ways, axis=-1)
        merged = {"ave": sum(ways) / 2, "sum": sum(ways), "concat": concat}
        both, pair = merged[merge], []
        for states, kind in ((vectors[row], "sessions"), (both, "interaction")):
            asked = q[row] @ w[f"dnn_activation_{kind}_default/kernel"]
            weights = oracle.masked(states @ asked, there[row])  # eq. 9
            pair.append(weights @ states)
        found.append(np.concatenate(pair))
    return np.stack(found)


@pytest.mark.parametrize("merge", ["ave", "sum", "concat"])
@pytest.mark.oracle
def test_it_computes_the_paper(merge):
    sizes = {"num_sessions": K, "session_length": T, "num_heads": H, "dff": DFF}
    model = dsin(SESSIONS, BOTH, UNITS, merge=merge, **sizes)
    zoo.jitter(model)
    x = _rows(24)
    assert x["part"].max() > K  # older sessions do not count
    w = oracle.weights(model)
    expected = oracle.with_interest(x, w, _interest(x, w, merge), UNITS)
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def test_without_sessions_they_are_runs_from_the_end():
    given = dsin(SESSIONS, BOTH, num_sessions=K, session_length=T)
    cut = dsin(zoo.fields(), BOTH, num_sessions=K, session_length=T)
    zoo.jitter(given)
    cut.set_weights(given.get_weights())
    x = zoo.rows(24)
    valid = x["seen"] != 0
    after = valid.sum(1, keepdims=True) - np.cumsum(valid, axis=1)
    x["part"] = np.where(valid, 1 + after // T, 0)
    one, other = (oracle.logit(model, x) for model in (given, cut))
    close(one, other, terms=100)


def _layer(**kwargs):
    layer = SessionInterests(2, 3, **kwargs)
    rng = np.random.default_rng(0)
    e = rng.normal(size=(1, 5, 4)).astype("float32")
    valid, part = np.ones((1, 5), bool), np.array([[2, 2, 1, 1, 1]])
    layer(e, valid, part)
    return layer, e, valid, part


def test_behaviours_see_their_own_session_only():
    layer, e, valid, part = _layer()
    before, _ = layer(e, valid, part)
    changed = e.copy()
    changed[:, 0] += 3
    after, _ = layer(changed, valid, part)
    close(before[0, 1], after[0, 1], terms=100)
    assert np.abs(before[0, 0] - after[0, 0]).max() > 0.1


def test_only_positions_tell_the_order_within_a_session():
    layer, e, valid, part = _layer()
    turned = np.concatenate([e[:, :2], e[:, :1:-1]], axis=1)
    layer.of_position.assign([0.5, -0.5, 1.0])
    one, other = (layer(x, valid, part)[0] for x in (e, turned))
    assert np.abs(one - other).max() > 1e-3
    layer.of_position.assign(0 * layer.of_position)
    one, other = (layer(x, valid, part)[0] for x in (e, turned))
    close(one, other, terms=1_000)


def test_fewer_behaviours_than_sessions():
    model = dsin(zoo.fields(), num_sessions=9, session_length=1)
    x = zoo.rows(16)
    model.compile("adam", "binary_crossentropy")
    model.fit(x, zoo.labels("rank", 16), verbose=0)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="Received: num_sessions=0"):
        SessionInterests(0)


def test_a_history_of_sessions_alone_is_no_history():
    fields = [replace(f, role="session") if f.name == "seen" else f for f in SESSIONS]
    fields = [f for f in fields if f.name not in ("seen_category", "part")]
    with pytest.raises(ValueError, match="one of them ids"):
        dsin(fields)
