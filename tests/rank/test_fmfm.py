"""FmFM against eq. 5-7 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.fmfm import fmfm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
TABLES = 40 + 1 + 12 + 30 + 7 + 24
D, F, P = 4, 8, 28


def _logit(model, x):
    return oracle.logit(model, x)


def _trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


WIDTHS = [4, 3, 5, 8, 4, 2, 8, 4]


@pytest.mark.oracle
def test_it_computes_the_paper_with_fields_of_any_width():
    model, x = fmfm(zoo.fields(), LOGIT), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    e = oracle.fm_embeddings(x, w)
    assert [v.shape[1] for v in e] == WIDTHS
    second = 0  # eq. 6
    for i, j in itertools.combinations(range(F), 2):
        start = sum(WIDTHS[i + 1 : j])
        m = w[f"dnn_fmfm/kernel_{i}"][:, start : start + WIDTHS[j]]
        second += ((e[i] @ m) * e[j]).sum(-1, keepdims=True)
    expected = oracle.first_order(x, w) + second
    close(_logit(model, x), expected, terms=1_000)


def test_vectors_are_diagonal_matrices():
    model, x = fmfm(zoo.fields(dim=D), LOGIT, kernel="vector"), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    pairs = itertools.combinations(oracle.fm_embeddings(x, w), 2)
    m = w["dnn_fvfm/m"]
    second = sum(
        (a * m[p] * b).sum(-1, keepdims=True) for p, (a, b) in enumerate(pairs)
    )
    expected = oracle.first_order(x, w) + second
    close(_logit(model, x), expected, terms=100)


def test_parameters():
    matrices = sum(a * b for a, b in itertools.combinations(WIDTHS, 2))
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    assert _trainable(fmfm(zoo.fields())) == tables + TABLES + 2 + 1 + matrices
    vectors = fmfm(zoo.fields(dim=D), kernel="vector")
    assert _trainable(vectors) == TABLES * (D + 1) + 2 + 1 + P * D


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'matrix' or 'vector'. Received: kernel='x'"):
        fmfm(zoo.fields(), kernel="x")
    with pytest.raises(ValueError, match="one dim"):
        fmfm(zoo.fields(), kernel="vector")


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(fmfm, planted.pairwise, learning_rate=0.05)
