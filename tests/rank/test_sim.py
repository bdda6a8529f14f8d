"""SIM against equations 1-8 of the paper."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Task
from recsys.rank.sim import sim
from tests import oracle, zoo
from tests.close import close
from tests.rank.test_tin import TIMED, ranks, timed

BOTH = Task("ctr", return_logit=True)
HEADS, TIME, UNITS = 2, 4, (8, 4)


def _relevance(e, q, w):
    """Eq. 1, projected to the width of a behaviour."""
    for name in ("w_a", "w_b"):
        assert w[f"dnn_search_default/{name}"].shape == (8 + 4, 8 + 4)
    asked = q @ w["dnn_search_default/w_a"]
    return np.einsum("bld,du,bu->bl", e, w["dnn_search_default/w_b"], asked)


def _interest(x, w, scores, candidates, k, times):
    """Eq. 5 and 6, a head after the other."""
    e, _, q = oracle.history(x, w)
    table = w["embedding_time__default/embeddings"]
    w_a, w_b = w["dnn_exact_default/w_a"], w["dnn_exact_default/w_b"]
    width = 8 + 4 + TIME
    assert w_a.shape == (HEADS, 8 + 4, width // HEADS)
    assert w_b.shape == (HEADS, width, width // HEADS)
    rows = []
    for row in range(len(e)):
        newest = np.flatnonzero(candidates[row])[::-1]
        found = newest[np.argsort(-scores[row][newest], kind="stable")][:k]
        z = np.concatenate([e[row, found], table[times[row][found]]], axis=-1)
        heads = []
        for a, b in zip(w_a, w_b, strict=True):
            s = (z @ b) @ (q[row] @ a)
            heads.append(oracle.masked(s, np.ones(len(s), bool)) @ z)
        rows.append(np.concatenate(heads))
    return np.stack(rows)


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("search", ["soft", "hard"])
@pytest.mark.parametrize("k", [2, 50])
@pytest.mark.oracle
def test_it_computes_the_paper(search, k, times):
    sizes = {"k": k, "num_heads": HEADS, "time_dim": TIME}
    fields = TIMED if times else zoo.fields()
    model = sim(fields, BOTH, UNITS, search=search, **sizes)
    zoo.jitter(model)
    x, w = timed(24), oracle.weights(model)
    valid = x["seen"] != 0
    when = x["age_of"] if times else np.where(valid, ranks(valid), 0)
    e, _, q = oracle.history(x, w)
    if search == "soft":
        scores, candidates = _relevance(e, q, w), valid
        w.beside("dnn_search_mlp_default")  # of the search's own loss
    else:
        candidates = valid & (x["seen_category"] == x["category"][:, None])
        scores = np.zeros(valid.shape)
    assert candidates.any()
    interest = _interest(x, w, scores, candidates, k, when)
    expected = oracle.with_interest(x, w, interest, UNITS)
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def test_the_search_has_a_loss_of_its_own():
    x, y = zoo.rows(32), zoo.labels("rank", 32)
    y = np.where(np.arange(32) % 5 == 0, np.nan, y)
    plain, model = (
        sim(zoo.fields(), hidden_units=UNITS, search_weight=each) for each in (0, 0.5)
    )
    zoo.jitter(model, 0.2)
    w = oracle.weights(model)
    for weight in plain.weights:
        weight.assign(w[weight.path])
    losses = []
    for each in (plain, model):
        each.compile("sgd", "binary_crossentropy")
        losses.append(each.evaluate(x, y, batch_size=32, verbose=0))
    e, valid, q = oracle.history(x, w)
    summed = np.einsum("bl,bld->bd", _relevance(e, q, w) * valid, e)
    features = np.concatenate([summed, q, oracle.columns(oracle.PLAIN, x, w)], -1)
    z = oracle.tower(features, w, "dnn_search_mlp_default", UNITS, "dice")[:, 0]
    here = ~np.isnan(y)
    own = (np.logaddexp(0, z) - np.nan_to_num(y) * z)[here].mean()
    close(losses[1] - losses[0], 0.5 * own, terms=1_000)


def _table_gradient(model, x, y):
    model.compile("sgd", "binary_crossentropy")
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(feed, y, model(feed, training=True))
    table = model.get_layer("embedding_item_id").embeddings.value
    return tf.convert_to_tensor(tape.gradient(loss, table)).numpy()


def test_what_is_not_found_gets_no_gradient():
    x, y = zoo.rows(1, seed=4), np.array([1])
    x["seen"], x["item_id"] = np.array([[11, 12, 13, 14, 15, 16]]), np.array([20])
    x["seen_category"], x["category"] = np.array([[1, 2, 2, 1, 2, 3]]), np.array([2])
    model = sim(zoo.fields(), search="hard", k=2)
    zoo.jitter(model)
    touched = np.flatnonzero(np.abs(_table_gradient(model, x, y)).max(1))
    assert list(touched) == [13, 15, 20]  # the two most recent of category 2


def test_the_hard_search_may_compare_another_attribute():
    model = sim(zoo.fields(), search="hard", category="item_id")
    same = model.get_layer("dnn_search_default")
    names = [t._keras_history.operation.name for t in same.input]
    assert names[:2] == ["item_id", "seen"]
    with pytest.raises(ValueError, match="item field 'brand'"):
        sim(zoo.fields(), search="hard", category="brand")


def test_a_short_history_beside_it():
    short = [
        f.__class__(**{**f.__dict__, "name": f"last_{f.name}", "group": "last"})
        for f in zoo.fields()
        if f.belong == "history"
    ]
    model = sim([*zoo.fields(), *short], short_groups=["last"])
    names = {layer.name for layer in model.layers}
    assert {"dnn_his_attention_last", "dnn_exact_default"} <= names
    assert not {"dnn_exact_last", "dnn_his_attention_default"} & names
    with pytest.raises(ValueError, match=r"no history group \['recent'\]"):
        sim(zoo.fields(), short_groups=["recent"])


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="search='fuzzy'"):
        sim(zoo.fields(), search="fuzzy")
    with pytest.raises(ValueError, match="set search_weight to 0"):
        sim(zoo.fields(), Task("stars", "regression"))
    sim(zoo.fields(), Task("stars", "regression"), search_weight=0)
