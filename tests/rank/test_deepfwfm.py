"""DeepFwFM against eq. 2 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.deepfwfm import deepfwfm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
UNITS = (8, 6)
TABLES = 40 + 1 + 12 + 30 + 7 + 24
ATTENTION = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
D, F, P = 4, 8, 28


def _logit(model, x):
    return oracle.logit(model, x)


def _trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = deepfwfm(zoo.fields(dim=D), LOGIT, hidden_units=UNITS), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    e = oracle.attended_embeddings(x, w, D)
    pairs = itertools.combinations(e, 2)
    second = sum(
        r * (a * b).sum(-1, keepdims=True)
        for r, (a, b) in zip(w["dnn_fwfm/r"], pairs, strict=True)
    )
    deep = np.concatenate([*e[:6], x["scores"], *e[6:]], -1)
    expected = oracle.first_order(x, w) + second
    expected += oracle.tower(deep, w, "dnn_mlp", UNITS, bias=False)
    close(_logit(model, x), expected, terms=1_000)


def test_parameters():
    model = deepfwfm(zoo.fields(dim=D), hidden_units=(8,))
    mlp = (F * D + 2) * 8 + 8 + 8
    assert _trainable(model) == TABLES * (D + 1) + 2 + 1 + P + ATTENTION + mlp


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(deepfwfm, planted.pairwise)
