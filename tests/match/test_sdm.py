"""SDM against equations 1-13 of the paper."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.sdm import sdm
from tests import oracle, zoo
from tests.close import close

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

USER = ["user_id", "age", "tags", "hour", "scores"]


def _fields(past):
    """With `past`, the categories are a history of their own."""
    return [
        replace(f, group="past") if past and f.name == "seen_category" else f
        for f in zoo.fields()
    ]


def _model(past=False, **kwargs):
    groups = ["past"] if past else []
    kwargs = {"num_negatives": None, "num_heads": 2, **kwargs}
    model = sdm(_fields(past), past_groups=groups, **kwargs)
    zoo.jitter(model)
    return model


def _lstm(x, w, name):
    """In Keras' order of the gates: input, forget, candidate, output."""
    h = c = np.zeros(8)
    states = []
    for e in x:
        z = e @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"]
        i, f, g, o = np.split(z + w[f"{name}/bias"], 4)
        c = oracle.sigmoid(f) * c + oracle.sigmoid(i) * np.tanh(g)
        h = oracle.sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states).reshape(-1, 8)


def _attended(h, user):
    if not len(h):
        return np.zeros(8)
    return oracle.softmax(h @ user) @ h


def _users(model, x, past):
    w = oracle.weights(model)
    items, kinds = w["embedding_item_id/embeddings"], w["embedding_category/embeddings"]
    own = oracle.dense(oracle.columns(USER, x, w), w, "dnn_user", 8)
    out = np.zeros((len(own), 8))
    for row, user in enumerate(own):
        valid = x["seen"][row] != 0
        e, k = items[x["seen"][row]][valid], kinds[x["seen_category"][row]]
        k_valid = x["seen_category"][row] != 0 if past else valid
        session = e if past else np.concatenate([e, k[valid]], axis=1)
        states = _lstm(session, w, "dnn_session/lstm/lstm_cell")
        older = np.tril(np.ones((len(states),) * 2, bool))
        name = "dnn_session/attention"
        if len(states):
            states = oracle.attention(states, states, older, 2, w, name)
        s = _attended(states, user)
        sets = {"seen_category": k[k_valid]} if past else {"seen": e}
        sets = sets if past else {**sets, "seen_category": k[k_valid]}
        z = [
            _attended(oracle.dense(v, w, f"dnn_past_{n}", 8, bias=False), user)
            for n, v in sets.items()
        ]
        p = np.tanh(oracle.dense(np.concatenate(z), w, "dnn_past", 8))
        g = oracle.dense(np.concatenate([user, s, p]), w, "dnn_gate/gate", 8)
        g = oracle.sigmoid(g)
        out[row] = (1 - g) * p + g * s
    return out, items


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(past):
    """Eq. 1-13."""
    model, x = _model(past), zoo.rows(12)
    if past:  # padding comes first
        x["seen"], x["seen_category"] = x["seen"][:, ::-1], x["seen_category"][:, ::-1]
    user, items = _users(model, x, past)
    close(model.user_model.predict(x, verbose=0), user, terms=1_000)
    close(model.item_matrix(), items, terms=1_000)
    scores = user @ items.T
    own = scores[np.arange(12), x["item_id"]]
    close(model.predict(x, verbose=0)[:, 0], own, terms=1_000)
    model.compile("sgd")
    loss = model.evaluate(x, batch_size=12, verbose=0)
    log_z = np.log(np.exp(scores[:, 1:]).sum(axis=1))
    close(loss, np.mean(log_z - own), terms=100)


def test_an_open_gate_leaves_the_session_alone():
    model, x = _model(past=True), zoo.rows(12)
    gate = model.get_layer("dnn_gate").gate
    other = {**x, "seen_category": x["seen_category"][::-1]}
    for bias, same in ((50.0, True), (-50.0, False)):
        gate.bias.assign(np.full(8, bias, "float32"))
        one, two = (model.user_model.predict(v, verbose=0) for v in (x, other))
        assert np.allclose(one, two, atol=1e-5) == same


def test_the_past_is_a_set_and_the_session_is_not():
    model, x = _model(past=True), zoo.rows(12)
    before = model.user_model.predict(x, verbose=0)
    for name, same in (("seen_category", True), ("seen", False)):
        turned = {**x, name: x[name][:, ::-1]}
        valid = turned[name] != 0
        order = np.argsort(~valid, axis=1, kind="stable")
        turned[name] = np.take_along_axis(turned[name], order, axis=1)
        after = model.user_model.predict(turned, verbose=0)
        assert np.allclose(before, after, atol=1e-5) == same


@pytest.mark.all
def test_it_learns_from_the_session_and_from_the_past():
    """The next item's row is the last of the session, its column that of the past."""
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, 4, (2, 2000))
    seen = rng.integers(1, 17, (2000, 3))
    seen[:, -1] = 1 + 4 * row + rng.integers(0, 4, 2000)
    x = {
        "user": np.ones(2000, int),
        "item": 1 + 4 * row + column,
        "seen": seen,
        "likes": np.stack([column + 1, column * 0], axis=1),
    }
    init = keras.initializers.RandomNormal(stddev=1.0)
    fields = [
        Field("user", vocabulary_size=2),
        Field("item", "", 16, 17, belong="item", initializer=init),
        Field("seen", "item", length=3, belong="history"),
        Field("likes", "", 4, 5, length=2, belong="history", group="b"),
    ]
    keras.utils.set_random_seed(0)
    model = sdm(fields, 2, past_groups=["b"], num_negatives=None)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, batch_size=100, epochs=5, verbose=0)
    ids, _ = model.recommend({k: v[:200] for k, v in x.items()}, k=1)
    assert (ids[:, 0] == x["item"][:200]).mean() > 0.9


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    lstm = 4 * (12 * 8 + 8 * 8 + 8)
    attention = 4 * (8 * 8 + 8)
    rest = 16 * 8 + 8 + 8 * 8 + 4 * 8 + 16 * 8 + 8 + 24 * 8 + 8
    assert _model().count_params() == tables + lstm + attention + rest


def test_errors():
    with pytest.raises(ValueError, match="sdm needs a history"):
        sdm(zoo.fields()[:-2])
    with pytest.raises(ValueError, match="groups of the past that exist"):
        sdm(zoo.fields(), past_groups=["long"])
    with pytest.raises(ValueError, match="heads that divide the item's dim"):
        sdm(zoo.fields(), num_heads=3)
