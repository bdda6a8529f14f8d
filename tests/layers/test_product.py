"""Products of pairs against loops over the pairs."""

import itertools

import numpy as np
import pytest

from recsys.layers.interaction.product import (
    InnerProduct,
    KernelProduct,
    NetProduct,
    OuterProduct,
    ProductLayer,
)
from tests.close import close

F, D = 4, 3
PAIRS = list(itertools.combinations(range(F), 2))


def _inputs(rows=5):
    rng = np.random.default_rng(0)
    return list(rng.normal(size=(F, rows, D)).astype("float32"))


def _jitter(layer):
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(weight + rng.normal(size=weight.shape))


def test_inner_and_outer_products():
    e = _inputs()
    inner = np.stack([(e[i] * e[j]).sum(-1) for i, j in PAIRS], 1)
    close(InnerProduct()(e), inner, terms=100)
    outer = sum(np.einsum("bi,bj->bij", a, b) for a in e for b in e)
    found = np.asarray(OuterProduct()(e)).reshape(5, D, D)
    close(found, outer, terms=1_000)
    fm = inner.sum(-1)
    squares = sum((a * a).sum(-1) for a in e)
    close(np.trace(found, axis1=1, axis2=2), squares + 2 * fm, terms=1_000)


@pytest.mark.parametrize("kernel_type", ["num", "vec", "mat"])
def test_kernels(kernel_type):
    e, layer = _inputs(), KernelProduct(kernel_type)
    close(layer(e), InnerProduct()(e), terms=100)
    _jitter(layer)
    k = np.asarray(layer.kernel, "float64")
    assert k.shape == (6,) + {"num": (), "vec": (D,), "mat": (D, D)}[kernel_type]
    expected = np.zeros((5, 6))
    for p, (i, j) in enumerate(PAIRS):
        for row in range(5):
            a, b = e[i][row], e[j][row]
            expected[row, p] = a @ k[p] @ b if k.ndim == 3 else (a * k[p] * b).sum()
    close(layer(e), expected, terms=1_000)


def test_narrower_kernels_are_special_cases_of_wider_ones():
    e = _inputs()
    num, vec, mat = (KernelProduct(k) for k in ("num", "vec", "mat"))
    for layer in (num, vec, mat):
        layer(e)
    c = np.arange(6) + 0.5
    num.kernel.assign(c)
    vec.kernel.assign(np.tile(c[:, None], (1, D)))
    close(vec(e), num(e), terms=100)
    v = np.random.default_rng(2).normal(size=(6, D))
    vec.kernel.assign(v)
    mat.kernel.assign(np.stack([np.diag(row) for row in v]))
    close(mat(e), vec(e), terms=100)


def test_networks():
    e, layer = _inputs(), NetProduct(4, 2, "tanh")
    layer(e)
    _jitter(layer)
    w = {weight.name: np.asarray(weight, "float64") for weight in layer.weights}

    def norm(x, i):  # (rows, pairs, units)
        mean, var = (f(x, axis=(1, 2), keepdims=True) for f in (np.mean, np.var))
        return (x - mean) / np.sqrt(var + 1e-5) * w[f"scale_{i}"] + w[f"shift_{i}"]

    x = [np.concatenate([e[i], e[j], e[i] * e[j]], -1) for i, j in PAIRS]
    for n in (1, 2):
        z = [a @ w[f"kernel_{n}"][p] + w[f"bias_{n}"][p] for p, a in enumerate(x)]
        z = norm(np.stack(z, 1), n)
        z = np.tanh(z) if n == 1 else z
        x = list(z.transpose(1, 0, 2))
    close(layer(e), z.reshape(5, 12), terms=1_000)


@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ({}, 12 + 6),
        ({"inner": False, "outer": True}, 12 + 6),
        ({"outer": True, "kernel_type": None}, 12 + 6 + 9),
        ({"outer": True, "kernel_type": "net", "net_size": 7}, 12 + 6 + 6),
    ],
)
def test_the_product_layer_puts_them_side_by_side(arguments, width):
    layer, e = ProductLayer(**arguments), _inputs()
    out = np.asarray(layer(e))
    assert out.shape == layer.compute_output_shape([(5, D)] * F) == (5, width)
    np.testing.assert_array_equal(out[:, :12], np.concatenate(e, -1))
    config = layer.get_config()
    assert ProductLayer.from_config(config).get_config() == config


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="needs a product"):
        ProductLayer(inner=False)
    with pytest.raises(ValueError, match="'num', 'vec', 'mat'.*'matrix'"):
        KernelProduct("matrix")
    with pytest.raises(ValueError, match=r"of one dim. Received: dims \[3, 2\]"):
        InnerProduct()([np.zeros((1, 3)), np.zeros((1, 2))])
    with pytest.raises(ValueError, match=r"two embeddings or more.*dims \[3\]"):
        InnerProduct()([np.zeros((1, 3))])
