"""BERT4Rec against equations 1-8 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.bert4rec import Cloze, bert4rec
from tests import oracle, zoo
from tests.close import close
from tests.match.test_sasrec import sequences

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")


def _model(**kwargs):
    model = bert4rec(zoo.fields(), 2, 2, dropout=0.0, **kwargs)
    zoo.jitter(model)
    return model


def _gelu(z):
    return z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2


def _guess(tokens, w):
    """Eq. 1-8: logits of the items at each place of one row, newest first."""
    width = tokens.shape[1]
    x = tokens + w["dnn_positioned/positions"][: len(tokens)]
    for i in range(2):
        name = f"dnn_layer_{i}"
        seen = np.ones((len(x), len(x)), bool)
        attended = oracle.attention(
            x, x, seen, 2, w, f"{name}/cross_attention/attention"
        )
        x = oracle.norm(x + attended, w, f"{name}/cross_attention/norm")
        change = _gelu(oracle.dense(x, w, f"{name}/ffn/expand", 4 * width))
        change = oracle.dense(change, w, f"{name}/ffn/contract", width)
        x = oracle.norm(x + change, w, f"{name}/ffn/norm")
    items = w["embedding_item_id/embeddings"]
    bias = w["embedding_bias__item_id/embeddings"][:, 0]
    return _gelu(oracle.dense(x, w, "dnn_project", width)) @ items.T + bias


def _served(x, w):
    items = w["embedding_item_id/embeddings"]
    for ids in sequences(x):
        tokens = np.concatenate([w["dnn_cloze/mask"][None], items[ids]])
        yield _guess(tokens, w)[0]


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(12)
    logits = np.stack([*_served(x, oracle.weights(model))])
    score = logits[np.arange(12), x["item_id"]]
    close(model.predict(x, verbose=0)[:, 0], score, terms=1_000)
    # Evaluation guesses the item of the row.
    model.compile("sgd")
    losses = np.log(np.exp(logits[:, 1:]).sum(axis=1)) - score
    found = model.evaluate(x, batch_size=12, verbose=0)
    close(found, losses.mean(), terms=1_000)


def test_training_guesses_what_is_masked():
    """With every item masked, only the places differ."""
    model, x = _model(mask_probability=1.0), zoo.rows(12)
    w, losses = oracle.weights(model), []
    for ids, target in zip(sequences(x), x["item_id"], strict=True):
        guessed = [target, *ids]
        logits = _guess(np.repeat(w["dnn_cloze/mask"][None], len(guessed), axis=0), w)
        log_z = np.log(np.exp(logits[:, 1:]).sum(axis=1))
        losses += [*(log_z - logits[np.arange(len(guessed)), guessed])]
    model.compile(keras.optimizers.SGD(0.0))
    found = model.fit(x, batch_size=12, verbose=0).history["loss"][0]
    close(found, np.mean(losses), terms=1_000)


def test_the_cloze_hides_a_share_and_one_at_least():
    layer = Cloze(0.3)
    rng = np.random.default_rng(0)
    ids = [rng.integers(1, 9, (4000, 5)), rng.integers(1, 9, 4000)]
    valid = np.arange(5) < rng.integers(0, 6, (4000, 1))
    e = [v[..., None].astype("float32") + np.zeros(3, "f") for v in ids]
    served, there = (np.asarray(v) for v in layer(e[:1], valid=valid))
    trained, guessed = (
        np.asarray(v) for v in layer(e, valid=valid, ids=ids, training=True)
    )
    everything = np.concatenate([ids[1][:, None], ids[0]], axis=1)
    hidden = guessed > 0
    np.testing.assert_array_equal(guessed[hidden], everything[hidden])
    assert not (hidden & ~there).any()
    assert hidden.any(axis=1).all()
    np.testing.assert_array_equal(trained[~hidden][:, 0], everything[~hidden])
    assert (trained[hidden] == layer.mask.numpy()).all()
    assert (served[:, 0] == layer.mask.numpy()).all()
    assert hidden[:, 1:][valid].mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.all
def test_it_learns_an_order():
    start = np.random.default_rng(0).integers(0, 30, 1500)
    walk = (start[:, None] + np.arange(5) * 7) % 30 + 1
    fields = [
        Field("item", vocabulary_size=31, dim=16, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    x = {"item": walk[:, 4], "seen": np.pad(walk[:, :4], ((0, 0), (2, 0)))}
    model = bert4rec(fields, 1, dropout=0.0, mask_probability=0.4)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=100, epochs=20, verbose=0)
    ids, _ = model.recommend({"seen": x["seen"][:200]}, k=1)
    assert (ids[:, 0] == x["item"][:200]).mean() > 0.9


def test_errors():
    with pytest.raises(ValueError, match=r"probability must be in \(0, 1\]"):
        _model(mask_probability=0.0)
