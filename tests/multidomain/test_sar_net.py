"""SAR-Net against section 3 of the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task
from recsys.layers.scalar_experts import DebiasExperts, ScalarExperts
from recsys.multidomain.sar_net import (
    CrossScenarioAttention,
    fairness_coefficient,
    sar_net,
)
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
ATTENTION, SHARED, SPECIFIC, DOMAINS = (4,), 3, 2, 3
EXTRA = [
    Field("seen_domain", emb="domain_id", length=zoo.LENGTH, belong="history"),
    Field("fc", belong="context", dtype="float32"),
]
RNG = np.random.default_rng(0)


def _fields():
    return [*zoo.fields(domain=True), *EXTRA]


def _rows(n, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 3, (n, zoo.LENGTH))
    return {**zoo.rows(n, seed), "seen_domain": places, "fc": rng.uniform(0.05, 12, n)}


def _model(**kwargs):
    given = {"num_shared_experts": SHARED, "num_specific_experts": SPECIFIC}
    given |= {"attention_hidden_units": ATTENTION, "fairness": "fc"}
    model = sar_net(_fields(), BOTH, **{**given, **kwargs})
    zoo.jitter(model)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name == "domain_mean":
            weight.assign(rng.normal(size=weight.shape))
        if weight.name == "domain_variance":
            weight.assign(rng.random(weight.shape) + 0.5)
    return model


def _shares(query, history, valid, w, name):
    shares = np.zeros(valid.shape)
    for row in range(len(query)):
        q, e = query[row], history[row]
        q = np.repeat(q[None], len(e), axis=0)
        unit = np.concatenate([q, e, q - e, q * e], axis=-1)
        hidden = oracle.mlp(unit, w, f"{name}/ffn", ATTENTION, "dice")
        scores = oracle.dense(hidden, w, f"{name}/score", 1)[:, 0]
        shares[row] = oracle.masked(scores, valid[row])
    return shares


def _experts(x, w, name, num, units):
    """The logit of each expert, `(rows, experts)`."""
    h = np.repeat(x[:, None], num, axis=1)
    if units:
        h = oracle.experts(x, w, f"{name}hidden", num, units)
    kernel, bias = w[f"{name}logits/kernel_0"], w[f"{name}logits/bias_0"]
    assert kernel.shape == (num, h.shape[-1], 1)
    return (np.einsum("bki,kio->bko", h, kernel) + bias[:, 0])[..., 0]


def _logit(
    x,
    w,
    renormalise=False,
    num_specific_experts=SPECIFIC,
    num_shared_experts=SHARED,
    expert_hidden_units=(),
):
    p, domains = x["domain_id"], w["embedding_domain_id/embeddings"]
    history, valid, target = oracle.history(x, w)
    name = "dnn_attention_default"
    shares = _shares(target, history, valid, w, f"{name}/items")
    shares = shares * _shares(
        domains[p], domains[x["seen_domain"]], valid, w, f"{name}/scenarios"
    )
    assert (shares.sum(1) <= 1 + 1e-9).all()
    if renormalise:
        total = shares.sum(1, keepdims=True)
        shares = shares / np.where(total > 0, total, 1)
    u = np.einsum("bl,bld->bd", shares, history)
    rate = x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"]
    plain = oracle.columns(oracle.PLAIN, x, w)
    h = np.concatenate([u, plain, domains[p], rate], axis=-1)
    h = h * w["dnn_transform/domain_beta"][p] + w["dnn_transform/domain_gamma"][p]
    main = "dnn_experts/main"
    logits = []
    m, units = num_specific_experts, expert_hidden_units
    if m:
        mean, variance = (
            w[f"{main}/norm/domain_mean"],
            w[f"{main}/norm/domain_variance"],
        )
        normed = (h - mean[p]) / np.sqrt(variance[p] + 1e-3)
        every = _experts(normed, w, f"{main}/domain_", DOMAINS * m, units)
        own = [every[i, m * d : m * d + m] for i, d in enumerate(p)]
        logits.append(np.stack(own))
    if num_shared_experts:
        mean, variance = w[f"{main}/bn/moving_mean"], w[f"{main}/bn/moving_variance"]
        normed = (h - mean) / np.sqrt(variance + 1e-3)
        logits.append(_experts(normed, w, f"{main}/", num_shared_experts, units))
    num = m + num_shared_experts
    shares = oracle.softmax(oracle.dense(h, w, "dnn_experts/gate", num, bias=False))
    return (shares * np.concatenate(logits, axis=-1)).sum(1, keepdims=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"renormalise": True},
        {"num_specific_experts": 0},
        {"num_shared_experts": 0},
        {"expert_hidden_units": (5, 3)},
    ],
    ids=str,
)
@pytest.mark.oracle
def test_it_computes_the_paper(options):
    model, x = _model(**options), _rows(11)
    w = oracle.weights(model)
    w.beside("dnn_experts/bias", "dnn_experts/coefficients")  # of training alone
    if options.get("num_specific_experts", SPECIFIC):
        w.beside("dnn_experts/main/norm/domain_rows")  # of unknown domains alone
    expected = _logit(x, w, **options)
    found = oracle.logit(model, x)
    close(found, expected, terms=1_000)


def test_parameters():
    model = sar_net(zoo.fields(domain=True), attention_hidden_units=())
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + 3 * 4 + 4
    width = 12 + 4 + 3 + 5 + 8 + 4 + 2 + 2 + 4 + 4
    attention = 4 * 12 + 1
    transform = 2 * 3 * width
    experts = 3 * 2 * (width + 1) + 8 * (width + 1) + 10 * width
    statistics = 3 * (2 * width + 1) + 2 * width
    expected = tables + attention + transform + experts + statistics
    assert model.count_params() == expected


def test_inference_does_not_know_the_coefficient():
    model, x = _model(), _rows(9)
    before = zoo.predictions(model, x)
    np.testing.assert_array_equal(
        zoo.predictions(model, {**x, "fc": x["fc"] * 0}), before
    )
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    other = {**feed, "fc": feed["fc"][::-1]}
    trained = [model(f, training=True)["logit"].numpy() for f in (feed, other)]
    assert not np.allclose(*trained, atol=1e-4)


def test_the_bias_is_of_the_coefficients_bucket():
    layer = DebiasExperts(2, 1, 1)
    h, ids = RNG.normal(size=(8, 3)).astype("float32"), np.arange(8) % 2
    same = [np.full(8, fc, "float32") for fc in (1.0, 1.05)]
    fc = np.r_[same[0][:4], np.full(4, 5.0, "float32")]
    layer([h, ids, fc])
    zoo.jitter(layer)
    outputs = [layer([h, ids, c], training=True).numpy() for c in (*same, fc)]
    close(outputs[0], outputs[1], terms=100)
    assert not np.allclose(outputs[0], outputs[2], atol=1e-3)


def test_a_domain_has_a_bias_of_its_own():
    layer = DebiasExperts(2, 1, 0)
    h, fc = np.ones((4, 3), "float32"), np.ones(4, "float32")
    layer([h, np.arange(4) % 2, fc])
    zoo.jitter(layer)
    for weight in layer.main.weights:
        weight.assign(weight * 0)  # nothing but the bias is left
    one, other = layer([h, np.arange(4) % 2, fc], training=True).numpy()[:2]
    assert abs(one - other) > 1e-3


def _loss_and_gradients(model, x, y):
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(feed, y, model(feed, training=True))
    variables = model.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    pairs = zip(variables, found, strict=True)
    return float(loss), {
        v.path: np.asarray(tf.convert_to_tensor(g)) for v, g in pairs if g is not None
    }


def test_the_coefficient_weighs_rows():
    x, y = _rows(24), zoo.labels("rank", 24).astype("float32")
    model = _model(fc_as_feature=False)
    model.compile("sgd", {"ctr": "binary_crossentropy"})
    ones = {**x, "fc": np.ones(24, "float32")}
    plain, plain_gradients = _loss_and_gradients(model, ones, y)
    twice, twice_gradients = _loss_and_gradients(model, {**x, "fc": ones["fc"] * 2}, y)
    close(twice, 2 * plain, terms=100)
    for path, gradient in plain_gradients.items():
        close(twice_gradients[path], 2 * gradient, terms=10_000)
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    z = oracle.logit(model, x)[:, 0]
    losses = np.logaddexp(0, z) - y * z
    close(logs["loss"], (x["fc"] * losses).mean(), terms=100)
    assert not any("fc" in path for path in plain_gradients)
    given = np.random.default_rng(2).choice([0, 1, 3], 24)
    logs = model.evaluate(x, y, sample_weight=given, verbose=0, return_dict=True)
    close(logs["loss"], (x["fc"] * losses * given).mean(), terms=100)


def test_experts_without_a_transform_are_a_plain_mixture():
    layer = DebiasExperts(3, 0, 4)
    h, ids = RNG.normal(size=(20, 5)).astype("float32"), np.arange(20) % 3
    out = layer([h, ids]).numpy()
    w = {v.path.split("/", 1)[1]: v.numpy() for v in layer.weights}
    normed = h / np.sqrt(1 + 1e-3)
    every = normed @ w["main/logits/kernel_0"][..., 0].T
    shares = oracle.softmax(h @ w["gate/kernel"])
    close(out, (shares * every).sum(1, keepdims=True), terms=1_000)


def test_an_unknown_domain_has_the_experts_of_all():
    layer = DebiasExperts(2, 2, 3)
    h = RNG.normal(size=(6, 4)).astype("float32")
    layer([h, np.zeros(6)])
    zoo.jitter(layer)
    only = DebiasExperts(2, 0, 3)
    only([h, np.zeros(6)])
    for one, other in zip(only.main.shared, layer.main.shared, strict=True):
        one.set_weights(other.get_weights())
    only.main.bn.set_weights(layer.main.bn.get_weights())
    only.gate.kernel.assign(layer.gate.kernel[:, 2:])
    found = layer([h, np.full(6, 2)])
    close(found, only([h, np.zeros(6)]), terms=1_000)


def test_fairness_coefficients():
    found = fairness_coefficient([10, 10, 1000], [6.0, 3.0, 0.0])
    close(found, [2.0, 1.0, 0.1], terms=1)


def test_config():
    for layer in (
        CrossScenarioAttention((4,), "relu", True),
        ScalarExperts(3, 1, 2, 4, (5,), "tanh"),
        DebiasExperts(3, 1, 2, 1, (5,), "tanh", 8, 2),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="experts of each domain.*num_specific=0"):
        sar_net(_fields(), BOTH, 0, 0)
    for name in ("nosuch", "item_id", "scores"):
        with pytest.raises(ValueError, match=f"one number.*fairness='{name}'"):
            sar_net(_fields(), BOTH, fairness=name)
    with pytest.raises(ValueError, match="'r': fc_as_weight needs a binary task"):
        sar_net(_fields(), Task("r", "regression"), fairness="fc")
    with pytest.raises(ValueError, match="sar_net compares behaviours"):
        sar_net(
            [
                Field("d", vocabulary_size=2, belong="domain"),
                Field("seen", vocabulary_size=9, length=3, belong="history"),
            ]
        )


@pytest.mark.all
def test_it_learns_from_behaviours_of_the_same_scenario_alone():
    """An item is liked where it has been seen, not elsewhere."""
    rng = np.random.default_rng(0)
    n = 2500
    item, domain = rng.integers(1, 6, n), rng.integers(0, 2, n)
    seen, places = rng.integers(1, 6, (n, 6)), rng.integers(0, 2, (n, 6))
    y = ((seen == item[:, None]) & (places == domain[:, None])).any(1).astype("float32")
    fields = [
        Field("item", vocabulary_size=6, dim=8, belong="item"),
        Field("seen", emb="item", length=6, belong="history"),
        Field("place", emb="domain", length=6, belong="history"),
        Field("domain", vocabulary_size=2, dim=8, belong="domain"),
    ]
    x = {"item": item, "seen": seen, "place": places, "domain": domain}
    scores = []
    for some in (fields, [f for f in fields if f.name != "place"]):
        keras.utils.set_random_seed(0)
        model = sar_net(some, attention_hidden_units=(8,))
        adam = keras.optimizers.Adam(0.01)
        model.compile(adam, "binary_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=12, batch_size=100, verbose=0)
        scores.append(model.evaluate(x, y, verbose=0)[1])
    assert scores[0] > scores[1] + 0.05, scores
