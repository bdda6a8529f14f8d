"""DCNv3 against the equations of the paper."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, load_model
from recsys.rank.dcnv3 import (
    ExponentialCrossNet,
    Heads,
    LinearCrossNet,
    SelfMaskCross,
    TriBCE,
    dcnv3,
)
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
COLUMNS += ["seen", "seen_category", "scores"]
LAYERS = {"dnn_exponential": 2, "dnn_linear": 3}
WIDTH = 4 + 3 + 5 + 8 + 4 + 2 + 8 + 4 + 2
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def _head(x, w, head, heads):
    """Its share of each field: all first halves, then all second ones."""
    first, second = [], []
    for name in COLUMNS:
        e = oracle.column(name, x, w, "embedding_")
        if name != "scores":
            width = e.shape[1] // heads
            e = e[:, head * width : (head + 1) * width]
        half = -(-e.shape[1] // 2)
        first.append(e[:, :half])
        second.append(e[:, half:])
    return np.concatenate(first + second, axis=1)


def _crossed(x1, w, network, use_ln):
    x = x1
    for i in range(LAYERS[network]):
        name = f"{network}/cross_{i}"
        h = oracle.dense(x, w, name, WIDTH // 2, bias=False)
        mask = oracle.norm(h, w, f"{name}/ln") if use_ln else h
        c = np.concatenate([h, h * oracle.relu(mask)], axis=1) + w[f"{name}/bias"]
        x = (x if network == "dnn_exponential" else x1) * c + x
    return x


def _logits(model, x, heads=1, use_ln=True):
    w = oracle.weights(model)
    return [
        np.mean(
            [
                oracle.dense(
                    _crossed(_head(x, w, k, heads), w, network, use_ln),
                    w,
                    f"{network}_logit/logit",
                    1,
                )
                for k in range(heads)
            ],
            axis=0,
        )
        for network in LAYERS
    ]


def _model(*args, **kwargs):
    exponential, linear = LAYERS.values()
    layers = {"num_exponential_layers": exponential, "num_linear_layers": linear}
    model = dcnv3(zoo.fields(), *args, **layers, **kwargs)
    zoo.jitter(model, 0.1)
    return model


@pytest.mark.parametrize("use_ln", [True, False])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.oracle
def test_it_computes_the_paper(heads, use_ln):
    model = _model(Task("ctr", return_logit=True), num_heads=heads, use_ln=use_ln)
    x = zoo.rows(9)
    found = oracle.logit(model, x)
    expected = sum(_logits(model, x, heads, use_ln)) / 2
    close(found, expected, terms=1_000)


@pytest.mark.parametrize("heads", [1, 2])
def test_parameters(heads):
    model = dcnv3(zoo.fields(), num_heads=heads)
    tables = heads * (40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2)
    layer = WIDTH**2 // 2 + WIDTH + WIDTH
    assert model.count_params() == tables + 8 * layer + 2 * (WIDTH + 1)


@pytest.mark.parametrize("network", [LinearCrossNet, ExponentialCrossNet])
def test_with_zero_weights_it_is_the_identity(network):
    net = network(3)
    net.build(X.shape)
    for weight in net.weights:
        weight.assign(np.zeros(weight.shape))
    np.testing.assert_array_equal(net(X), X)


def test_dropout_in_training_only():
    net = LinearCrossNet(1, dropout=0.5)
    assert np.count_nonzero(net(X, training=False)) == X.size
    assert np.count_nonzero(net(np.tile(X, (9, 1)), training=True)) < 9 * X.size * 0.7


def _bce(label, logit):
    return np.logaddexp(0, logit) - label * logit


@pytest.mark.parametrize("detach_weights", [False, True])
def test_tri_bce(detach_weights, tmp_path):
    """The loss is the paper's, with missing labels and sample weights."""
    model, x = _model(detach_weights=detach_weights), zoo.rows(32)
    one, other = (logit[:, 0] for logit in _logits(model, x))
    rng = np.random.default_rng(0)
    y = np.where(rng.random(32) < 0.3, np.nan, rng.integers(0, 2, 32))
    here, filled = ~np.isnan(y), np.nan_to_num(y)
    model.compile("sgd", "binary_crossentropy")
    model.save(tmp_path / "m.keras")
    for weight in (np.ones(32), rng.uniform(0.5, 2, 32)):
        mean, *own = (
            (weight * _bce(filled, z))[here].mean()
            for z in ((one + other) / 2, one, other)
        )
        assert max(own) > mean  # a network lags behind
        expected = mean + sum(max(0, loss - mean) * loss for loss in own)
        for each in (model, load_model(tmp_path / "m.keras")):
            found = each.evaluate(x, y, sample_weight=weight, verbose=0)
            close(found, expected, terms=100)


@pytest.mark.parametrize("detach_weights", [False, True])
def test_the_gradient_of_the_weights_of_tri_bce(detach_weights):
    layer = TriBCE(detach_weights)
    logits = tf.constant([[[0.3], [-1.0]], [[2.0], [0.5]]])
    label = np.array([[1.0], [1.0]], "float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        layer([logits[0], logits[1]])
        loss = layer.loss({"y": label}, {"y": None}, {}, True)
    one, other = np.asarray(logits, "float64")
    mean = (one + other) / 2
    l1, l0 = _bce(label, one).mean(), _bce(label, mean).mean()
    assert l1 > l0 > _bce(label, other).mean()
    of_one = (oracle.sigmoid(one) - label) / 2
    through = 0 if detach_weights else l1
    of_mean = (oracle.sigmoid(mean) - label) / 4
    expected = [
        (l1 - l0) * of_one + through * (of_one - of_mean),
        -through * of_mean,
    ]
    close(tape.gradient(loss, logits), expected, terms=1_000)


def test_without_tri_bce():
    model = dcnv3(zoo.fields(), Task("price", "regression"), tri_bce=False)
    assert not any(isinstance(layer, TriBCE) for layer in model.layers)
    assert model.predict(zoo.rows(3), verbose=0).shape == (3, 1)


def test_config():
    layers = (
        SelfMaskCross(False, 0.2, 0.1),
        LinearCrossNet(3, False, 0.2, 0.1),
        ExponentialCrossNet(3, False, 0.2, 0.1),
        Heads(2, 1),
        TriBCE(True, weight=0.5),
    )
    for layer in layers:
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="must be even.*Received: width 37"):
        dcnv3([field for field in zoo.fields() if field.name != "age"])
    with pytest.raises(ValueError, match="at least 1. Received: num_heads=0"):
        Heads(0)
    with pytest.raises(ValueError, match="set it to False. Received: belong='regr"):
        dcnv3(zoo.fields(), Task("price", "regression"))


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(
        lambda fields: dcnv3(fields, num_exponential_layers=2, num_linear_layers=2),
        planted.cross,
    )
