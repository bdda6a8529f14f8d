"""GRU4Rec against equations 1-4 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.gru4rec import gru4rec
from tests import oracle, zoo
from tests.close import close
from tests.match.test_sasrec import steps
from tests.oracle import sigmoid

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

UNITS = (7, 5)


def _model(**kwargs):
    model = gru4rec(zoo.fields(), UNITS, num_negatives=None, **kwargs)
    zoo.jitter(model)
    return model


def _gru(x, w, name, units):
    """Eq. 1-4 as Keras' GRU: the reset is applied behind the recurrent product."""
    kernel, recurrent = w[f"{name}/kernel"], w[f"{name}/recurrent_kernel"]
    assert kernel.shape == (x.shape[1], 3 * units)
    bias, h, states = w[f"{name}/bias"], np.zeros(units), []
    for v in x:
        a, b = v @ kernel + bias[0], h @ recurrent + bias[1]
        z, r = sigmoid((a + b)[:units]), sigmoid((a + b)[units : 2 * units])
        candidate = np.tanh(a[2 * units :] + r * b[2 * units :])
        h = z * h + (1 - z) * candidate
        states.append(h)
    return np.array(states)


def _states(ids, w):
    """Of the items, newest first, the state behind each, newest first."""
    x = w["embedding_item_id/embeddings"][ids[::-1]]
    for i, units in enumerate(UNITS):
        x = _gru(x, w, f"dnn_gru/gru_{i}/gru_cell", units)
    return x[::-1]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.oracle
def test_it_computes_the_paper(use_bias):
    model, x = _model(use_bias=use_bias), zoo.rows(12)
    w = oracle.weights(model)
    items = w["embedding_output__item_id/embeddings"]
    bias = w["embedding_bias__item_id/embeddings"][:, 0] if use_bias else np.zeros(30)
    score, losses = bias[x["item_id"]].copy(), []
    for row, (ids, following) in enumerate(steps(x)):
        if not len(ids):
            continue
        scores = _states(ids, w) @ items.T + bias
        score[row] = scores[0, x["item_id"][row]]
        for s, positive in zip(scores, following, strict=True):
            losses.append(np.log(np.exp(s[1:]).sum()) - s[positive])
    close(model.predict(x, verbose=0)[:, 0], score, terms=1_000)
    model.compile("sgd")
    found = model.evaluate(x, batch_size=12, verbose=0)
    close(found, np.mean(losses), terms=1_000)


SLOW = [pytest.param(loss, marks=pytest.mark.all) for loss in ("bpr_max", "top1")]


@pytest.mark.parametrize("loss", ["bpr", *SLOW])
def test_it_learns_an_order_by_every_loss(loss):
    start = np.random.default_rng(0).integers(0, 30, 1500)
    walk = (start[:, None] + np.arange(5) * 7) % 30 + 1
    fields = [
        Field("item", vocabulary_size=31, dim=16, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    x = {"item": walk[:, 4], "seen": np.pad(walk[:, :4], ((0, 0), (0, 2)))}
    model = gru4rec(fields, (32,), loss=loss, num_negatives=20)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=100, epochs=8, verbose=0)
    ids, _ = model.recommend({"seen": x["seen"][:200]}, k=1)
    assert (ids[:, 0] == x["item"][:200]).mean() > 0.9


def test_parameters():
    grus = 3 * (8 * 7 + 7 * 7 + 14) + 3 * (7 * 5 + 5 * 5 + 10)
    assert _model().count_params() == 30 * 8 + grus + 30 * 5 + 30


def test_errors():
    with pytest.raises(ValueError, match="loss must be one of"):
        _model(loss="hinge")
