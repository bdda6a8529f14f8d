"""MIND against section 3 of the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field
from recsys.layers.interests import InterestRouting
from recsys.match.mind import mind
from tests import oracle, zoo
from tests.close import close

DIM, INTERESTS, UNITS = 4, 3, (6,)


def _model(**kwargs):
    keras.utils.set_random_seed(4)
    kwargs = {"catalogue": zoo.CATALOGUE, "hidden_units": UNITS, **kwargs}
    model = mind(zoo.fields(DIM), INTERESTS, num_negatives=None, **kwargs)
    zoo.jitter(model)
    return model


def _squash(z):
    square = (z**2).sum()
    return square / (1 + square) * z / np.sqrt(square + 1e-9)


def _behaviours(w, x):
    items, kinds = w["embedding_item_id/embeddings"], w["embedding_category/embeddings"]
    e = (items[x["seen"]] + kinds[x["seen_category"]]) / 2
    return e, (items + kinds[zoo.CATALOGUE["category"]]) / 2


def _interests(w, x, rounds=3):
    """Capsules of each row, and which of them there are."""
    behaviours, _ = _behaviours(w, x)
    exist = np.zeros((len(behaviours), INTERESTS))
    capsules = np.zeros((*exist.shape, DIM))
    for row, e in enumerate(behaviours):
        valid = np.flatnonzero(x["seen"][row])
        votes = e[valid] @ w["dnn_routing/kernel"]
        b = w["dnn_routing/noise"][x["seen"][row][valid]].copy()
        k = max(1, min(INTERESTS, int(np.log2(max(len(valid), 1)))))
        exist[row, :k] = 1
        for _ in range(rounds):
            shares = np.exp(b[:, :k])
            shares /= shares.sum(axis=1, keepdims=True)
            c = np.stack([_squash(shares[:, j] @ votes) for j in range(k)])
            b[:, :k] += votes @ c.T
        capsules[row, :k] = c
    return capsules, exist.astype(bool)


def _users(w, x):
    capsules, exist = _interests(w, x)
    others = oracle.columns(["user_id", "age", "tags", "hour", "scores"], x, w)
    others = np.repeat(others[:, None], INTERESTS, axis=1)
    joined = np.concatenate([capsules, others], axis=-1)
    return oracle.tower(joined, w, "dnn_mlp", UNITS, logits=DIM), exist


@pytest.mark.oracle
def test_it_computes_the_paper():
    """Eq. 2-9."""
    model, x = _model(), zoo.rows(9)
    w = oracle.weights(model).beside("catalogue")  # it is that of the zoo
    (user, exist), (_, items) = _users(w, x), _behaviours(w, x)
    found = model.user_model.predict(x, verbose=0)
    np.testing.assert_array_equal(found["user_interests"], exist)
    some = exist[..., None] & np.ones(4, bool)
    close(found["user_vector"][some], user[some], terms=1_000)
    close(model.item_matrix(), items, terms=1_000)
    scores = np.where(exist, (user @ items[x["item_id"]][..., None])[..., 0], -np.inf)
    score = scores.max(axis=1, keepdims=True)
    close(model.predict(x, verbose=0), score, terms=1_000)


@pytest.mark.parametrize(
    "power, attention",
    [(None, "power"), (0.0, "power"), (1.0, "power"), (3.0, "power"), (2.0, "scaled")],
)
def test_the_label_attends_to_interests(power, attention):
    model, x = _model(power=power, attention=attention), zoo.rows(40)
    model.compile("sgd")
    w = oracle.weights(model).beside("catalogue")  # it is that of the zoo
    (user, exist), (_, items) = _users(w, x), _behaviours(w, x)
    s = (user @ items[x["item_id"]][..., None])[..., 0]
    losses = []
    for row in range(40):
        if power is None:
            a = np.eye(3)[np.where(exist[row], s[row], -np.inf).argmax()]
        else:
            of = power * s[row]
            if attention == "power":
                of = np.sign(s[row]) * np.abs(s[row]) ** power
            a = oracle.masked(of, exist[row])
        logits = (a @ user[row]) @ items[1:].T
        positive = (a @ user[row]) @ items[x["item_id"][row]]
        losses.append(np.log(np.exp(logits).sum()) - positive)
    found = model.evaluate(x, batch_size=40, verbose=0)
    close(found, np.mean(losses), terms=1_000)


def test_the_order_of_behaviours_does_not_matter():
    model, x = _model(), zoo.rows(9)
    turned = {k: x[k][:, ::-1] if k.startswith("seen") else x[k] for k in x}
    one, two = (model.predict(v, verbose=0) for v in (x, turned))
    close(one, two, terms=100)


def test_no_gradient_flows_through_the_shares():
    """With fixed shares S scales a sum, and |squash| = q grows by 2 q (1 - q)."""
    keras.utils.set_random_seed(0)
    layer, e = InterestRouting(2, 9), np.random.default_rng(0).normal(size=(3, 5, 4))
    e, ids, valid = e.astype("float32"), np.tile(np.arange(5), (3, 1)), np.ones((3, 5))
    layer.build([e.shape, ids.shape])
    with tf.GradientTape() as tape:
        c, _ = layer([e, ids], valid=tf.constant(valid > 0))
        total = tf.reduce_sum(c)
    kernel = layer.kernel.numpy()
    found = np.sum(kernel * tape.gradient(total, layer.kernel.value).numpy())
    length = np.linalg.norm(c, axis=-1, keepdims=True)
    close(found, np.sum(2 * c * (1 - length)), terms=1_000)


def test_capsules_are_short_and_without_noise_equal():
    model, x = _model(), zoo.rows(30)
    layer = model.get_layer("dnn_routing")
    behaviours, _ = _behaviours(oracle.values(model), x)
    inputs = [behaviours.astype("float32") * 5, x["seen"]]
    interests, exist = (np.asarray(v) for v in layer(inputs, valid=x["seen"] != 0))
    assert (np.linalg.norm(interests, axis=-1) < 1).all()
    assert (interests[~exist] == 0).all()
    layer.noise.assign(np.zeros_like(layer.noise))
    same, exist = (np.asarray(v) for v in layer(inputs, valid=x["seen"] != 0))
    two = exist[:, 1]
    assert two.any()
    close(same[two, 0], same[two, 1], terms=100)


def test_one_interest_needs_no_routing():
    """With one capsule all shares are 1, whatever the noise and the rounds."""
    found = []
    for rounds in (1, 4):
        keras.utils.set_random_seed(4)
        model = mind(zoo.fields(4), 1, rounds=rounds, catalogue=zoo.CATALOGUE)
        found.append(model.predict(zoo.rows(9), verbose=0))
    close(*found, terms=10)


def test_random_logits_are_fresh_in_training_only():
    layer = _model(routing_init="random").get_layer("dnn_routing")
    inputs = [np.ones((2, 6, 4), "float32"), np.ones((2, 6), int)]
    inputs[0] *= np.arange(6)[:, None]
    valid = np.ones((2, 6), bool)
    one, two = (np.asarray(layer(inputs, valid=valid)[0]) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    one, two = (
        np.asarray(layer(inputs, valid=valid, training=True)[0]) for _ in range(2)
    )
    assert np.abs(one - two).max() > 1e-3


@pytest.mark.all
def test_it_finds_both_interests_of_a_user():
    """Users like two of eight kinds; both must be in the list."""
    rng = np.random.default_rng(0)
    kinds = np.stack([rng.choice(8, 2, replace=False) for _ in range(4000)])
    pick = np.take_along_axis(kinds, rng.integers(0, 2, (4000, 9)), axis=1)
    ids = 1 + 10 * pick + rng.integers(0, 10, (4000, 9))
    fields = [
        Field("item", vocabulary_size=81, dim=16, belong="item"),
        Field("seen", emb="item", length=8, belong="history"),
    ]
    keras.utils.set_random_seed(0)
    model = mind(fields, 2, (), num_negatives=40, power=None)
    model.compile(keras.optimizers.Adam(0.01))
    x = {"item": ids[:, 8], "seen": ids[:, :8]}
    model.fit(x, batch_size=200, epochs=8, verbose=0)
    found, _ = model.recommend({"seen": x["seen"][:300]}, k=10)
    kind = (found - 1) // 10
    liked = (kind[:, :, None] == kinds[:300, None]).any(axis=2).mean()
    both = [set(k) <= set(f) for k, f in zip(kinds[:300], kind, strict=True)]
    assert liked > 0.85 and np.mean(both) > 0.6


def test_errors():
    with pytest.raises(ValueError, match="all attributes of one dim"):
        mind(zoo.fields())
    with pytest.raises(ValueError, match="init one of"):
        _model(routing_init="zeros")
    with pytest.raises(ValueError, match="attention one of"):
        _model(attention="cosine")
