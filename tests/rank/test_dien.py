"""DIEN against equations 2-15 of the paper."""

from dataclasses import replace
from importlib import import_module

import keras
import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.dien import dien
from tests import oracle, zoo
from tests.close import close
from tests.layers.test_recurrent import reference

module = import_module("recsys.rank.dien")
BOTH = Task("ctr", return_logit=True)
UNITS = (8, 4)


def _states(e, valid, w, name="dnn_extractor_default/gru/gru_cell/"):
    """Eq. 2-5 in Keras' GRU: its z is 1 - u of the paper."""
    kernel, recurrent = w[f"{name}kernel"], w[f"{name}recurrent_kernel"]
    (b, c), n = w[f"{name}bias"], e.shape[-1]
    states = np.zeros_like(e)
    for row in range(len(e)):
        h = np.zeros(n)
        for t in np.flatnonzero(valid[row]):
            x, u = e[row, t] @ kernel + b, h @ recurrent + c
            z = oracle.sigmoid(x[:n] + u[:n])
            r = oracle.sigmoid(x[n : 2 * n] + u[n : 2 * n])
            h = z * h + (1 - z) * np.tanh(x[2 * n :] + r * u[2 * n :])
            states[row, t] = h
    return states


@pytest.mark.parametrize("evolution", ["augru", "agru", "aigru"])
@pytest.mark.oracle
def test_it_computes_the_paper(evolution):
    model, x = dien(zoo.fields(), BOTH, UNITS, evolution=evolution), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    e, valid, q = oracle.history(x, w)
    states = _states(e, valid, w)
    asked = q @ w["dnn_attention_default/kernel"]  # eq. 8
    interest = np.stack(
        [
            reference(
                states[i],
                oracle.masked(states[i] @ asked[i], valid[i]),
                valid[i],
                w,
                evolution,
                "dnn_evolution_default/",
            )
            for i in range(9)
        ]
    )
    logit = oracle.logit(model, x)
    expected = oracle.with_interest(x, w, interest, UNITS)
    close(logit, expected, terms=1_000)


def test_parameters():
    h, plain = 12, 4 + 3 + 5 + 8 + 4 + 2 + 2
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    width = plain + h
    mlp = width * 200 + 200 + 200 * 80 + 80 + 80 + 1 + (200 + 80)
    networks = 6 * h**2 + 6 * h + h**2 + 6 * h**2 + 3 * h
    weights = dien(zoo.fields()).trainable_weights
    assert sum(int(np.prod(v.shape)) for v in weights) == tables + mlp + networks


def test_order_matters():
    model = dien(zoo.fields(), BOTH)
    zoo.jitter(model)
    x = zoo.take(zoo.rows(40), slice(None))
    x["seen"][:, :2], x["seen_category"][:, :2] = [3, 9], [1, 2]
    turned = {**x}
    for name in ("seen", "seen_category"):
        turned[name] = x[name].copy()
        turned[name][:, :2] = x[name][:, 1::-1]
    one, other = (oracle.logit(model, rows) for rows in (x, turned))
    assert (np.abs(one - other) > 1e-4).all()


def _auxiliary(model, x):
    """The auxiliary loss of the only group, without its weight."""
    model({name: keras.ops.convert_to_tensor(x[name]) for name in model.input})
    return float(model.get_layer("dnn_interest_default").loss({}, {}, x, True))


def _expected(x, w, drawn, drawn_category):
    """Eq. 6, as a mean over steps."""
    e, valid, _ = oracle.history(x, w)
    states = _states(e, valid, w)
    items, kinds = w["embedding_item_id/embeddings"], w["embedding_category/embeddings"]
    other = np.concatenate([items[drawn], kinds[drawn_category]], -1)
    pairs = valid[:, :-1] & valid[:, 1:]
    total = 0.0
    for b, t in zip(*np.nonzero(pairs), strict=True):
        h = states[b, t]
        total += np.log(oracle.sigmoid(h @ e[b, t + 1]))
        total += np.log(1 - oracle.sigmoid(h @ other[b, t]))
    return -total / max(pairs.sum(), 1)


