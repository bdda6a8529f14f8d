"""HSTU for retrieval; its layer is tested with the ranking model."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.hstu import hstu
from tests import oracle, zoo
from tests.close import close
from tests.match.test_sasrec import steps

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

HEADS, QK, V = 2, 3, 5


def _model(fields=None, **kwargs):
    kwargs = {"num_negatives": None, "dropout": 0.0, "qk_dim": QK, "v_dim": V, **kwargs}
    model = hstu(fields or zoo.fields(), 2, HEADS, **kwargs)
    zoo.jitter(model)
    return model


def _silu(z):
    return z * oracle.sigmoid(z)


def _layer(x, w, name, ages=None):
    """Eq. 1-3, newest first, of the 6 places a history has."""
    width, normed = 2 * HEADS * (V + QK), oracle.norm(x, w, f"{name}/norm")
    parts = _silu(oracle.dense(normed, w, f"{name}/w1", width, bias=False))
    u, v, q, k = np.split(parts, [10, 20, 26], axis=1)
    av = np.zeros((len(x), HEADS * V))
    for h in range(HEADS):
        for i in range(len(x)):
            for j in range(i, len(x)):
                a = q[i, 3 * h : 3 * h + 3] @ k[j, 3 * h : 3 * h + 3] / np.sqrt(3)
                a += w[f"{name}/by_distance"][j - i]
                if ages is not None:
                    a += w[f"{name}/by_time"][max(ages[j] - ages[i], 0)]
                av[i, 5 * h : 5 * h + 5] += _silu(a) / 6 * v[j, 5 * h : 5 * h + 5]
    gated = oracle.norm(av, w, f"{name}/norm_av") * u
    return x + oracle.dense(gated, w, f"{name}/w2", x.shape[1], bias=False)


def _states(ids, w, ages=None):
    x = np.sqrt(8) * w["embedding_item_id/embeddings"][ids]
    x = x + w["dnn_positioned/positions"][: len(ids)]
    for i in range(2):
        x = _layer(x, w, f"dnn_hstu_{i}", ages)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(timed):
    x, fields = zoo.rows(12), zoo.fields()
    if timed:
        fields.append(
            Field("age_of", vocabulary_size=9, role="time", length=6, belong="history")
        )
        ages = np.sort(np.random.default_rng(0).integers(1, 9, (12, 6)))[:, ::-1]
        x["age_of"] = np.where(x["seen"] > 0, ages, 0)
    model = _model(fields)
    w = oracle.weights(model)
    items = w["embedding_item_id/embeddings"]
    items = items / np.linalg.norm(items, axis=1, keepdims=True)
    score, losses = np.zeros(12), []
    for row, (ids, following) in enumerate(steps(x)):
        if not len(ids):
            continue
        ages = x["age_of"][row][: len(ids)][::-1] if timed else None
        scores = _states(ids, w, ages) @ items.T
        score[row] = scores[0, x["item_id"][row]]
        for s, positive in zip(scores / 0.05, following, strict=True):
            losses.append(np.log(np.exp(s[1:]).sum()) - s[positive])
    close(model.predict(x, verbose=0)[:, 0], score, terms=1_000)
    model.compile("sgd")
    found = model.evaluate(x, batch_size=12, verbose=0)
    close(found, np.mean(losses), terms=1_000)


@pytest.mark.all
def test_it_learns_an_order():
    start = np.random.default_rng(0).integers(0, 30, 1500)
    walk = (start[:, None] + np.arange(5) * 7) % 30 + 1
    fields = [
        Field("item", vocabulary_size=31, dim=16, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    x = {"item": walk[:, 4], "seen": np.pad(walk[:, :4], ((0, 0), (2, 0)))}
    model = hstu(fields, 1, dropout=0.0, num_negatives=20)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=100, epochs=6, verbose=0)
    ids, _ = model.recommend({"seen": x["seen"][:200]}, k=1)
    assert (ids[:, 0] == x["item"][:200]).mean() > 0.9
