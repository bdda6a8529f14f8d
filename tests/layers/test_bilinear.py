"""Bilinear pairs and squeezed weights against loops."""

import itertools

import numpy as np
import pytest

from recsys.layers.interaction.bilinear import BilinearInteraction, BiLinearLayer
from recsys.layers.interaction.product import InnerProduct
from recsys.layers.interaction.senet import FieldSENet, SENet
from tests.close import close

F, D = 4, 6
PAIRS = list(itertools.combinations(range(F), 2))


def _inputs(rows=5):
    rng = np.random.default_rng(0)
    return list(rng.normal(size=(F, rows, D)).astype("float32"))


def _jitter(layer):
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape))


def _matrices(layer):
    """By pair."""
    kernels = [np.asarray(kernel, "float64") for kernel in layer.kernels]
    if layer.bilinear_type == "all":
        return [kernels[0]] * len(PAIRS)
    if layer.bilinear_type == "each":
        return [kernels[i] for i, _ in PAIRS]
    return [kernels[i][:, (j - i - 1) * D : (j - i) * D] for i, j in PAIRS]


@pytest.mark.parametrize(
    ("kind", "count"), [("all", 1), ("each", 3), ("interaction", 6)]
)
def test_the_left_embedding_passes_the_matrix(kind, count):
    e, layer = _inputs(), BilinearInteraction(kind)
    layer(e)
    _jitter(layer)
    assert sum(int(np.prod(w.shape)) for w in layer.weights) == count * D * D
    w = _matrices(layer)
    p = [(e[i] @ w[n]) * e[j] for n, (i, j) in enumerate(PAIRS)]
    close(layer(e), np.concatenate(p, -1), terms=1_000)
    sums = BilinearInteraction(kind, product_1bit=True)
    sums(e)
    sums.set_weights(layer.get_weights())
    close(sums(e), np.stack([x.sum(-1) for x in p], 1), terms=1_000)


def test_with_identities_it_is_the_inner_product():
    e, layer = _inputs(), BilinearInteraction("each", product_1bit=True)
    layer(e)
    layer.set_weights([np.eye(D)] * 3)
    close(layer(e), InnerProduct()(e), terms=100)


def test_bilinear_plus_is_a_linear_layer_on_the_products():
    e, layer = _inputs(), BiLinearLayer(7)
    layer(e)
    _jitter(layer)
    w = np.asarray(layer.bilinear.kernels[0])
    p = np.stack([((e[i] @ w) * e[j]).sum(-1) for i, j in PAIRS], 1)
    h = p @ np.asarray(layer.low_rank.kernel) + np.asarray(layer.low_rank.bias)
    close(layer(e), h, terms=1_000)
    config = layer.get_config()
    assert BiLinearLayer.from_config(config).get_config() == config


def test_senet_weighs_fields():
    e, layer = _inputs(), FieldSENet(2)
    layer(e)
    layer.set_weights([abs(w) for w in layer.get_weights()])
    z = np.stack([x.mean(-1) for x in e], 1)
    w1, w2 = (np.asarray(w) for w in layer.weights)
    assert w1.shape == (F, 2) and w2.shape == (2, F)
    a = np.maximum(np.maximum(z @ w1, 0) @ w2, 0)
    for f, v in enumerate(layer(e)):
        close(v, a[:, f : f + 1] * e[f], terms=1_000)


def test_senet_plus_weighs_numbers():
    e, layer = _inputs(), SENet(3, 2)
    layer(e)
    _jitter(layer)
    w1, w2, scale, shift = (np.asarray(w, "float64") for w in layer.weights)
    assert w1.shape == (16, 5) and scale.shape == shift.shape == (D,)
    groups = [x[:, half : half + D // 2] for x in e for half in (0, D // 2)]
    z = np.stack([g.mean(-1) for g in groups] + [g.max(-1) for g in groups], 1)
    a = np.maximum(z @ w1, 0) @ w2
    for f, u in enumerate(np.split(np.asarray(layer(e)), F, axis=1)):
        x = e[f] * a[:, f * D : f * D + D] + e[f]
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        x = (x - mean) / np.sqrt(var + 1e-6) * scale + shift
        close(u, x, terms=1_000)


def test_senet_plus_without_weights_is_a_norm():
    e, layer = _inputs(), SENet()
    layer(e)
    layer.excite.kernel.assign(layer.excite.kernel * 0)
    u = np.split(np.asarray(layer(e)), F, axis=1)[2]
    x = (e[2] - e[2].mean(-1, keepdims=True)) / e[2].std(-1, keepdims=True)
    close(u, x, terms=10_000)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'interaction'.*Received: .*'some'"):
        BilinearInteraction("some")
    with pytest.raises(ValueError, match=r"two embeddings or more.*dims \[3\]"):
        BilinearInteraction()([np.zeros((1, 3))])
    with pytest.raises(ValueError, match=r"divisible by num_groups=4.*dims \[6\]"):
        SENet(num_groups=4)(_inputs())
