"""ComiRec against section 3 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.comirec import comirec
from recsys.retrieval.diversity import diversify
from tests import oracle, zoo
from tests.close import close

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

DIM, INTERESTS = 4, 3


def _model(interests="sa", **kwargs):
    keras.utils.set_random_seed(4)
    kwargs = {"catalogue": zoo.CATALOGUE, "num_negatives": None, **kwargs}
    model = comirec(zoo.fields(DIM), interests, INTERESTS, **kwargs)
    zoo.jitter(model)
    return model


def _behaviours(w, x):
    """Behaviours of each row, the newest first, and all items."""
    items, kinds = w["embedding_item_id/embeddings"], w["embedding_category/embeddings"]
    e = (items[x["seen"]] + kinds[x["seen_category"]]) / 2
    rows = [e[i][np.flatnonzero(x["seen"][i])][::-1] for i in range(len(e))]
    return rows, (items + kinds[zoo.CATALOGUE["category"]]) / 2


def _squash(z):
    square = (z**2).sum(-1, keepdims=True)
    return square / (1 + square) * z / np.sqrt(square + 1e-9)


def _sa(e, w, positions=True):
    """Eq. 5-6; between the two matrices is four times the width."""
    p = w["dnn_sa/positions"][: len(e)] if positions else 0
    assert w["dnn_sa/w2"].shape == (4 * DIM, INTERESTS)
    scores = np.tanh((e + p) @ w["dnn_sa/w1"]) @ w["dnn_sa/w2"]
    shares = np.exp(scores) / np.exp(scores).sum(axis=0)
    return shares.T @ e


def _dr(e, w, shared):
    places = 1 if shared else zoo.LENGTH
    maps = w["dnn_dr/maps"].reshape(places, DIM, INTERESTS, DIM)
    votes = np.stack(
        [np.einsum("d,dke->ke", v, maps[0 if shared else i]) for i, v in enumerate(e)]
    )
    b = np.zeros((len(e), INTERESTS))
    for _ in range(3):
        shares = np.exp(b) / np.exp(b).sum(axis=1, keepdims=True)
        c = _squash(np.einsum("nk,nke->ke", shares, votes))
        b += np.einsum("ke,nke->nk", c, votes)
    return c


@pytest.mark.parametrize(
    "interests, options",
    [
        ("sa", {}),
        ("sa", {"use_positions": False}),
        ("dr", {}),
        ("dr", {"share_positions": True}),
    ],
)
@pytest.mark.oracle
def test_it_computes_the_paper(interests, options):
    """Eq. 1-9."""
    model, x = _model(interests, **options), zoo.rows(12)
    w = oracle.weights(model).beside("catalogue")  # it is that of the zoo
    rows, items = _behaviours(w, x)
    user = np.zeros((12, INTERESTS, DIM))
    for i, e in enumerate(rows):
        if len(e) and interests == "sa":
            user[i] = _sa(e, w, not options)
        elif len(e):
            user[i] = _dr(e, w, bool(options))
    found = model.user_model.predict(x, verbose=0)
    close(found, user, terms=1_000)
    close(model.item_matrix(), items, terms=1_000)
    scores = (user @ items[x["item_id"]][..., None])[..., 0]
    predicted = model.predict(x, verbose=0)
    close(predicted[:, 0], scores.max(axis=1), terms=1_000)

    model.compile("sgd")
    nearest = user[np.arange(12), scores.argmax(axis=1)]
    logits = nearest @ items.T
    losses = np.log(np.exp(logits[:, 1:]).sum(1)) - logits[np.arange(12), x["item_id"]]
    found = model.evaluate(x, batch_size=12, verbose=0)
    close(found, losses.mean(), terms=1_000)


@pytest.mark.parametrize(
    "interests, options, same",
    [
        ("sa", {"use_positions": False}, True),
        ("sa", {}, False),
        ("dr", {"share_positions": True}, True),
        ("dr", {}, False),
    ],
)
def test_when_the_order_of_behaviours_matters(interests, options, same):
    model, x = _model(interests, **options), zoo.rows(9)
    turned = {k: x[k][:, ::-1] if k.startswith("seen") else x[k] for k in x}
    one, two = (model.predict(v, verbose=0) for v in (x, turned))
    assert np.allclose(one, two, rtol=1e-4, atol=1e-5) == same


def test_the_gradient_of_the_loss_reaches_one_interest():
    import tensorflow as tf

    layer = _model().get_layer("score")
    user = tf.Variable(np.random.default_rng(0).normal(size=(5, 3, 4)).astype("f"))
    ids = np.array([1, 2, 3, 4, 5])
    with tf.GradientTape() as tape:
        layer([user + 0, layer._vectors(ids, True), ids])
        loss = layer.loss({}, {}, {}, True)
    moved = np.abs(tape.gradient(loss, user)).sum(axis=2) > 0
    assert (moved.sum(axis=1) == 1).all()


def test_diversity_spreads_over_categories():
    model, x = _model(), zoo.rows(20)
    category = zoo.CATALOGUE["category"]
    plain, scores = model.recommend(x, k=6)
    none, _ = model.recommend(x, k=6, categories=category, diversity=1e-9)
    np.testing.assert_array_equal(none, plain)
    spread, _ = model.recommend(x, k=6, categories=category, diversity=1e6, pool=29)
    kinds = [len(set(category[row])) for row in spread]
    assert kinds == [6] * 20  # of six categories
    assert (np.diff(scores, axis=1) <= 0).all()


def test_diversity_is_greedy():
    rng = np.random.default_rng(0)
    category = rng.integers(0, 4, 40)
    scores = -np.sort(-rng.normal(size=(9, 15)), axis=1)
    ids = np.stack([rng.permutation(40)[:15] for _ in range(9)])
    found, of = diversify(ids, scores, category, 7, 0.4)
    for row in range(9):
        left, chosen = list(range(15)), []
        while len(chosen) < 7:
            counts = [
                sum(category[ids[row, c]] == category[ids[row, i]] for c in chosen)
                for i in left
            ]
            value = [
                scores[row, i] - 0.4 * n for i, n in zip(left, counts, strict=True)
            ]
            chosen.append(left.pop(int(np.argmax(value))))
        np.testing.assert_array_equal(found[row], ids[row, chosen])
        np.testing.assert_array_equal(of[row], scores[row, chosen])
    with pytest.raises(ValueError, match="pool at least k"):
        diversify(ids, scores, category, 16, 0.4)
    with pytest.raises(ValueError, match="one for each item id"):
        diversify(ids, scores, category[:5], 7, 0.4)


def test_diversity_with_fewer_items_left_than_k():
    model, x = _model(), zoo.rows(4)
    seen = [np.arange(3, 30), np.arange(1, 30), [], [7]]
    given = {"categories": zoo.CATALOGUE["category"], "diversity": 0.1}
    ids, scores = model.recommend(x, k=6, exclude=seen, **given)
    assert sorted(ids[0]) == [-1] * 4 + [1, 2] and (ids[0, 2:] == -1).all()
    assert (ids[1] == -1).all() and (ids[2:] > 0).all()
    np.testing.assert_array_equal(np.isneginf(scores), ids == -1)


def test_errors():
    with pytest.raises(ValueError, match="interests must be 'sa' or 'dr'"):
        comirec(zoo.fields(4), "mlp")
    with pytest.raises(ValueError, match="comirec needs a history"):
        comirec([Field("item", vocabulary_size=9, belong="item")])
