"""DAT against equations 1-7 of the paper."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field
from recsys.match.dat import dat
from tests import oracle, zoo
from tests.close import close

USER = ["user_id", "age", "tags", "hour", "scores", "seen", "seen_category"]
UNITS = (10, 6)
COUNTS = [9, 1, 3, 5, 4, 1, 1]
"""Of the categories, of which 3 is the major one: 0 is none."""


def _model(**kwargs):
    fields = [
        replace(f, counts=COUNTS) if f.name == "category" else f for f in zoo.fields()
    ]
    kwargs = {"num_negatives": None, "category": "category", **kwargs}
    model = dat(fields, UNITS, catalogue=zoo.CATALOGUE, **kwargs)
    zoo.jitter(model)
    return model


def _unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def _vectors(model, x):
    """Of all users and items; their augmented vectors are inputs of the towers."""
    w = oracle.weights(model).beside("catalogue")  # it is that of the zoo
    own = w["embedding_augmented__user_id/embeddings"][x["user_id"]]
    users = np.concatenate([oracle.columns(USER, x, w), own], axis=1)
    augmented = w["embedding_augmented__item_id/embeddings"]
    kinds = w["embedding_category/embeddings"][zoo.CATALOGUE["category"]]
    items = np.concatenate([w["embedding_item_id/embeddings"], kinds, augmented], 1)
    users, items = (
        _unit(oracle.tower(v, w, name, UNITS[:-1], logits=UNITS[-1]))
        for v, name in ((users, "dnn_user"), (items, "dnn_item"))
    )
    return users, items, own, augmented


def _alignment(vectors, category, major):
    found = {}
    for kind in np.unique(category):
        if (category == kind).sum() >= 2:
            found[kind] = np.cov(vectors[category == kind].T)
    if major not in found:
        return 0.0
    return sum(((found[major] - c) ** 2).sum() for c in found.values())


@pytest.mark.parametrize("category", ["category", None])
@pytest.mark.oracle
def test_it_computes_the_paper(category):
    """Eq. 1-7."""
    weights = {"mimic_weights": (0.3, 0.7), "alignment_weight": 0.4}
    model, x = _model(category=category, **weights), zoo.rows(12)
    users, items, own, augmented = _vectors(model, x)
    close(model.user_model.predict(x, verbose=0), users, terms=1_000)
    close(model.item_matrix(), items, terms=1_000)

    at = x["item_id"]
    scores = users @ items.T / 0.1
    losses = np.logaddexp(0, scores)
    losses[np.arange(12), at] = np.logaddexp(0, -scores[np.arange(12), at])
    mimic = 0.3 * ((own - items[at]) ** 2).sum(axis=1)
    mimic += 0.7 * ((augmented[at] - users) ** 2).sum(axis=1)
    expected = losses[:, 1:].mean() + mimic.mean() / 29  # rows, 28 of them negative
    if category:
        kinds = zoo.CATALOGUE["category"][at]
        aligned = _alignment(items[at], kinds, 3)
        assert aligned > 0
        expected += 0.4 * aligned
    model.compile("sgd")
    loss = model.evaluate(x, batch_size=12, verbose=0)
    close(loss, expected, terms=100)


def test_the_lambdas_weigh_means_over_the_same_rows():
    """Eq. 7: with S negatives L_p, L_u and L_v are all sums over 1 + S rows."""
    x, found = zoo.rows(12), []
    for weights in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        keras.utils.set_random_seed(1)
        model = _model(mimic_weights=weights, category=None, num_negatives=4)
        model.compile("sgd")
        found.append(model.evaluate(x, batch_size=12, verbose=0))
    users, items, own, augmented = _vectors(model, x)
    at = x["item_id"]
    of_users = ((own - items[at]) ** 2).sum() / (12 * 5)
    of_items = ((augmented[at] - users) ** 2).sum() / (12 * 5)
    close(np.subtract(found[1:], found[0]), [of_users, of_items], terms=300)
    one = np.logaddexp(0, 10.0)  # no row costs more than a cosine of 1, over 0.1
    assert 0 < found[0] < one


def test_what_mimics_trains_the_augmented_vectors_alone():
    x = {name: tf.convert_to_tensor(v) for name, v in zoo.rows(12).items()}
    model = _model(category=None)
    model.compile("sgd")
    gradients = []
    for weights in ((0.0, 0.0), (0.5, 0.5)):
        model.get_layer("score").mimic_weights = weights
        with tf.GradientTape() as tape:
            y = model({name: x[name] for name in model.input}, training=True)
            loss = model.compute_loss(x, None, y)
        variables = [v.value for v in model.trainable_variables]
        found = tape.gradient(loss, variables)
        found = [np.asarray(tf.convert_to_tensor(g)) for g in found]
        gradients.append(found)
    paths = [v.path for v in model.trainable_variables]
    for path, one, other in zip(paths, *gradients, strict=True):
        same = np.allclose(one, other, rtol=1e-4, atol=1e-6)
        assert same != path.startswith("embedding_augmented__"), path


def test_categories_that_vary_alike_or_alone_are_aligned():
    layer = _model().get_layer("score")
    rng = np.random.default_rng(0)
    v = rng.normal(size=(4, 6)).astype("float32")
    item = np.concatenate([v, v + 1])  # the covariance is the same
    ids = np.full((8, 1), 5)
    for kinds, expected in (
        ([3, 3, 3, 3, 2, 2, 2, 2], 0.0),
        ([3] * 8, 0.0),
        ([2, 2, 2, 2, 1, 1, 1, 1], 0.0),  # without the major category
        ([3, 3, 3, 2, 2, 1, 1, 5], None),  # of 5 there is one
    ):
        kinds = np.array(kinds)
        if expected is None:
            expected = _alignment(item.astype("float64"), kinds, 3)
        found = float(layer.alignment(item, ids, kinds))
        close(found, expected, terms=1_000)
    ids[3:, 0] = 0  # padding is of no category
    assert float(layer.alignment(item, ids, np.array([3] * 4 + [2] * 4))) == 0


def test_an_augmented_vector_becomes_what_the_user_chose():
    rng = np.random.default_rng(0)
    user = rng.integers(1, 20, 2000)
    x = {"user": user, "item": user % 4 * 5 + rng.integers(1, 6, 2000)}
    fields = [
        Field("user", vocabulary_size=20, dim=8),
        Field("item", vocabulary_size=21, dim=8, belong="item"),
    ]
    keras.utils.set_random_seed(0)
    model = dat(fields, (16, 8), mimic_weights=(100.0, 100.0), num_negatives=9)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, batch_size=100, epochs=10, verbose=0)
    own = model.get_layer("embedding_augmented__user").embeddings.numpy()[1:]
    ids = (own @ model.item_matrix()[1:].T).argmax(axis=1)
    assert (ids // 5 == np.arange(1, 20) % 4).mean() > 0.9


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + (40 + 30) * 6
    user, item = 28 + 6, 12 + 6
    mlps = sum(width * 10 + 10 + 10 * 6 + 6 for width in (user, item))
    trained = sum(int(np.prod(w.shape)) for w in _model().trainable_weights)
    assert trained == tables + mlps


def test_errors():
    for name in ("brand", "item_id", "hour"):
        with pytest.raises(ValueError, match=f"dat: category must.*{name}"):
            _model(category=name)
    with pytest.raises(ValueError, match="dat needs a user field of one id"):
        dat(zoo.fields()[1:])
