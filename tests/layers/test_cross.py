"""Cross networks against the equations of DCN and DCN-V2."""

import keras
import numpy as np
import pytest

from recsys.layers.interaction import CrossNet
from recsys.layers.interaction.cross import MatrixCross, VectorCross
from tests import zoo
from tests.close import close

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def _jittered(layer, width=4):
    layer.build((None, width))
    zoo.jitter(layer)
    return layer


def _without_bias(net):
    for layer in net.layers:
        layer.bias.assign(np.zeros(layer.bias.shape))
    return net


def _out(net, x=X):
    return keras.ops.convert_to_numpy(net(x))


@pytest.mark.parametrize("kind", [{"cross_type": "vector"}, {}, {"low_rank_dim": 2}])
@pytest.mark.oracle
def test_it_computes_the_papers(kind):
    net = _jittered(CrossNet(3, **kind))
    x0 = x = X.astype("float64")
    for layer in net.layers:
        w = {v.name: np.asarray(v.numpy(), "float64") for v in layer.weights}
        if kind.get("cross_type") == "vector":
            inner = np.array([row @ w["kernel"] for row in x])  # a number for each row
            x = x0 * inner + w["bias"] + x
        else:
            matrix = w["v"] @ w["u"] if "low_rank_dim" in kind else w["kernel"]
            x = x0 * (np.einsum("bi,ij->bj", x, matrix) + w["bias"]) + x
    close(_out(net), x, terms=100)


def test_without_layers_or_with_zero_weights_it_is_the_identity():
    np.testing.assert_array_equal(_out(CrossNet(0)), X)
    for kind in ("vector", "matrix"):
        net = _jittered(CrossNet(3, kind))
        for weight in net.weights:
            weight.assign(np.zeros(weight.shape))
        np.testing.assert_array_equal(_out(net), X)


def test_vectors_without_bias_give_multiples_of_the_input():
    ratio = _out(_without_bias(_jittered(CrossNet(3, "vector")))) / X
    close(ratio, ratio[:, :1] * np.ones(4), terms=1_000)


def test_a_vector_is_a_matrix_of_equal_columns():
    vector, matrix = (_jittered(CrossNet(2, kind)) for kind in ("vector", "matrix"))
    for one, other in zip(vector.layers, matrix.layers, strict=True):
        other.kernel.assign(one.kernel.numpy() @ np.ones((1, 4)))
    close(_out(_without_bias(vector)), _out(_without_bias(matrix)), terms=100)


def test_a_number_becomes_a_polynomial():
    net = _jittered(CrossNet(3, "vector"), width=1)
    for layer in net.layers:
        layer.kernel.assign([[1.0]])
    x = X[:, :1]
    expected = x * (1 + x) ** 3
    close(_out(_without_bias(net), x), expected, terms=100)


def test_full_rank_is_the_full_matrix():
    full, low = _jittered(CrossNet(1)), _jittered(CrossNet(1, low_rank_dim=4))
    (one,), (other,) = full.layers, low.layers
    one.kernel.assign(other.v.numpy() @ other.u.numpy())
    one.bias.assign(other.bias)
    close(_out(full), _out(low), terms=100)


def test_kernels_are_penalised():
    net = _jittered(CrossNet(2, low_rank_dim=2, l2_reg=0.1))
    squares = sum((w.numpy() ** 2).sum() for w in net.weights if w.name != "bias")
    close(float(sum(net.losses)), 0.1 * squares, terms=100)


def test_errors():
    with pytest.raises(ValueError, match="cross_type.*Received: cross_type='full'"):
        CrossNet(cross_type="full")
    with pytest.raises(ValueError, match="low_rank_dim is for matrices.*=2"):
        CrossNet(cross_type="vector", low_rank_dim=2)
    with pytest.raises(ValueError, match="at least 1. Received: low_rank_dim=0"):
        CrossNet(low_rank_dim=0).build((None, 4))


@pytest.mark.parametrize(
    "layer",
    [CrossNet(3, "vector", l2_reg=0.1), VectorCross(0.1), MatrixCross(2, 0.1)],
    ids=lambda layer: type(layer).__name__,
)
def test_config(layer):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
