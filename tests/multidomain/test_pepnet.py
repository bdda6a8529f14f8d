"""PEPNet against eq. 1-7 of the paper, and what it claims."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task
from recsys.layers.domain import EPNet, GateNU
from recsys.multidomain.pepnet import pepnet
from tests import oracle, zoo

E = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
PRIOR = ["user_id", "age", "tags", "item_id", "category"]
DOMAIN = ["domain_id", "domain_rate"]


def _model(**kwargs):
    model = pepnet(zoo.fields(domain=True), zoo.TASKS, (10, 6), **kwargs)
    zoo.jitter(model)
    return model


def _gate(x, w, name):
    hidden = oracle.relu(oracle.dense(x, w, f"{name}/dense_0"))
    return 2 * oracle.sigmoid(oracle.dense(hidden, w, f"{name}/dense_1"))


def _predictions(x, w):
    domain = np.concatenate(
        [
            w["embedding_domain_id/embeddings"][x["domain_id"]],
            x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"],
        ],
        axis=-1,
    )
    history = oracle.columns(["seen", "seen_category"], x, w)
    e = np.concatenate([oracle.columns(E, x, w), history], axis=-1)
    o = e * _gate(np.concatenate([domain, e], axis=-1), w, "dnn_epnet/gate")
    prior = np.concatenate([oracle.columns(PRIOR, x, w), o], axis=-1)
    gates = [_gate(prior, w, f"dnn_ppnet/gate_{i}") for i in range(2)]
    outputs = []
    for t, task in enumerate(zoo.TASKS):
        h = o
        for i, units in enumerate((10, 6)):
            h = oracle.relu(oracle.dense(h, w, f"dnn_ppnet/dense_{t}_{i}"))
            h = h * gates[i][:, t * units : (t + 1) * units]
        logit = oracle.dense(h, w, f"dnn_tower_{task.name}/logit")
        outputs.append(oracle.sigmoid(logit))
    return np.concatenate(outputs, axis=-1)


def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    np.testing.assert_allclose(
        zoo.predictions(model, x),
        _predictions(x, oracle.weights(model)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + 3 * 4 + 4
    e, domain, prior = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12, 4 + 4, 4 + 3 + 5 + 8 + 4
    epnet = (domain + e) * e + e + e * e + e
    gates = sum((prior + e) * 2 * u + 2 * u + 2 * u * 2 * u + 2 * u for u in (10, 6))
    towers = 2 * (e * 10 + 10 + 10 * 6 + 6 + 6 + 1)
    assert _model().count_params() == tables + epnet + gates + towers


def test_gates_of_one_leave_plain_towers():
    model, x = _model(), zoo.rows(9)
    for layer in ("dnn_epnet", "dnn_ppnet"):
        for weight in model.get_layer(layer).weights:
            if "gate" in weight.path and "dense_1" in weight.path:
                weight.assign(weight * 0)
    w = oracle.weights(model)
    history = oracle.columns(["seen", "seen_category"], x, w)
    h = np.concatenate([oracle.columns(E, x, w), history], axis=-1)
    for i in range(2):
        h = oracle.relu(oracle.dense(h, w, f"dnn_ppnet/dense_0_{i}"))
    expected = oracle.sigmoid(oracle.dense(h, w, "dnn_tower_click/logit"))
    np.testing.assert_allclose(
        model.predict(x, verbose=0)["click"], expected, rtol=1e-4, atol=1e-5
    )


def test_a_gate_is_between_0_and_gamma_and_1_at_zero():
    gate = GateNU((4, 3), gamma=2.0)
    x = np.random.default_rng(0).normal(scale=3, size=(50, 5))
    values = gate(x).numpy()
    assert (0 < values).all() and (values < 2).all()
    gate.dense[1].kernel.assign(np.zeros((4, 3)))
    np.testing.assert_array_equal(gate(x), np.ones((50, 3)))


def test_no_gradient_reaches_the_embeddings_through_the_gate():
    layer = EPNet()
    rng = np.random.default_rng(0)
    domain = tf.constant(rng.normal(size=(4, 3)), "float32")
    e = tf.Variable(rng.normal(size=(4, 5)), dtype="float32")
    with tf.GradientTape() as tape:
        out = layer([domain, e])
        loss = tf.reduce_sum(out**2)
    delta = out / e
    np.testing.assert_allclose(tape.gradient(loss, e), delta * 2 * out, rtol=1e-4)


def test_a_task_leaves_the_tower_of_another_alone():
    model, x = _model(), zoo.rows(16)
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    model.compile("sgd", {"click": "binary_crossentropy"})
    with tf.GradientTape() as tape:
        y = {"click": zoo.labels("rank", 16)}
        loss = model.compute_loss(feed, y, model(feed, training=True))
    variables = model.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    moved = {v.path for v, g in zip(variables, found, strict=True) if g is not None}
    assert "dnn_ppnet/dense_0_0/kernel" in moved
    assert "dnn_ppnet/gate_0/dense_0/kernel" in moved  # shared
    assert not [p for p in moved if "/dense_1_" in p or "tower_like" in p]


def test_it_needs_a_domain():
    with pytest.raises(ValueError, match="belong='domain'"):
        pepnet(zoo.fields(), zoo.TASKS)


def test_tasks_must_have_distinct_names():
    with pytest.raises(ValueError, match=r"distinct names.*\['a', 'a'\]"):
        pepnet(zoo.fields(domain=True), [Task("a"), Task("a")])


def test_it_learns_an_effect_that_turns_round_with_the_domain():
    """What is liked in one domain is disliked in the other."""
    rng = np.random.default_rng(0)
    x = {
        "item": rng.integers(0, 20, 4000),
        "user": rng.integers(0, 5, 4000),
        "domain": rng.integers(0, 2, 4000),
    }
    y = ((x["item"] % 2) ^ x["domain"]).astype("float32")
    fields = [
        Field("user", vocabulary_size=5),
        Field("item", vocabulary_size=20, belong="item"),
        Field("domain", vocabulary_size=2, belong="domain"),
    ]
    model = pepnet(fields, [Task("like")], (16,))
    model.compile(
        keras.optimizers.Adam(0.01), "binary_crossentropy", metrics="accuracy"
    )
    model.fit(x, {"like": y}, epochs=6, batch_size=100, verbose=0)
    assert model.evaluate(x, {"like": y}, verbose=0)[1] > 0.95
