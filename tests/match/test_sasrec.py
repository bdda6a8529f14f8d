"""SASRec against section III of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.sasrec import sasrec
from tests import oracle, zoo
from tests.close import close
from tests.oracle import sigmoid

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")


def _model(**kwargs):
    kwargs = {"num_negatives": None, "num_heads": 2, "dropout": 0.0, **kwargs}
    model = sasrec(zoo.fields(), **kwargs)
    zoo.jitter(model)
    return model


def sequences(x):
    """The items of each row, the newest first."""
    return [row[np.flatnonzero(row)][::-1] for row in x["seen"]]


def _attend(q, context, w, name, heads):
    """Every behaviour over itself and the older ones, which come behind it."""
    width = q.shape[1]
    parts = [oracle.dense(q, w, f"{name}/query", width)]
    parts += [oracle.dense(context, w, f"{name}/{n}", width) for n in ("key", "value")]
    d = width // heads
    out = np.zeros_like(q)
    for h in range(heads):
        query, key, value = (part[:, h * d : (h + 1) * d] for part in parts)
        for t in range(len(q)):
            shares = np.exp(key[t:] @ query[t] / np.sqrt(d))
            out[t, h * d : (h + 1) * d] = shares / shares.sum() @ value[t:]
    return out


def _states(ids, w, variant, heads=2):
    """Eq. 2-8 of all places, newest first."""
    x = np.sqrt(8) * w["embedding_item_id/embeddings"][ids]
    x = x + w["dnn_positioned/positions"][: len(ids)]
    for i in range(2):
        name = f"dnn_block_{i}"
        q = oracle.norm(x, w, f"{name}/norm_attention")
        if variant == "paper":
            x = x + _attend(q, q, w, name, heads)
        else:
            x = q + _attend(q, x, w, name, heads)
        z = oracle.norm(x, w, f"{name}/norm_ffn")
        change = oracle.relu(oracle.dense(z, w, f"{name}/expand", 8))
        change = oracle.dense(change, w, f"{name}/contract", 8)
        x = (x if variant == "paper" else z) + change
    return oracle.norm(x, w, "dnn_norm/norm")


def steps(x):
    """Of each row: its items, and the item that follows each."""
    for ids, target in zip(sequences(x), x["item_id"], strict=True):
        yield ids, [target, *ids[:-1]]


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.oracle
def test_it_computes_the_paper(variant):
    model, x = _model(variant=variant), zoo.rows(12)
    w = oracle.weights(model)
    items = w["embedding_item_id/embeddings"]
    user, losses = np.zeros((12, 8)), []
    for row, (ids, following) in enumerate(steps(x)):
        if len(ids):
            states = _states(ids, w, variant)
            user[row] = states[0]
        for state, positive in zip(states if len(ids) else [], following, strict=False):
            scores = items @ state
            others = np.setdiff1d(np.arange(1, 30), [*x["seen"][row], positive])
            losses.append(
                -np.log(sigmoid(scores[positive]))
                - np.log(sigmoid(-scores[others])).sum()
            )
    close(model.user_model.predict(x, verbose=0), user, terms=1_000)
    score = (user * items[x["item_id"]]).sum(1, keepdims=True)
    close(model.predict(x, verbose=0), score, terms=1_000)
    model.compile("sgd")
    found = model.evaluate(x, batch_size=12, verbose=0)
    close(found, np.mean(losses), terms=1_000)


def test_the_softmax_is_over_all_items():
    model, x = _model(loss="softmax"), zoo.rows(12)
    w = oracle.weights(model)
    items, losses = w["embedding_item_id/embeddings"], []
    for ids, following in steps(x):
        for t in range(len(ids)):
            scores = items @ _states(ids, w, "paper")[t]
            losses.append(np.log(np.exp(scores[1:]).sum()) - scores[following[t]])
    model.compile("sgd")
    found = model.evaluate(x, batch_size=12, verbose=0)
    close(found, np.mean(losses), terms=1_000)


def test_a_state_knows_nothing_of_later_items():
    import tensorflow as tf

    model = _model()
    block = model.get_layer("dnn_block_0")
    x = tf.Variable(np.random.default_rng(0).normal(size=(1, 6, 8)).astype("f"))
    valid = np.ones((1, 6), bool)
    for t in range(6):  # place t is seen by newer ones, which come before it
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(block(x, valid=valid)[0, t] ** 2)
        moved = np.abs(tape.gradient(y, x)[0]).sum(axis=1) > 0
        np.testing.assert_array_equal(moved, np.arange(6) >= t)


def test_the_next_item_is_learnt_from_one_row_of_each_user():
    """Items follow a cycle; a history of four gives four pairs.

    Seen items are no negatives, so that nothing but `exclude` keeps them out.
    """
    start = np.random.default_rng(0).integers(0, 30, 1500)
    walk = (start[:, None] + np.arange(5) * 7) % 30 + 1
    fields = [
        Field("item", vocabulary_size=31, dim=16, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    x = {"item": walk[:, 4], "seen": np.pad(walk[:, :4], ((0, 0), (2, 0)))}
    model = sasrec(fields, 1, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=100, epochs=12, verbose=0)
    seen = x["seen"][:200]
    ids, _ = model.recommend({"seen": seen}, k=1, exclude=[*walk[:200, :4]])
    assert (ids[:, 0] == x["item"][:200]).mean() > 0.9


def test_parameters():
    d = 8
    block = 5 * (d * d + d) + 4 * d
    trained = sum(int(np.prod(w.shape)) for w in _model().trainable_weights)
    assert trained == 30 * d + 6 * d + 2 * block + 2 * d


def test_errors():
    with pytest.raises(ValueError, match="loss must be 'crossentropy' or 'softmax'"):
        _model(loss="bpr")
    with pytest.raises(ValueError, match="variant must be one of"):
        _model(variant="mine")
    with pytest.raises(ValueError, match="num_heads must divide the width 8"):
        _model(num_heads=3)
    with pytest.raises(ValueError, match="sasrec needs a history that shares"):
        sasrec([Field("item", vocabulary_size=9, belong="item")])


@pytest.mark.all
def test_xla_compiles_the_softmax_of_steps():
    """Without XLA it leaves padded steps out, with it they count as nothing."""
    losses = []
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        model = _model(loss="softmax")
        model.compile("adagrad", jit_compile=jit)
        fit = model.fit(zoo.rows(64), epochs=2, shuffle=False, verbose=0)
        losses.append(fit.history["loss"])
    close(*losses, terms=100)
