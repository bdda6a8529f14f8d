"""Experts and gates: numbers, draws, precision, dropout, shapes."""

import numpy as np
import pytest

from recsys import load_model
from recsys.layers import gate_values
from recsys.layers.experts import Experts
from recsys.layers.gates import Gate, GatingNetwork, Mixture
from recsys.layers.interaction import GatingNetwork as OfVersion1
from recsys.multitask.mmoe import mmoe
from recsys.multitask.shared_bottom import shared_bottom
from tests import oracle, zoo
from tests.close import close

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)).astype("float32")


@pytest.mark.parametrize("activation", ["relu", "prelu", "dice"])
def test_each_expert_is_an_mlp_of_its_own(activation):
    layer = Experts(3, (4, 2), activation, name="e")
    layer.build(X.shape)
    zoo.jitter(layer)
    w = oracle.weights(layer)
    found = np.asarray(layer(X))
    assert found.shape == layer.compute_output_shape(X.shape) == (6, 3, 2)
    for k in range(3):
        h = X.astype("float64")
        for i, units in enumerate((4, 2)):
            h = h @ w[f"e/kernel_{i}"][k] + w[f"e/bias_{i}"][k]
            part = slice(k * units, (k + 1) * units)
            if activation == "relu":
                h = np.maximum(h, 0)
            elif activation == "prelu":
                h = np.where(h > 0, h, w[f"e/activation_{i}/alpha"][part] * h)
            else:
                keys = ("alpha", "moving_mean", "moving_variance")
                own = {f"own/{v}": w[f"e/activation_{i}/{v}"][part] for v in keys}
                h = oracle.dice(h, own, "own")
        close(found[:, k], h, terms=1_000)


def test_one_input_for_each_expert():
    each = RNG.normal(size=(6, 3, 5)).astype("float32")
    layer = Experts(3, 4)
    found = np.asarray(layer(each))
    for k in range(3):
        close(found[:, k], np.asarray(layer(each[:, k]))[:, k], terms=100)


def test_normalisation_is_per_expert_and_unit():
    layer = Experts(2, 3, None, use_bn=True)
    layer.build(X.shape)
    found = np.asarray(layer(X, training=True))
    close(found.mean(0), np.zeros((2, 3)), terms=1_000)
    assert found.std(0) == pytest.approx(np.ones((2, 3)), abs=0.1)
    assert layer.norms[0].moving_mean.shape == (6,)


def test_experts_start_apart_and_as_wide_as_one_dense_layer():
    kernel = Experts(50, 30)
    kernel.build((None, 20))
    drawn = kernel.kernels[0].numpy()
    assert len({each.tobytes() for each in drawn}) == 50
    limit = np.sqrt(6 / (20 + 30))
    assert 0.99 * limit < np.abs(drawn).max() <= limit


def test_a_gate_sums_to_one_also_under_dropout():
    gate = Gate(4, gate_dropout=0.5)
    x = RNG.normal(size=(500, 5)).astype("float32")
    plain, dropped = np.asarray(gate(x)), np.asarray(gate(x, training=True))
    for shares in (plain, dropped):
        assert (shares >= 0).all()
        close(shares.sum(1), 1, terms=100)
    gone = dropped == 0
    assert 0.45 < gone.mean() < 0.55  # less the rows that lost all
    alike = ~gone.any(1)
    close(dropped[alike], plain[alike], terms=100)
    kept = np.where(gone, 0, plain)
    close(dropped, kept / kept.sum(1, keepdims=True), terms=100)
    assert alike.mean() > 2 / 16 * 0.7  # all kept, or all dropped


def test_equal_rows_get_equal_mixtures_in_training():
    """Version 1 dropped and normalised the scores themselves."""
    gate = Gate(3, (8,), dropout=0.0, use_bn=True)
    x = np.repeat(X[:1], 40, axis=0)
    shares = np.asarray(gate(x, training=True))
    np.testing.assert_array_equal(shares, np.repeat(shares[:1], 40, axis=0))
    plain = GatingNetwork(3, "g", 0.0, 0.9, True)  # no hidden layer to drop or norm
    experts = RNG.normal(size=(40, 3, 2)).astype("float32")
    assert len(plain.gate.weights) == 0
    np.testing.assert_array_equal(
        plain([x, experts], training=True), plain([x, experts])
    )
    assert [tuple(w.shape) for w in plain.weights] == [(5, 3)]


def test_a_gate_is_float32_under_every_policy():
    gate = Gate(3, (4,), dtype="mixed_float16")
    assert gate(X).dtype == "float32"
    network = GatingNetwork(2, dtype="mixed_float16")
    assert network([X, np.ones((6, 2, 4), "float16")]).dtype == "float16"


def test_a_mixture_of_groups_is_that_of_their_union():
    shares = np.asarray(Gate(5)(X))
    every = RNG.normal(size=(6, 5, 3)).astype("float32")
    expected = (shares[..., None] * every).sum(1)
    for groups in ([every], [every[:, :2], every[:, 2:]]):
        close(Mixture()([shares, *groups]), expected, terms=100)


def test_gate_values_of_a_model(tmp_path):
    model = mmoe(zoo.fields(), zoo.TASKS, 3, gate_dropout=0.1)
    zoo.jitter(model)
    x = zoo.rows(5)
    model.save(tmp_path / "m.keras")
    values = gate_values(load_model(tmp_path / "m.keras"), x)
    w = oracle.weights(model)
    w.beside("dnn_experts", "dnn_tower")  # gates do not read them
    features = oracle.features(x, w)
    assert list(values) == ["dnn_gate_click", "dnn_gate_like"]
    for name, found in values.items():
        scores = oracle.dense(features, w, f"{name}/gate/scores", 3, bias=False)
        expected = oracle.softmax(scores)
        close(found, expected, terms=1_000)
    with pytest.raises(ValueError, match="no gates"):
        gate_values(shared_bottom(zoo.fields(), zoo.TASKS), x)


def test_config():
    assert OfVersion1 is GatingNetwork
    for layer in (
        Experts(2, (3, 4), "dice", 0.1, 0.2, True),
        Gate(2, (3,), "tanh", 0.1, 0.2, True, True, 0.3),
        GatingNetwork(
            2, "g", 0.1, 0.2, True, hidden_units=(3,), use_bias=True, gate_dropout=0.3
        ),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="num_experts=0, hidden_units="):
        Experts(0, 3)
    with pytest.raises(ValueError, match=r"hidden_units=\(\)"):
        Experts(2, ())
    with pytest.raises(ValueError, match=r"its 2 experts. Received: shape \(6, 3, 5\)"):
        Experts(2, 3)(np.ones((6, 3, 5)))
    with pytest.raises(ValueError, match="gate_dropout=1"):
        Gate(2, gate_dropout=1.0)
    with pytest.raises(ValueError, match=r"3 shares for groups of \[1, 1\] experts"):
        Mixture()([np.ones((2, 3)), np.ones((2, 1, 4)), np.ones((2, 1, 4))])
