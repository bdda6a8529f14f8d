"""AFM against eq. 2-7 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.afm import PairAttention, afm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
UNITS = 5


def _model():
    model = afm(zoo.fields(dim=4), LOGIT, attention_units=UNITS)
    zoo.jitter(model, 0.5)
    return model


def _pooled(w, x):
    """Eq. 4-6."""
    e = oracle.fm_embeddings(x, w)
    pairs = [i * j for i, j in itertools.combinations(e, 2)]
    name, scores = "dnn_attention", []
    for pair in pairs:
        hidden = oracle.relu(oracle.dense(pair, w, f"{name}/hidden", UNITS))
        scores.append(oracle.dense(hidden, w, f"{name}/score", 1, bias=False))
    score = np.stack(scores, 1)
    a = np.exp(score) / np.exp(score).sum(1, keepdims=True)
    assert a.shape == (len(score), 28, 1)
    return (a * np.stack(pairs, 1)).sum(1)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    w = oracle.weights(model)
    second = oracle.dense(_pooled(w, x), w, "dnn_projection", 1, bias=False)
    out = oracle.logit(model, x)
    close(out, oracle.first_order(x, w) + second, terms=100)


def test_equal_attention_is_the_mean_of_the_pairs():
    v = list(np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32"))
    layer = PairAttention(6)
    layer(v)
    layer.score.kernel.assign(np.zeros((6, 1)))
    bi = 0.5 * (sum(v) ** 2 - sum(e**2 for e in v))
    close(layer(v), bi * 2 / (5 * 4), terms=1_000)


def test_the_order_of_fields_does_not_matter_and_one_pair_has_all_attention():
    v = list(np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32"))
    layer = PairAttention(6)
    close(layer(v), layer(v[::-1]), terms=1_000)
    close(PairAttention(6)(v[:2]), v[0] * v[1])


def test_parameters():
    tables = 40 + 1 + 12 + 30 + 7 + 24
    attention = 4 * 5 + 5 + 5
    assert _model().count_params() == tables * 5 + 2 + 1 + attention + 4


def test_one_field_forms_no_pair():
    with pytest.raises(ValueError, match="two fields.*Received: 1"):
        afm([Field("u", vocabulary_size=9)])


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(afm, planted.pairwise, learning_rate=0.05)
