"""FwFM against eq. 3-6 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.fwfm import fwfm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
TABLES = 40 + 1 + 12 + 30 + 7 + 24
D, F, P = 4, 8, 28


def _logit(model, x):
    return oracle.logit(model, x)


def _trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def _second(x, w):
    """Eq. 3."""
    pairs = itertools.combinations(oracle.fm_embeddings(x, w), 2)
    r = w["dnn_fwfm/r"]
    return sum(r[p] * (a * b).sum(-1, keepdims=True) for p, (a, b) in enumerate(pairs))


def _first(x, w, linear):
    if linear == "weight":
        return oracle.first_order(x, w)
    rest = w["dnn_bias/bias"] + x["scores"] @ w["embedding_linear__scores/embeddings"]
    e = np.concatenate(oracle.fm_embeddings(x, w), -1)
    if linear == "field":
        return rest + e @ w["dnn_field_vectors/kernel"]
    table = "embedding_linear_vector__"
    u = [oracle.column(name, x, w, table) for name in oracle.FM_COLUMNS]
    return rest + (e * np.concatenate(u, -1)).sum(-1, keepdims=True)


@pytest.mark.parametrize("linear", ["weight", "feature", "field"])
@pytest.mark.oracle
def test_it_computes_the_paper(linear):
    model, x = fwfm(zoo.fields(dim=D), LOGIT, linear=linear), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    expected = _first(x, w, linear) + _second(x, w)
    close(_logit(model, x), expected, terms=100)


@pytest.mark.parametrize(
    ("linear", "count"),
    [("weight", TABLES), ("feature", TABLES * D), ("field", F * D)],
)
def test_parameters(linear, count):
    model = fwfm(zoo.fields(dim=D), linear=linear)
    assert _trainable(model) == TABLES * D + 2 + 1 + P + count
    without_raw = [f for f in zoo.fields(dim=D) if f.name != "scores"]
    assert _trainable(fwfm(without_raw, linear=linear)) == _trainable(model) - 2


def test_a_weight_of_zero_removes_the_pair():
    model, x = fwfm(zoo.fields(dim=D), LOGIT), zoo.rows(9)
    zoo.jitter(model)
    layer = model.get_layer("dnn_fwfm")
    r = np.zeros((P, 1))
    r[3] = 1  # user_id and category
    layer.r.assign(r)
    w = oracle.weights(model)
    e = oracle.fm_embeddings(x, w)
    second = w["dnn_fwfm/r"][3] * (e[0] * e[4]).sum(-1, keepdims=True)
    expected = _first(x, w, "field") + second
    close(_logit(model, x), expected, terms=100)


def test_another_first_order_is_refused():
    with pytest.raises(ValueError, match="'feature' or 'field'. Received: linear='x'"):
        fwfm(zoo.fields(dim=D), linear="x")


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(fwfm, planted.pairwise, learning_rate=0.05)
