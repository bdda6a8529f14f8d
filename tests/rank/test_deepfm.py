"""DeepFM against eq. 1-4 of the paper, and what it claims."""

import itertools

import keras
import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.deepfm import deepfm
from tests import oracle, planted, zoo
from tests.close import close

DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]


def _model(**kwargs):
    model = deepfm(zoo.fields(dim=4), **kwargs)
    zoo.jitter(model)
    return model


def _second_order(e):
    """Eq. 2: the inner products of all pairs."""
    pairs = itertools.combinations(e, 2)
    return sum((i * j).sum(-1, keepdims=True) for i, j in pairs)


def _logit(model, x):
    """First order + second order + MLP, from the equations."""
    w = oracle.weights(model)
    first = oracle.first_order(x, w)
    second = _second_order(oracle.fm_embeddings(x, w))
    deep = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    return first + second + oracle.tower(deep, w, "dnn_mlp", (100, 64), bias=False)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    expected = oracle.sigmoid(_logit(model, x))
    close(model.predict(x, verbose=0), expected, terms=1_000)


def test_the_prediction_is_the_sigmoid_of_the_logit():
    model, x = _model(task=Task("ctr", return_logit=True)), zoo.rows(9)
    out = model.predict(x, verbose=0)
    close(out["logit"], _logit(model, x), terms=1_000)
    close(out["ctr"], oracle.sigmoid(out["logit"]))


def test_parameters():
    tables = 40 + 1 + 12 + 30 + 7 + 24
    scores = 2  # a raw field has a linear weight per number, and no embedding
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    width = 6 * 4 + 2 + 8
    mlp = width * 100 + 100 + 100 * 64 + 64 + 64  # the deep logit has no bias
    model = deepfm(zoo.fields(dim=4))
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables * (4 + 1) + scores + 1 + attention + mlp


def test_without_hidden_units_it_is_a_factorization_machine():
    model, x = _model(hidden_units=()), zoo.rows(9)
    assert not any(w.path.startswith("dnn_mlp") for w in model.weights)
    w = oracle.weights(model)
    first = oracle.first_order(x, w)
    second = _second_order(oracle.fm_embeddings(x, w))
    close(model.predict(x, verbose=0), oracle.sigmoid(first + second), terms=1_000)


def test_both_parts_read_one_table():
    model = _model(task=Task("ctr", return_logit=True))
    x = zoo.take(zoo.rows(9), [0])
    fm_only = _model(hidden_units=(), task=Task("ctr", return_logit=True))
    for name in ("embedding_user_id", "dnn_mlp"):
        before = oracle.logit(model, x)
        weight = model.get_layer(name).trainable_weights[0]
        weight.assign(weight + 0.5)
        assert oracle.logit(model, x) != before
    assert {w.path for w in fm_only.weights} < {w.path for w in model.weights}


def test_the_deep_logit_takes_both_signs():
    model = _model()
    inner = keras.Model(model.input, model.get_layer("dnn_mlp").output)
    deep = inner.predict({name: zoo.rows(64)[name] for name in model.input}, verbose=0)
    assert deep.min() < 0 < deep.max()


def test_two_lists_may_share_fields_and_differ():
    common = [
        Field("u", vocabulary_size=9),
        Field("i", vocabulary_size=9, belong="item"),
    ]
    history = [Field("h", emb="i", length=3, belong="history")]
    model = deepfm(common + history, common + [Field("age", vocabulary_size=5)])
    assert set(model.input) == {"u", "i", "h", "age"}


def test_fields_of_the_interaction_must_have_one_dim():
    with pytest.raises(ValueError, match="one dim.*'user_id': 4.*'age': 3"):
        deepfm(zoo.fields())


def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(
        lambda fields: deepfm(fields, hidden_units=()), planted.pairwise
    )
