"""SimpleX against equations 2-5 of the paper; the loss is in tests/layers."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.simplex import simplex
from tests import oracle, zoo
from tests.close import close

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")


def _model(**kwargs):
    model = simplex(zoo.fields(4), num_negatives=None, **kwargs)
    zoo.jitter(model)
    return model


def _users(w, x, gamma, pooling, target=None):
    """Eq. 2-5, without the positive item in training."""
    own = w["embedding_user_id/embeddings"][x["user_id"]]
    e = w["embedding_item_id/embeddings"][x["seen"]]
    valid = x["seen"] != 0
    if target is not None:
        valid &= x["seen"] != target[:, None]
    pooled = np.zeros_like(own)
    for row in range(len(own)):
        if pooling == "mean":
            weights = valid[row] / max(valid[row].sum(), 1)
        else:
            keys = np.tanh(e[row] @ w["dnn_user/w_k"] + w["dnn_user/b_k"])
            q = own[row] if pooling == "user_attention" else w["dnn_user/q"]
            weights = oracle.masked(keys @ q, valid[row])
        pooled[row] = weights @ e[row]
    u = gamma * own + (1 - gamma) * pooled @ w["dnn_user/w_v"]
    return _unit(u), _unit(w["embedding_item_id/embeddings"])


def _unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean", "user_attention", "self_attention"])
@pytest.mark.oracle
def test_it_computes_the_paper(pooling):
    model, x = _model(gamma=0.3, pooling=pooling), zoo.rows(9)
    user, items = _users(oracle.weights(model), x, 0.3, pooling)
    close(model.user_model.predict(x, verbose=0), user, terms=1_000)
    close(model.item_matrix(), items, terms=1_000)
    score = (user * items[x["item_id"]]).sum(1, keepdims=True)
    assert np.abs(score).max() <= 1
    close(model.predict(x, verbose=0), score, terms=1_000)


@pytest.mark.parametrize("excluded", [True, False])
def test_training_takes_the_target_out_of_its_history(excluded):
    model = _model(exclude_target=excluded, margin=0.1, negative_weight=5.0)
    model.compile("sgd")
    x = zoo.rows(40)
    x["item_id"] = np.where(x["seen"][:, 0] > 0, x["seen"][:, 0], x["item_id"])
    w, target = oracle.weights(model), x["item_id"] if excluded else None
    user, items = _users(w, x, 0.5, "mean", target)
    scores = user @ items.T
    own = np.arange(40), x["item_id"]
    hinges = np.maximum(scores - 0.1, 0)
    hinges[:, 0] = hinges[own] = 0
    expected = np.mean(1 - scores[own] + 5 / 29 * hinges.sum(axis=1))
    found = model.evaluate(x, batch_size=40, verbose=0)
    close(found, expected, terms=100)


def test_biases_of_users_items_and_all_are_beside_the_cosine():
    model, x = _model(use_bias=True, margin=0.1, negative_weight=5.0), zoo.rows(40)
    w = oracle.weights(model)
    of_item = w["embedding_bias__item_id/embeddings"][:, 0]
    of_user = (
        w["embedding_linear__user_id/embeddings"][x["user_id"]] + w["dnn_bias/bias"]
    )
    user, items = _users(w, x, 0.5, "mean")
    scores, own = user @ items.T + of_item + of_user, (np.arange(40), x["item_id"])
    close(model.predict(x, verbose=0)[:, 0], scores[own], terms=1_000)
    served = model.user_model.predict(x, verbose=0) @ model.item_matrix().T
    close(served, scores, terms=1_000)

    user, _ = _users(w, x, 0.5, "mean", x["item_id"])
    scores = user @ items.T + of_item + of_user
    hinges = np.maximum(scores - 0.1, 0)
    hinges[:, 0] = hinges[own] = 0
    expected = np.maximum(1 - scores[own], 0) + 5 / 29 * hinges.sum(axis=1)
    model.compile("sgd")
    found = model.evaluate(x, batch_size=40, verbose=0)
    close(found, expected.mean(), terms=100)


def test_with_gamma_one_the_history_does_not_matter():
    model, x = _model(gamma=1.0), zoo.rows(9)
    other = {**x, "seen": x["seen"][::-1]}
    one, two = (model.user_model.predict(v, verbose=0) for v in (x, other))
    close(one, two)


def test_dropout_leaves_the_positive_within_reach_of_a_large_margin():
    fields = [
        Field("user", vocabulary_size=9, dim=64, initializer="random_normal"),
        Field("item", vocabulary_size=9, dim=64, belong="item"),
        Field("seen", emb="item", length=2, belong="history"),
    ]
    model = simplex(fields, gamma=1.0, margin=1.0, dropout=0.6, num_negatives=None)
    model.compile(keras.optimizers.SGD(0.0))
    user, item = model.get_layer("embedding_user"), model.get_layer("embedding_item")
    item.set_weights(user.get_weights())
    ids = np.tile(np.arange(1, 9), 50)
    x = {"user": ids, "item": ids, "seen": np.zeros((400, 2), int)}
    loss = model.train_on_batch(x)
    # Dropped after the norm, a score of 1 is one on average, about 0.2 to both sides;
    # dropped before it, no score would be above sqrt(1 - 0.6), whatever is learned.
    assert 0.02 < loss < 0.2


@pytest.mark.all
def test_it_learns_what_goes_with_a_history():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 5, 3000)
    by_kind = np.arange(1, 51).reshape(5, 10)
    seen = np.stack([rng.choice(by_kind[k], 6) for k in kind])
    item = np.array([rng.choice(by_kind[k]) for k in kind])
    fields = [
        Field("user", vocabulary_size=10, dim=16),
        Field("item", vocabulary_size=51, dim=16, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
    ]
    model = simplex(fields, num_negatives=30, negative_weight=10.0, gamma=0.2)
    model.compile(keras.optimizers.Adam(0.01))
    user = rng.integers(1, 10, 3000)
    x = {"user": user, "item": item, "seen": seen}
    model.fit(x, batch_size=100, epochs=5, verbose=0)
    ids, _ = model.recommend({"user": user[:100], "seen": seen[:100]}, k=5)
    assert ((ids - 1) // 10 == kind[:100, None]).mean() > 0.9


def test_errors():
    with pytest.raises(ValueError, match="pooling must be one of"):
        simplex(zoo.fields(4), pooling="max")
    with pytest.raises(ValueError, match="simplex needs a history that shares"):
        simplex(zoo.fields(4)[:-2])
    with pytest.raises(ValueError, match="as wide as the item"):
        simplex(zoo.fields())
