"""FFM against eq. 4 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.ffm import ffm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
TABLES = 40 + 1 + 12 + 30 + 7 + 24
D, F = 4, 8


def _logit(model, x):
    return oracle.logit(model, x)


def _trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


@pytest.mark.parametrize("use_linear", [True, False])
@pytest.mark.oracle
def test_it_computes_the_paper(use_linear):
    model, x = ffm(zoo.fields(dim=D), LOGIT, use_linear=use_linear), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    v = [e.reshape(9, F, D) for e in oracle.fm_embeddings(x, w)]
    second = sum(  # eq. 4
        (v[i][:, j] * v[j][:, i]).sum(-1, keepdims=True)
        for i, j in itertools.combinations(range(F), 2)
    )
    scores = x["scores"] @ w["embedding_linear__scores/embeddings"]
    first = oracle.first_order(x, w) if use_linear else w["dnn_bias/bias"] + scores
    close(_logit(model, x), first + second, terms=1_000)


def test_without_first_order_there_is_a_bias():
    fields = [f for f in zoo.fields(dim=D) if f.name != "scores"]
    model = ffm(fields, LOGIT, use_linear=False)
    assert _trainable(model) == TABLES * F * D + 1


def test_parameters_and_the_fields_stay_as_they_are():
    fields = zoo.fields(dim=D)
    for _ in range(2):
        assert _trainable(ffm(fields)) == TABLES * (F * D + 1) + 2 + 1
    assert fields == zoo.fields(dim=D)


def test_widths_are_named_as_the_caller_gave_them():
    with pytest.raises(ValueError, match="one dim.*'user_id': 4, 'age': 3"):
        ffm(zoo.fields())


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(ffm, planted.pairwise, learning_rate=0.05)