def _fixed_draws(monkeypatch, seed=0, seen=None):
    drawn = np.random.default_rng(seed).integers(1, 30, (20, zoo.LENGTH - 1))
    everywhere = np.ones((20, 1), bool)
    fixed = keras.ops.convert_to_tensor(drawn, "int32"), everywhere

    def draw(not_these, *_):
        if seen is not None:
            np.testing.assert_array_equal(not_these, seen)
        return fixed

    monkeypatch.setattr(module, "draw_unseen", draw)
    return drawn


@pytest.mark.parametrize("catalogue", [False, True])
def test_the_auxiliary_loss(monkeypatch, catalogue):
    kinds = np.arange(30) % 6 + 1
    known = {"seen_category": kinds} if catalogue else None
    model, x = dien(zoo.fields(), catalogue=known), zoo.rows(20)
    zoo.jitter(model)
    drawn = _fixed_draws(monkeypatch, seen=x["seen"])
    of_drawn = kinds[drawn] if catalogue else x["seen_category"][:, 1:]
    expected = _expected(x, oracle.values(model), drawn, of_drawn)
    close(_auxiliary(model, x), expected, terms=100)


def test_what_is_drawn_where_no_pair_is_does_not_matter(monkeypatch):
    model, x = dien(zoo.fields()), zoo.rows(20)
    drawn = _fixed_draws(monkeypatch)
    before = _auxiliary(model, x)
    pairs = (x["seen"][:, :-1] != 0) & (x["seen"][:, 1:] != 0)
    changed = keras.ops.convert_to_tensor(np.where(pairs, drawn, 7), "int32")
    everywhere = np.ones((20, 1), bool)
    monkeypatch.setattr(module, "draw_unseen", lambda *_: (changed, everywhere))
    assert _auxiliary(model, x) == before


def test_a_history_of_one_has_no_auxiliary_loss():
    model, x = dien(zoo.fields()), zoo.rows(5)
    for name in ("seen", "seen_category"):
        x[name] = x[name] * 0
        x[name][:, 2] = 3
    assert _auxiliary(model, x) == 0


def test_it_is_added_to_the_loss_of_training_and_not_to_predictions():
    plain, model = dien(zoo.fields(), auxiliary=0.0), dien(zoo.fields(), auxiliary=0.5)
    w = oracle.values(model)
    for weight in plain.weights:
        weight.assign(w[weight.path])
    x, y = zoo.rows(32), zoo.labels("rank", 32)
    np.testing.assert_array_equal(
        plain.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    losses = []
    for each in (plain, model):
        each.compile("sgd", "binary_crossentropy")
        losses.append(each.evaluate(x, y, batch_size=32, verbose=0))
    near = 2 * np.log(2)  # new embeddings tell nothing apart
    assert losses[1] - losses[0] == pytest.approx(0.5 * near, rel=0.02)


@pytest.mark.all
def test_the_auxiliary_loss_learns_which_item_comes_next():
    """Of two items that take turns the next is known; labels are noise."""
    rng = np.random.default_rng(0)
    first = rng.integers(1, 20, 512)
    seen = np.stack([first, first + 20] * 3, axis=1)
    x = {"item": rng.integers(1, 40, 512), "seen": seen}
    fields = [
        Field("item", vocabulary_size=40, dim=8, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    model = dien(fields)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    fit = model.fit(x, rng.integers(0, 2, 512), epochs=30, batch_size=64, verbose=0)
    assert fit.history["loss"][-1] < fit.history["loss"][0] - 0.5


def test_a_catalogue_that_does_not_fit():
    with pytest.raises(ValueError, match=r"'seen_category'.*30 items.*shape \(5,\)"):
        dien(zoo.fields(), catalogue={"seen_category": np.ones(5)})


def test_a_target_of_another_width():
    fields = [
        replace(f, emb="other", vocabulary_size=9, dim=3) if f.name == "seen" else f
        for f in zoo.fields()
        if f.name != "seen_category"
    ]
    with pytest.raises(ValueError, match="dien compares.*target of width 12"):
        dien(fields)
