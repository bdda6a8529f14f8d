"""FM against eq. 1 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.fm import fm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
TABLES = 40 + 1 + 12 + 30 + 7 + 24
D = 4


def _logit(model, x):
    return oracle.logit(model, x)


def _trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = fm(zoo.fields(dim=D), LOGIT), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    pairs = itertools.combinations(oracle.fm_embeddings(x, w), 2)
    second = sum((a * b).sum(-1, keepdims=True) for a, b in pairs)
    expected = oracle.first_order(x, w) + second  # eq. 1
    close(_logit(model, x), expected, terms=100)


def test_parameters():
    assert _trainable(fm(zoo.fields(dim=D))) == TABLES * (D + 1) + 2 + 1


def test_a_field_of_zeros_changes_nothing_and_scale_counts_twice():
    model, x = fm(zoo.fields(dim=D), LOGIT), zoo.rows(9)
    zoo.jitter(model)
    tables = [w for w in model.weights if not w.path.startswith("embedding_linear")]
    first = oracle.first_order(x, oracle.values(model))
    before = _logit(model, x) - first
    for table in tables:
        if table.path.startswith("embedding_"):
            table.assign(table * 3)
    close(_logit(model, x) - first, 9 * before, terms=10_000)


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(fm, planted.pairwise, learning_rate=0.05)
