"""LightGCN against equations 3-8 and 15 of the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, load_model
from recsys.match.lightgcn import lightgcn
from tests import zoo
from tests.close import close

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

USERS, ITEMS = 40, 30
EDGES = sorted({*zip(*zoo.INTERACTIONS, strict=True)})


def _model(edges=zoo.INTERACTIONS, num_layers=3, **kwargs):
    kwargs = {"num_negatives": None, "l2_reg": 0.1, **kwargs}
    model = lightgcn(zoo.fields(4), num_layers, interactions=edges, **kwargs)
    zoo.jitter(model)
    return model


def _matrix(edges):
    """D^-1/2 A D^-1/2 of users and then items."""
    a = np.zeros((USERS + ITEMS, USERS + ITEMS))
    for user, item in zip(*edges, strict=True):
        a[user, USERS + item] = a[USERS + item, user] = 1
    d = a.sum(1)
    share = np.where(d > 0, 1 / np.sqrt(np.maximum(d, 1)), 0)
    return share[:, None] * a * share


def _vectors(model, edges=zoo.INTERACTIONS, num_layers=3):
    e = model.get_layer("embedding_graph").embeddings.numpy().astype("float64")
    m = _matrix(edges)
    layers = [np.linalg.matrix_power(m, k) @ e for k in range(num_layers + 1)]
    return e, np.mean(layers, axis=0)


def _all(model):
    users = model.user_model.predict({"user_id": np.arange(USERS)}, verbose=0)
    return np.concatenate([users, model.item_matrix()])


@pytest.mark.parametrize("num_layers", [0, 1, 3])
@pytest.mark.oracle
def test_it_computes_the_paper(num_layers):
    """Vectors and scores are eq. 3-8, the loss is eq. 15."""
    model, x = _model(num_layers=num_layers), zoo.rows(40)
    e, vectors = _vectors(model, num_layers=num_layers)
    close(_all(model), vectors, terms=1_000)
    users, items = x["user_id"], x["item_id"]
    scores = vectors[:USERS] @ vectors[USERS:].T
    found = model.predict(x, verbose=0)[:, 0]
    close(found, scores[users, items], terms=1_000)

    rows, size = [], (e**2).sum(axis=1)
    for u, i in zip(users, items, strict=True):
        others = [j for j in range(1, ITEMS) if (u, j) not in EDGES and j != i]
        bpr = np.logaddexp(0, scores[u, others] - scores[u, i]).mean()
        l2 = size[u] + size[USERS + i] + size[USERS + np.array(others)].mean()
        rows.append(bpr + 0.1 / 2 * l2)
    model.compile("sgd")
    loss = model.evaluate(x, batch_size=40, verbose=0)
    close(loss, np.mean(rows), terms=100)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_softmax_is_of_the_graph_s_vectors(normalize, tmp_path):
    how = {"loss": "softmax", "temperature": 0.3, "normalize": normalize}
    model, x = _model(**how), zoo.rows(40)
    e, vectors = _vectors(model)
    if normalize:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    close(_all(model), vectors, terms=1_000)
    users, items = x["user_id"], x["item_id"]
    scores = vectors[users] @ vectors[USERS:].T
    found = model.predict(x, verbose=0)[:, 0]
    own = np.arange(40), items
    close(found, scores[own], terms=1_000)

    scores = scores[:, 1:] / 0.3
    rows = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(40), items - 1]
    size = (e**2).sum(axis=1)
    rows += 0.1 / 2 * (size[users] + size[USERS + items])
    model.compile("sgd")
    loss = model.evaluate(x, batch_size=40, verbose=0)
    close(loss, rows.mean(), terms=100)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    close(loaded.evaluate(x, batch_size=40, verbose=0), loss)


def test_the_softmax_may_draw_its_items():
    losses = []
    for num_negatives in (None, 20):
        keras.utils.set_random_seed(0)
        model = _model(loss="softmax", num_negatives=num_negatives, l2_reg=0.0)
        model.compile("sgd")
        losses.append(zoo.losses_of_draws(model, zoo.rows(40), 50))
    exact, drawn = np.mean(losses, axis=1)
    assert np.std(losses[0]) == 0 and np.std(losses[1]) > 0.001
    assert drawn == pytest.approx(exact + np.log(20 / 29), abs=0.05)


def test_the_temperature_of_bpr_divides_the_scores():
    x, found = zoo.rows(40), []
    for temperature in (1.0, 0.5):
        keras.utils.set_random_seed(0)
        model = _model(temperature=temperature, num_layers=0, l2_reg=0.0)
        graph = model.get_layer("embedding_graph")
        graph.embeddings.assign(graph.embeddings * temperature**0.5)
        model.compile("sgd")
        found.append(model.evaluate(x, batch_size=40, verbose=0))
    close(found[1], found[0], terms=100)


def test_an_edge_that_is_repeated_counts_once_and_a_lone_node_keeps_its_share():
    model = _model(([7, 7, 7], [3, 3, 3]), num_layers=1)
    e, found = model.get_layer("embedding_graph").embeddings.numpy(), _all(model)
    both = (e[7] + e[USERS + 3]) / 2
    close(found[[7, USERS + 3]], [both, both], terms=100)
    alone = np.delete(np.arange(USERS + ITEMS), [7, USERS + 3])
    close(found[alone], e[alone] / 2, terms=100)

    edges = [7, 7, 7], [3, 3, 4]
    model = _model(edges)
    close(_all(model), _vectors(model, edges)[1], terms=1_000)


def test_interactions_are_integers_of_any_type():
    edges, found = [np.asarray(each) for each in zoo.INTERACTIONS], []
    for users, items in (("int64", "int64"), ("int32", "uint64"), ("uint64", "uint8")):
        keras.utils.set_random_seed(0)
        given = edges[0].astype(users), edges[1].astype(items)
        found.append(_all(_model(given)))
        np.testing.assert_array_equal(found[-1], found[0])


def test_a_gradient_reaches_as_far_as_there_are_layers():
    """A path: user 0, item 1, user 1, item 2, user 2, ..."""
    edges = np.repeat(np.arange(9), 2)[1:], np.repeat(np.arange(1, 10), 2)[:-1]
    graph = _model(edges, num_layers=2).get_layer("embedding_graph")
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(graph.propagate()[4])
    gradient = tape.gradient(y, graph.embeddings.value)
    reached = np.flatnonzero(np.abs(gradient).sum(axis=1))
    hops = np.linalg.matrix_power(np.eye(USERS + ITEMS) + _matrix(edges), 2)
    np.testing.assert_array_equal(reached, np.flatnonzero(hops[4]))
    by_hand = np.eye(USERS + ITEMS) + _matrix(edges) @ (np.eye(70) + _matrix(edges))
    close(np.asarray(gradient)[:, 0], by_hand[4] / 3, terms=100)


def test_negatives_are_all_alike_but_those_of_the_user():
    edges = (
        np.array([0] * 29 + [1, 1, 2] + [3] * 28),
        np.array([*range(1, 30), 1, 29, 5, *range(1, 18), *range(19, 30)]),
    )
    layer = _model(edges).get_layer("embedding_graph")
    seed = keras.random.SeedGenerator(0)
    users = np.arange(5, dtype="int32")
    drawn, there = (v.numpy() for v in layer.strangers(users, 5000, 1, seed))
    assert not there[0].any() and there[1:].all()
    assert (drawn[3] == 18).all()
    for user, own in ((1, {1, 29}), (2, {5}), (4, set())):
        counts = np.bincount(drawn[user], minlength=ITEMS)
        others = [j for j in range(1, ITEMS) if j not in own]
        assert counts.sum() == counts[others].sum()
        expected = 5000 / len(others)
        assert np.abs(counts[others] - expected).max() < 6 * np.sqrt(expected)


def test_a_user_who_has_all_has_only_the_penalty():
    edges = np.zeros(29, int), np.arange(1, 30)
    model = _model(edges, num_negatives=2)
    model.compile("sgd")
    x = {"user_id": np.array([0]), "item_id": np.array([3])}
    size = (model.get_layer("embedding_graph").embeddings.numpy() ** 2).sum(1)
    expected = 0.05 * (size[0] + size[USERS + 3])
    close(model.evaluate(x, verbose=0), expected, terms=100)


def test_vectors_follow_the_weights(tmp_path):
    model = _model()
    before = _all(model)
    zoo.jitter(model, seed=5)
    model.save(tmp_path / "m.keras")
    plain = keras.ops.convert_to_numpy(
        load_model(tmp_path / "m.keras").get_layer("embedding_graph").vectors
    )
    _, vectors = _vectors(model)
    close(plain, vectors, terms=1_000)
    close(_all(model), vectors, terms=1_000)
    assert np.abs(before - vectors).max() > 0.1

    x = zoo.rows(64)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((_all(model), _vectors(model)[1]))

    model.compile(keras.optimizers.SGD(1.0))
    model.fit(x, epochs=2, callbacks=[Watch()], verbose=0)
    for found, expected in seen:
        close(found, expected, terms=1_000)
    looked_up = model.get_layer("embedding_graph").vectors.numpy()
    close(looked_up, _vectors(model)[1], terms=1_000)


def test_two_steps_of_the_graph_tell_what_likeminded_users_chose():
    """Each user has three items of its kind's ten; a table alone learns only those."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(100), 3)
    item = np.concatenate(
        [rng.choice(10, 3, False) + 1 + u % 5 * 10 for u in range(100)]
    )
    fields = [
        Field("user", vocabulary_size=100, dim=16),
        Field("item", vocabulary_size=51, dim=16, belong="item"),
    ]
    share = []
    for num_layers in (0, 2):
        keras.utils.set_random_seed(0)
        model = lightgcn(fields, num_layers, interactions=(user, item))
        model.compile(keras.optimizers.Adam(0.01))
        model.fit({"user": user, "item": item}, batch_size=50, epochs=5, verbose=0)
        seen = np.split(item, 100)
        ids, _ = model.recommend({"user": np.arange(100)}, k=7, exclude=seen)
        share.append(((ids - 1) // 10 == np.arange(100)[:, None] % 5).mean())
    assert share[0] < 0.4 and share[1] > 0.8


def test_parameters():
    model = _model()
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trained == (USERS + ITEMS) * 4


def test_errors():
    fields = zoo.fields(4)
    with pytest.raises(ValueError, match="loss must be one of"):
        lightgcn(fields, interactions=zoo.INTERACTIONS, loss="hinge")
    with pytest.raises(ValueError, match="lightgcn needs interactions="):
        lightgcn(fields)
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
        lightgcn(fields, interactions=([1, 2], [3]))
    with pytest.raises(ValueError, match=r"'item_id': ids .* \[1, 30\).* 0 to 3"):
        lightgcn(fields, interactions=([1, 2], [3, 0]))
    with pytest.raises(ValueError, match="must be integers. Received: float64"):
        lightgcn(fields, interactions=([1, 2.5], [3, 1]))
    with pytest.raises(ValueError, match=r"'user_id': ids .* \[0, 40\)"):
        lightgcn(fields, interactions=([1, 40], [3, 1]))
    with pytest.raises(ValueError, match="'user_id' must hold ids from 0 to 39"):
        _model().predict({"user_id": np.array([40]), "item_id": np.array([2])})
    with pytest.raises(ValueError, match="'item_id' must hold ids from 0 to 29"):
        _model().predict({"user_id": np.array([39]), "item_id": np.array([30])})
    with pytest.raises(ValueError, match="one id, as wide as the item, 8"):
        lightgcn(zoo.fields(), interactions=zoo.INTERACTIONS)
