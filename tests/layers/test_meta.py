"""M2M's layers: weights that a scenario generates."""

import numpy as np
import pytest
import tensorflow as tf

from recsys.layers.meta import MetaAttention, MetaTower, MetaUnit
from tests import zoo
from tests.close import close

RNG = np.random.default_rng(0)
S = RNG.normal(size=(5, 3)).astype("float32")
H = RNG.normal(size=(5, 4, 6)).astype("float32")


def leaky(z):
    return np.where(z > 0, z, 0.2 * z)


def unit(h, s, w, name, depth, f=leaky):
    """One vector after the other, each with the weights of its row."""
    for i in range(depth):
        v, base = w[f"{name}kernel_of_scenario_{i}"], w[f"{name}kernel_{i}"]
        u, bias = w[f"{name}bias_of_scenario_{i}"], w[f"{name}bias_{i}"]
        out = np.empty(h.shape)
        for row in range(len(h)):
            kernel = base + np.einsum("k,ijk->ij", s[row], v) / np.sqrt(h.shape[-1])
            out[row] = f(h[row] @ kernel + bias + s[row] @ u)
        h = out
    return h


def weights(layer):
    return {
        w.path.removeprefix(f"{layer.name}/"): w.numpy().astype("float64")
        for w in layer.weights
    }


@pytest.mark.parametrize("h", [H, H[:, :1], H[:, 0]], ids=["several", "one", "flat"])
def test_a_unit_has_the_weights_of_its_scenario(h):
    layer = MetaUnit(2)
    layer([h, S])
    zoo.jitter(layer)
    expected = unit(h.astype("float64"), S, weights(layer), "", 2)
    close(layer([h, S]), expected, terms=1_000)


def test_vectors_of_a_row_are_independent():
    layer = MetaUnit(2)
    together = layer([H, S])
    for i in range(4):
        close(layer([H[:, i], S]), together[:, i], terms=1_000)


def test_generating_the_identity_is_the_identity():
    layer = MetaUnit(3, None)
    layer([H, S])
    for weight in layer.weights:
        value = np.zeros(weight.shape)
        if weight.name.startswith("kernel") and value.ndim == 2:
            value = np.eye(6)
        weight.assign(value)
    close(layer([H, S]), H)


def test_weights_are_generated_once_for_all_vectors():
    layer = MetaUnit(1)
    layer([H, S])

    def multiplications(h):
        graph = tf.function(lambda h, s: layer([h, s])).get_concrete_function(h, S)
        count = 0
        for op in graph.graph.get_operations():
            if op.type in ("MatMul", "BatchMatMulV2", "Einsum"):
                inner = op.inputs[0].shape[-1]
                count += np.prod(op.outputs[0].shape.as_list()) * inner
        return count

    one, several = multiplications(H[:, :1]), multiplications(H)
    n, k = 6, 3
    assert one == 5 * (n * n * k + n * k + n * n + k * n)
    assert several == 5 * (n * n * k + 4 * n * n + 4 * n * n + k * n)


def test_shares_sum_to_one_and_depend_on_the_scenario():
    layer = MetaAttention(2)
    experts, tasks = H, H[:, :2] * 0.5
    layer([experts, tasks, S])
    zoo.jitter(layer)
    shares = np.asarray(layer.shares([experts, tasks, S]))
    assert shares.shape == (5, 2, 4)
    close(shares.sum(-1), 1, terms=100)
    assert not np.allclose(shares, layer.shares([experts, tasks, -S]), atol=1e-3)
    expected = np.einsum("bti,biv->btv", shares, experts)
    found = layer([experts, tasks, S])
    close(found, expected, terms=1_000)


def test_one_expert_is_all():
    layer = MetaAttention(2)
    found = layer([H[:, :1], H[:, :2], S])
    close(found, np.repeat(H[:, :1], 2, axis=1))


def test_a_tower_without_layers_is_nothing():
    np.testing.assert_array_equal(MetaTower(0)([H, S]), H)


def test_a_tower_has_a_unit_of_its_own_in_each_layer():
    layer = MetaTower(2, 1)
    layer([H, S])
    assert len(layer.weights) == 2 * 4
    zoo.jitter(layer)
    w = weights(layer)
    expected = H.astype("float64")
    for j in range(2):
        expected = leaky(unit(expected, S, w, f"unit_{j}/", 1) + expected)
    close(layer([H, S]), expected, terms=1_000)


def test_config():
    for layer in (
        MetaUnit(2, "relu", 0.1, 0.2),
        MetaAttention(2, "relu", 0.1, 0.2),
        MetaTower(2, 3, "relu", 0.1, 0.2),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
