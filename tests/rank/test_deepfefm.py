"""DeepFEFM against eq. 8-11 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.deepfefm import deepfefm
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


def _pairs(e, w):
    u = w["dnn_fefm/kernel"]
    matrices, pairs = (u + u.transpose(0, 2, 1)) / 2, itertools.combinations(e, 2)
    return np.stack(
        [
            np.einsum("ba,ac,bc->b", a, matrix, b)
            for matrix, (a, b) in zip(matrices, pairs, strict=True)
        ],
        axis=1,
    )


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = deepfefm(zoo.fields(dim=D), LOGIT, hidden_units=UNITS), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    e = oracle.attended_embeddings(x, w, D)
    s = _pairs(e, w)
    deep = np.concatenate([*e[:6], x["scores"], *e[6:], s], -1)
    expected = oracle.first_order(x, w) + s.sum(-1, keepdims=True)
    expected += oracle.tower(deep, w, "dnn_mlp", UNITS, bias=False)
    close(_logit(model, x), expected, terms=1_000)


def test_parameters():
    model = deepfefm(zoo.fields(dim=D), hidden_units=(8,))
    mlp = (F * D + 2 + P) * 8 + 8 + 8
    own = P * D * D + ATTENTION + mlp
    assert _trainable(model) == TABLES * (D + 1) + 2 + 1 + own


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(deepfefm, planted.pairwise)
