"""EDCN against the equations of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.edcn import AttentionBridge, ConcatBridge, Regulation, edcn
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
WIDTHS = [4, 3, 5, 8, 4, 2, 8, 4]
WIDTH = sum(WIDTHS)
LAYERS = 3
BOTH = Task("ctr", return_logit=True)


def _regulated(z, w, name, options):
    gate, norm = w[f"{name}/gate"], options.get("norm", "scalar")
    gamma = oracle.softmax(gate / options.get("temperature", 1.0))
    parts = np.split(z, np.cumsum(WIDTHS)[:-1], axis=1)
    r = np.concatenate([g * e for g, e in zip(gamma, parts, strict=True)], axis=1)
    if norm is None:
        return r
    if norm == "layer":
        return oracle.norm(r, w, f"{name}/norm")
    mean, variance = (w[f"{name}/norm/moving_{n}"] for n in ("mean", "variance"))
    r = (r - mean) / np.sqrt(variance + 1e-5)
    return r * w[f"{name}/norm/gamma"] + w[f"{name}/norm/beta"]


def _bridge(x, h, w, name, bridge):
    if bridge == "hadamard":
        return x * h
    if bridge == "add":
        return x + h
    if bridge == "concat":
        return oracle.relu(oracle.dense(np.hstack([x, h]), w, f"{name}/dense", WIDTH))
    total = 0.0
    for side, value in (("cross", x), ("deep", h)):
        hidden = oracle.relu(oracle.dense(value, w, f"{name}/{side}_hidden", WIDTH))
        score = oracle.dense(hidden, w, f"{name}/{side}_score", WIDTH, bias=False)
        total += oracle.softmax(score) * value
    return total


def _logit(model, rows, options):
    w = oracle.weights(model)
    e = [oracle.columns(COLUMNS, rows, w), oracle.zoo_attention(rows, w)]
    z, x0 = np.hstack(e), None
    for i in range(LAYERS):
        rc, rd = (
            _regulated(z, w, f"dnn_regulation_{branch}_{i}", options)
            for branch in ("cross", "deep")
        )
        x0 = rc if x0 is None else x0
        cross, deep = f"dnn_cross_{i}", f"dnn_deep_{i}/dense_0"
        if options.get("cross_type") == "matrix":  # DCN-V2, eq. 1
            x = x0 * oracle.dense(rc, w, cross, WIDTH) + rc
        else:  # DCN, eq. 3
            x = x0 * oracle.dense(rc, w, cross, 1, bias=False) + rc + w[f"{cross}/bias"]
        if options.get("preactivation"):
            h = oracle.dense(oracle.relu(rd), w, deep, WIDTH)
        else:
            h = oracle.relu(oracle.dense(rd, w, deep, WIDTH))
        bridge = options.get("bridge", "hadamard")
        z = _bridge(x, h, w, f"dnn_bridge_{i}", bridge)
    joint = np.hstack([x, h, z, rows["scores"]])
    return oracle.dense(joint, w, "dnn_logit/logit", 1)


def _model(**options):
    model = edcn(zoo.fields(), BOTH, **{"num_layers": LAYERS, **options})
    zoo.jitter(model, 0.1)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bridge": "add", "temperature": 0.5},
        {"bridge": "concat", "norm": "layer"},
        {"bridge": "attention", "norm": None},
        {"cross_type": "matrix", "preactivation": True},
    ],
    ids=str,
)
@pytest.mark.oracle
def test_it_computes_the_paper(options):
    model, x = _model(**options), zoo.rows(9)
    found = oracle.logit(model, x)
    expected = _logit(model, x, options)
    close(found, expected, terms=1_000)


@pytest.mark.parametrize(
    ("bridge", "parameters"),
    [
        ("hadamard", 0),
        ("add", 0),
        ("concat", 2 * WIDTH**2 + WIDTH),
        ("attention", 2 * (2 * WIDTH**2 + WIDTH)),
    ],
)
def test_parameters(bridge, parameters):
    counts = []
    for layers in (1, 3):
        model = edcn(zoo.fields(), num_layers=layers, bridge=bridge)
        counts.append(sum(int(np.prod(v.shape)) for v in model.trainable_weights))
    of_layer = 2 * len(WIDTHS) + 4 + 2 * WIDTH + WIDTH**2 + WIDTH + parameters
    assert counts[1] - counts[0] == 2 * of_layer


E = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def test_regulation_starts_with_equal_weights():
    for rescale, weight in ((False, 1 / 2), (True, 1.0)):
        layer = Regulation([2, 3], norm=None, rescale=rescale)
        close(layer(E), weight * E)


@pytest.mark.parametrize("norm", ["scalar", "layer", None])
def test_the_norm_leaves_the_weights_of_the_fields(norm):
    """Normalised unit by unit, a field would be as large with any weight."""
    layer = Regulation([2, 3], norm=norm)
    spread = []
    for gate in ([0.0, 0.0], [2.0, 0.0]):
        if not layer.built:
            layer.build(E.shape)
        layer.gate.assign(gate)
        out = layer(E, training=True).numpy()
        spread.append(out[:, :2].std() / out[:, 2:].std())
    assert spread[1] > 2 * spread[0]


def test_a_high_temperature_makes_weights_equal():
    layer = Regulation([2, 3], 1e6, None)
    layer.build(E.shape)
    layer.gate.assign([5.0, -5.0])
    close(layer(E), E / 2, terms=1_000)


def test_the_first_input_of_the_cross_stays():
    """Gates of the second layer do not move what it multiplies with."""
    model, x = _model(num_layers=2, norm=None, bridge="add"), zoo.rows(4)
    cross = model.get_layer("dnn_cross_1")
    cross.kernel.assign(np.zeros(cross.kernel.shape))
    cross.bias.assign(np.zeros(cross.bias.shape))
    inner = type(model)(model.input, {"z": cross.output})
    before = inner.predict(x, verbose=0)["z"]
    gate = model.get_layer("dnn_regulation_cross_1").gate
    regulated = oracle.softmax(gate.numpy().astype("float64"))
    gate.assign(gate + np.arange(8))
    after = oracle.softmax(gate.numpy().astype("float64"))
    ratio = np.repeat(after / regulated, WIDTHS)
    found = inner.predict(x, verbose=0)["z"]
    close(found, before * ratio, terms=1_000)


@pytest.mark.parametrize("bridge", [ConcatBridge, AttentionBridge])
def test_bridges_with_weights_tell_the_branches_apart(bridge):
    layer, other = bridge(0.1), E[::-1].copy()
    assert not np.allclose(layer([E, other]), layer([other, E]), atol=1e-3)
    squares = sum(float((w.numpy() ** 2).sum()) for w in layer.weights)
    close(float(sum(layer.losses)), 0.1 * squares, terms=100)
    assert bridge.from_config(layer.get_config()).get_config() == layer.get_config()


def test_dropout_before_or_behind_the_product():
    for preactivation in (True, False):
        model = edcn(zoo.fields(), dropout=0.5, preactivation=preactivation)
        x = {
            name: column for name, column in zoo.rows(9).items() if name in model.input
        }
        assert np.any(model(x, training=True) != model(x, training=True))


def test_config():
    config = Regulation([2, 3], 0.5, "layer", True).get_config()
    assert Regulation.from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="bridge one of.*bridge='sum'"):
        edcn(zoo.fields(), bridge="sum")
    with pytest.raises(ValueError, match="at least 1.*num_layers=0"):
        edcn(zoo.fields(), num_layers=0)
    with pytest.raises(ValueError, match="'layer' or None.*norm='batch'"):
        edcn(zoo.fields(), norm="batch")


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(edcn, planted.cross)
