"""FINAL against the equations of the paper."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, load_model
from recsys.rank.finalnet import (
    FactorizedLayer,
    FieldGate,
    SelfDistillation,
    finalnet,
)
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
COLUMNS += ["seen", "seen_category"]
DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
BOTH = Task("ctr", return_logit=True)
UNITS = (100, 64)  # by default of both stacks


def _stack(y, w, i, residual, use_bn):
    for j, units in enumerate(UNITS):
        name = f"dnn_stack_{i}_{j}"
        width = units if residual == "concat" else 2 * units
        h2, h1 = np.split(oracle.dense(y, w, f"{name}/dense", width), 2, axis=1)
        parts = [h2, h1 * h2]
        y = np.concatenate(parts, axis=1) if residual == "concat" else sum(parts)
        if use_bn:
            mean, variance = (w[f"{name}/bn/moving_{n}"] for n in ("mean", "variance"))
            y = (y - mean) / np.sqrt(variance + 1e-5)
            y = y * w[f"{name}/bn/gamma"] + w[f"{name}/bn/beta"]
    return oracle.dense(y, w, f"dnn_logit_{i}/logit", 1)


def _logits(model, x, residual="concat", use_bn=False):
    w = oracle.weights(model)
    e = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    return [_stack(e, w, i, residual, use_bn) for i in range(2)]


@pytest.mark.parametrize("use_bn", [False, True])
@pytest.mark.parametrize("residual", ["concat", "sum"])
@pytest.mark.oracle
def test_it_computes_the_paper(residual, use_bn):
    model = finalnet(zoo.fields(), BOTH, residual=residual, use_bn=use_bn)
    zoo.jitter(model, 0.1)
    x = zoo.rows(9)
    expected = sum(_logits(model, x, residual, use_bn)) / 2
    found = oracle.logit(model, x)
    close(found, expected, terms=1_000)


@pytest.mark.parametrize("gate", ["concat", "sum"])
def test_a_field_gate_before_the_first_stack(gate):
    model = finalnet(zoo.fields(dim=4), BOTH, field_gate=gate, use_bn=False)
    zoo.jitter(model, 0.2)
    x, w = zoo.rows(9), oracle.weights(model)
    attention = oracle.zoo_attention(x, w)
    deep = np.concatenate([oracle.columns(DEEP, x, w), attention], -1)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS[:6]]
    e = np.stack([*e, attention[:, :4], attention[:, 4:]], axis=1)
    kernel = w["dnn_field_gate/kernel"]
    gated = e * (
        np.einsum("bid,ij->bjd", e, kernel) + w["dnn_field_gate/bias"][:, None]
    )
    sides = [e, gated] if gate == "concat" else [e + gated]
    first = [*(side.reshape(9, -1) for side in sides), x["scores"]]
    inputs = (np.hstack(first), deep)
    logits = [_stack(y, w, i, "concat", use_bn=False) for i, y in enumerate(inputs)]
    found = oracle.logit(model, x)
    close(found, sum(logits) / 2, terms=1_000)


def test_a_new_field_gate_is_open():
    e = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    flat = e.reshape(5, -1)
    close(FieldGate()(e), np.hstack([flat, flat]), terms=1)
    close(FieldGate("sum")(e), 2 * flat, terms=1)


@pytest.mark.parametrize(("residual", "factor"), [("concat", 1), ("sum", 2)])
def test_parameters(residual, factor):
    layer = FactorizedLayer(6, residual)
    layer.build((None, 5))
    trainable = sum(int(np.prod(v.shape)) for v in layer.trainable_weights)
    assert trainable == factor * (5 * 6 + 6) + 2 * 6


def test_layers_reach_a_degree_of_two_to_their_number():
    layers = [FactorizedLayer(3, "sum", use_bn=False) for _ in range(2)]
    t = np.linspace(-1, 1, 30)
    y = (t[:, None] * [0.3, -0.5, 0.7]).astype("float32")
    for layer in layers:
        layer.build(y.shape)
        layer.dense.kernel.assign(3 * layer.dense.kernel)
        y = layer(y).numpy()
    for degree, fits in ((3, False), (4, True)):
        p = np.polyfit(t, y[:, 0], degree)
        assert np.allclose(np.polyval(p, t), y[:, 0], atol=1e-4) == fits


def _bce(label, logit):
    return np.logaddexp(0, logit) - label * logit


def test_it_trains_on_labels_and_on_its_own_mean(tmp_path):
    model, x = finalnet(zoo.fields(), use_bn=False), zoo.rows(32)
    zoo.jitter(model, 0.1)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(32) < 0.3, np.nan, rng.integers(0, 2, 32))
    weight = rng.uniform(0.5, 2, 32)
    one, other = (logit[:, 0] for logit in _logits(model, x))
    mean = (one + other) / 2
    teacher = oracle.sigmoid(mean)
    main = _bce(np.nan_to_num(y), mean)
    distilled = _bce(teacher, one) + _bce(teacher, other)
    here = ~np.isnan(y)
    model.compile("sgd", "binary_crossentropy")
    for w in (np.ones(32), weight):
        expected = (w * (main + distilled))[here].mean()
        given = {} if w is not weight else {"sample_weight": weight}
        found = model.evaluate(x, y, verbose=0, **given)
        close(found, expected, terms=100)
    full = rng.integers(0, 2, 32)  # integers: none is missing
    expected = (_bce(full, mean) + distilled).mean()
    close(model.evaluate(x, full, verbose=0), expected, terms=100)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    close(loaded.evaluate(x, full, verbose=0), expected, terms=100)


def test_distillation_leaves_the_mean_alone():
    layer, logits = SelfDistillation(), tf.constant([[[0.3], [-1.0]], [[2.0], [0.5]]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        mean = layer([logits[0], logits[1]])
        loss = layer.loss({}, {}, {}, True)
    expected = (oracle.sigmoid(logits) - oracle.sigmoid(mean)) / 2
    close(tape.gradient(loss, logits), expected, terms=100)


def test_one_stack_and_no_distillation():
    one = finalnet(zoo.fields(), second_hidden_units=())
    assert not any(
        w.path.startswith(("dnn_stack_1", "dnn_logit_1")) for w in one.weights
    )
    for model in (one, finalnet(zoo.fields(), distillation=0.0)):
        assert not any(isinstance(layer, SelfDistillation) for layer in model.layers)
        model.predict(zoo.rows(3), verbose=0)


def test_config():
    for layer in (FactorizedLayer(4, "sum", "relu", 0.1, 0.2, False), FieldGate("sum")):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="even.*residual='concat', units=5"):
        finalnet(zoo.fields(), hidden_units=(5,))
    with pytest.raises(ValueError, match="'sum'.*Received: residual='none'"):
        finalnet(zoo.fields(dim=4), field_gate="none")
    with pytest.raises(ValueError, match="one dim.*'user_id': 4.*'age': 3"):
        finalnet(zoo.fields(), field_gate="sum", history_agg="mean_pooling")
    with pytest.raises(ValueError, match="set it to 0. Received: belong='regression'"):
        finalnet(zoo.fields(), Task("price", "regression"))


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(
        lambda fields: finalnet(fields, hidden_units=(16,)), planted.pairwise
    )
