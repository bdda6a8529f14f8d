"""DLRM against section 2 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.dlrm import DotInteraction, dlrm
from tests import oracle, planted, zoo
from tests.close import close

IDS = ["user_id", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
UNITS = (8, 6)


def _model(**kwargs):
    kwargs = {"bottom_hidden_units": (5,), "hidden_units": UNITS, **kwargs}
    model = dlrm(zoo.fields(dim=4), LOGIT, **kwargs)
    zoo.jitter(model)
    return model


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    w = oracle.weights(model)
    numbers = np.concatenate([x["age"][:, None], x["scores"]], -1)
    bottom = oracle.mlp(numbers, w, "dnn_bottom_mlp", (5, 4))
    history = oracle.zoo_attention(x, w)
    vectors = [bottom, *(oracle.column(n, x, w, "embedding_") for n in IDS)]
    vectors += [history[:, :4], history[:, 4:]]
    # Section 2.1.3.
    dots = [(a * b).sum(-1) for a, b in itertools.combinations(vectors, 2)]
    top = np.concatenate([bottom, np.stack(dots, -1)], -1)
    logit = oracle.tower(top, w, "dnn_top_mlp", UNITS)
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_parameters():
    tables = (40 + 12 + 30 + 7 + 24) * 4
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    bottom = 3 * 5 + 5 + 5 * 4 + 4
    top = (4 + 8 * 7 // 2) * 8 + 8 + 8 * 6 + 6 + 6 + 1
    trainable = sum(int(np.prod(v.shape)) for v in _model().trainable_weights)
    assert trainable == tables + attention + bottom + top


def test_without_numbers_the_top_reads_products_only():
    fields = [Field("a", vocabulary_size=9), Field("b", vocabulary_size=9)]
    model = dlrm(fields, LOGIT, hidden_units=())
    zoo.jitter(model)
    x = {"a": np.arange(9), "b": np.arange(9)[::-1].copy()}
    w = oracle.weights(model)
    e = [w[f"embedding_{n}/embeddings"][x[n]] for n in "ab"]
    dot = (e[0] * e[1]).sum(-1, keepdims=True)
    logit = oracle.dense(dot, w, "dnn_top_mlp/logit", 1)
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_the_products_sum_to_a_factorization_machine():
    v = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    fm = 0.5 * (np.square(v.sum(1)) - np.square(v).sum(1)).sum(-1)
    close(np.asarray(DotInteraction()(v)).sum(-1), fm, terms=1_000)


def test_one_vector_forms_no_pair():
    with pytest.raises(ValueError, match="two vectors to form a pair.*Received: 1"):
        dlrm([Field("a", vocabulary_size=9)])


def test_numbers_may_have_another_dim():
    assert dlrm(
        [Field("a", vocabulary_size=9, dim=3), Field("n", dim=7)]
    ).count_params()
    with pytest.raises(ValueError, match="one dim.*'a': 3.*'b': 4"):
        dlrm([Field("a", vocabulary_size=9, dim=3), Field("b", vocabulary_size=9)])


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(dlrm, planted.pairwise, learning_rate=0.05)
