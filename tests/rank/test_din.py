"""DIN against figure 2 and eq. 3 of the paper, and what it claims."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recsys import Field, Task
from recsys.layers.activation_unit import AttentionLayer
from recsys.rank.din import din
from tests import oracle, zoo
from tests.close import close

PLAIN = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]


def _model(**kwargs):
    model = din(zoo.fields(), **kwargs)
    zoo.jitter(model)
    return model


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    w = oracle.weights(model)
    concat = np.concatenate(
        [oracle.columns(PLAIN, x, w), oracle.zoo_attention(x, w)], -1
    )
    logit = oracle.tower(concat, w, "dnn_mlp", (100, 64), "dice")
    close(model.predict(x, verbose=0), oracle.sigmoid(logit), terms=1_000)


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12
    unit = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)  # and Dice's alphas
    mlp = width * 100 + 100 + 100 * 64 + 64 + 64 + 1 + (100 + 64)
    trainable = sum(int(np.prod(v.shape)) for v in _model().trainable_weights)
    assert trainable == tables + unit + mlp


def _unit(**kwargs):
    layer = AttentionLayer((8,), **kwargs)
    rng = np.random.default_rng(0)
    query, history = rng.normal(size=(3, 4)), rng.normal(size=(3, 5, 4))
    layer([query, history])
    for weight in layer.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape))
    return layer, query, history


def test_behaviour_that_repeats_counts_twice_unless_weights_are_normalised():
    layer, query, history = _unit()
    once, twice = layer([query, history]), layer([query, np.tile(history, (1, 2, 1))])
    close(twice, 2 * once, terms=1_000)
    layer, query, history = _unit(softmax=True)
    once, twice = layer([query, history]), layer([query, np.tile(history, (1, 2, 1))])
    close(twice, once, terms=1_000)


def test_a_constant_weight_is_sum_pooling():
    layer, query, history = _unit()
    layer.score.kernel.assign(layer.score.kernel * 0)
    layer.score.bias.assign([0.7])
    close(layer([query, history]), 0.7 * history.sum(1), terms=100)


def test_the_order_of_behaviours_does_not_matter():
    layer, query, history = _unit()
    close(layer([query, history]), layer([query, history[:, ::-1]]), terms=1_000)


def test_a_single_behaviour_has_weight_one_with_softmax():
    layer, query, history = _unit(softmax=True)
    valid = np.zeros((3, 5), bool)
    valid[:, 2] = True
    close(layer([query, history], valid=valid), history[:, 2], terms=100)


def test_padding_is_in_no_statistic_of_training():
    rng = np.random.default_rng(0)
    query, history = rng.normal(size=(6, 4)), rng.normal(size=(6, 5, 4))
    valid = np.arange(5) < rng.integers(0, 6, (6, 1))
    found = []
    for content in (history, np.where(valid[..., None], history, 99)):
        keras.utils.set_random_seed(0)
        unit = AttentionLayer((7, 3), "dice")
        inputs = [query.astype("float32"), content.astype("float32")]
        pooled = unit(inputs, valid=valid, training=True)
        moved = [weight.numpy() for weight in unit.non_trainable_weights]
        found.append([np.asarray(pooled), *moved])
    for one, other in zip(*found, strict=True):
        close(one, other, terms=100)


@pytest.mark.parametrize("softmax", [False, True])
def test_an_empty_history_is_zero(softmax):
    layer, query, history = _unit(softmax=softmax)
    pooled = layer([query, history], valid=np.zeros((3, 5), bool))
    np.testing.assert_array_equal(pooled, np.zeros((3, 4)))


def test_histories_of_two_groups_get_two_units():
    fields = [
        Field("i", vocabulary_size=9, belong="item"),
        Field("clicks", emb="i", length=3, belong="history", group="clicks"),
        Field("carts", emb="i", length=5, belong="history", group="carts"),
    ]
    names = {layer.name for layer in din(fields).layers}
    assert {"dnn_his_attention_clicks", "dnn_his_attention_carts"} <= names


def test_it_needs_a_history():
    with pytest.raises(ValueError, match="belong='history'.*'user'"):
        din([Field("u", vocabulary_size=9)])


def test_a_target_of_another_width_needs_query_ffn():
    fields = [
        Field("i", vocabulary_size=9, dim=4, belong="item"),
        Field("h", vocabulary_size=9, dim=6, length=3, belong="history"),
    ]
    with pytest.raises(ValueError, match="query_ffn=True"):
        din(fields)
    assert din(fields, query_ffn=True).predict(
        {"i": np.array([1]), "h": np.array([[1, 2, 0]])}, verbose=0
    ).shape == (1, 1)


def test_a_multiclass_task():
    model = din(zoo.fields(), Task("kind", "multiclass", 3))
    model.compile("adam", "crossentropy", metrics=["accuracy"])
    y = np.random.default_rng(0).integers(0, 3, 40)
    model.fit(zoo.rows(40), y, verbose=0)
    p = model.predict(zoo.rows(40), verbose=0)
    assert p.shape == (40, 3)
    close(p.sum(1), np.ones(40), terms=100)


def test_mini_batch_aware_regularization():
    """Section 5.1: lambda / (2 n_j) ||w_j||^2, once for each id of the batch."""
    counts = np.arange(1, 31)
    fields = [
        replace(f, l2_reg=0.4, counts=counts) if f.name == "item_id" else f
        for f in zoo.fields()
    ]
    model = din(fields)
    model.compile("sgd", "binary_crossentropy")
    x, y = zoo.rows(16), zoo.labels("rank", 16)
    feed = {name: keras.ops.convert_to_tensor(x[name]) for name in model.input}
    loss = {
        training: float(
            model.compute_loss(feed, y, model(feed, training=True), training=training)
        )
        for training in (True, False)
    }
    ids = np.unique(np.concatenate([x["item_id"], x["seen"][x["seen"] > 0]]))
    table = oracle.values(model)["embedding_item_id/embeddings"]
    expected = 0.4 / 2 * ((table[ids] ** 2).sum(1) / counts[ids]).sum()
    # A training step of Dice also moves its statistics, hence two forward passes.
    assert loss[True] - loss[False] == pytest.approx(expected, rel=1e-3)


def test_it_learns_what_in_the_history_matters():
    """The label asks whether the target was seen: pooling alone cannot tell."""
    rng = np.random.default_rng(0)
    n = 4000
    seen = rng.integers(1, 40, (n, 6))
    y = rng.integers(0, 2, n)
    other = rng.integers(1, 40, n)
    item = np.where(y == 1, seen[np.arange(n), rng.integers(0, 6, n)], other)
    y = (seen == item[:, None]).any(1).astype("float32")
    fields = [
        Field("item", vocabulary_size=40, dim=8, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    model = din(fields)
    model.compile(
        keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"]
    )
    x = {"item": item, "seen": seen}
    model.fit(x, y, epochs=12, batch_size=200, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.95
