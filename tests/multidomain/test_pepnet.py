"""PEPNet against eq. 1-7 of the paper, and what it claims."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task
from recsys.layers.domain import EPNet, GateNU
from recsys.multidomain.epnet import epnet
from recsys.multidomain.pepnet import pepnet
from recsys.multidomain.ppnet import ppnet
from tests import oracle, zoo
from tests.close import close

E = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
PRIOR = ["user_id", "age", "tags", "item_id", "category"]
DOMAIN = ["domain_id", "domain_rate"]
UNITS = (10, 6)


def _model(**kwargs):
    model = pepnet(zoo.fields(domain=True), zoo.TASKS, UNITS, **kwargs)
    zoo.jitter(model)
    return model


def _gate(x, w, name, width):
    """Eq. 1-2."""
    hidden = oracle.relu(oracle.dense(x, w, f"{name}/dense_0", width))
    return 2 * oracle.sigmoid(oracle.dense(hidden, w, f"{name}/dense_1", width))


def personalised(o, prior, w, per_task=False):
    """PPNet and the logits of eq. 5-7: towers on `o`, gated by prior and `o`."""
    prior = np.concatenate([prior, o], axis=-1)
    outputs = []
    for t, task in enumerate(zoo.TASKS):
        h = o
        for i, units in enumerate(UNITS):
            h = oracle.relu(oracle.dense(h, w, f"dnn_ppnet/dense_{t}_{i}", units))
            if per_task:
                gate = _gate(prior, w, f"dnn_ppnet/gate_{t}_{i}", units)
            else:
                every = units * len(zoo.TASKS)
                gate = _gate(prior, w, f"dnn_ppnet/gate_{i}", every)
                gate = gate[:, t * units : (t + 1) * units]
            h = h * gate
        logit = oracle.tower(h, w, f"dnn_tower_{task.name}", ())
        outputs.append(oracle.sigmoid(logit))
    return np.concatenate(outputs, axis=-1)


def inputs(x, w):
    """The embeddings of domain fields, of all others, and of user and item."""
    domain = np.concatenate(
        [
            w["embedding_domain_id/embeddings"][x["domain_id"]],
            x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"],
        ],
        axis=-1,
    )
    history = oracle.columns(["seen", "seen_category"], x, w)
    e = np.concatenate([oracle.columns(E, x, w), history], axis=-1)
    return domain, e, oracle.columns(PRIOR, x, w)


def gated(domain, e, w):
    """EPNet, eq. 3-4."""
    given = np.concatenate([domain, e], axis=-1)
    return e * _gate(given, w, "dnn_epnet/gate", e.shape[-1])


@pytest.mark.parametrize("per_task", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(per_task):
    model, x = _model(gate_per_task=per_task), zoo.rows(9)
    w = oracle.weights(model)
    domain, e, prior = inputs(x, w)
    expected = personalised(gated(domain, e, w), prior, w, per_task)
    found = zoo.predictions(model, x)
    close(found, expected, terms=1_000)


def test_epnet_alone_has_plain_towers():
    model, x = epnet(zoo.fields(domain=True), zoo.TASKS, UNITS), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    domain, e, _ = inputs(x, w)
    o = gated(domain, e, w)
    expected = oracle.task_towers({task.name: o for task in zoo.TASKS}, w, UNITS)
    found = zoo.predictions(model, x)
    close(found, expected, terms=1_000)


@pytest.mark.parametrize("per_task", [False, True])
def test_ppnet_alone_takes_all_embeddings_as_they_are(per_task):
    fields = zoo.fields(domain=True)
    model = ppnet(fields, zoo.TASKS, UNITS, gate_per_task=per_task)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    domain, e, prior = inputs(x, w)
    o = np.concatenate([e, domain], axis=-1)  # in the order of the fields
    found = zoo.predictions(model, x)
    expected = personalised(o, prior, w, per_task)
    close(found, expected, terms=1_000)


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
    # Gates are 1, whatever they read, and the other task has its own tower.
    w.beside("dnn_epnet/gate", "dnn_ppnet/gate", "embedding_domain")
    w.beside("dnn_ppnet/dense_1", "dnn_tower_like")
    history = oracle.columns(["seen", "seen_category"], x, w)
    h = np.concatenate([oracle.columns(E, x, w), history], axis=-1)
    for i, units in enumerate(UNITS):
        h = oracle.relu(oracle.dense(h, w, f"dnn_ppnet/dense_0_{i}", units))
    expected = oracle.sigmoid(oracle.tower(h, w, "dnn_tower_click", ()))
    close(model.predict(x, verbose=0)["click"], expected, terms=1_000)


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
    close(tape.gradient(loss, e), delta * 2 * out, terms=1_000)


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


@pytest.mark.parametrize("factory", [pepnet, epnet])
def test_it_needs_a_domain(factory):
    with pytest.raises(ValueError, match="net needs.*belong='domain'.*Received:.*user"):
        factory(zoo.fields(), zoo.TASKS)


def test_ppnet_needs_somebody():
    hour = Field("hour", vocabulary_size=24, belong="context")
    with pytest.raises(ValueError, match="ppnet needs.*'user' or 'item'.*'context'"):
        ppnet([hour], zoo.TASKS)


def test_tasks_must_have_distinct_names():
    with pytest.raises(ValueError, match=r"distinct names.*\['a', 'a'\]"):
        pepnet(zoo.fields(domain=True), [Task("a"), Task("a")])


@pytest.mark.all
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
