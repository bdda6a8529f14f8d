"""FEFM against eq. 5-7 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.fefm import fefm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
TABLES = 40 + 1 + 12 + 30 + 7 + 24
D, P = 4, 28


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
    model, x = fefm(zoo.fields(dim=D), LOGIT), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    second = _pairs(oracle.fm_embeddings(x, w), w).sum(-1, keepdims=True)
    expected = oracle.first_order(x, w) + second
    close(_logit(model, x), expected, terms=1_000)


def test_parameters():
    assert _trainable(fefm(zoo.fields(dim=D))) == TABLES * (D + 1) + 2 + 1 + P * D * D


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(fefm, planted.pairwise, learning_rate=0.05)
