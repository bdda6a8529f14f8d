"""Wukong against eq. 1-7 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.wukong import WukongLayer, wukong
from tests import oracle, planted, zoo
from tests.close import close

IDS = ["user_id", "age", "tags", "item_id", "category", "hour"]
SMALL = {"num_fm": 3, "num_linear": 2, "rank": 4, "fm_hidden_units": (6,)}
LOGIT = Task("ctr", return_logit=True)


def _layer(x, w, name):
    """Section 3.3; R is the identity where the number of vectors stays."""
    rows, n, dim = x.shape
    num_fm, num_linear = SMALL["num_fm"], SMALL["num_linear"]
    assert w[f"{name}/y"].shape == (n, SMALL["rank"])
    assert w[f"{name}/w"].shape == (num_linear, n)
    products = np.einsum("bid,bjd,jk->bik", x, x, w[f"{name}/y"])
    flat = oracle.norm(products.reshape(rows, -1), w, f"{name}/norm_fm")
    hidden = oracle.mlp(flat, w, f"{name}/mlp", SMALL["fm_hidden_units"])
    fm = oracle.dense(hidden, w, f"{name}/last", num_fm * dim)
    fm = fm.reshape(rows, num_fm, dim)
    linear = np.einsum("ln,bnd->bld", w[f"{name}/w"], x)
    same = n == num_fm + num_linear
    shortcut = x if same else np.einsum("ln,bnd->bld", w[f"{name}/r"], x)
    return oracle.norm(np.concatenate([fm, linear], 1) + shortcut, w, f"{name}/norm")


@pytest.mark.oracle
def test_it_computes_the_paper():
    model = wukong(zoo.fields(dim=4), LOGIT, hidden_units=(8, 6), **SMALL)
    x = zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    history = oracle.zoo_attention(x, w)
    v = [oracle.column(n, x, w, "embedding_") for n in IDS]
    z = np.stack([*v, history[:, :4], history[:, 4:]], 1)
    for i in (0, 1):
        z = _layer(z, w, f"dnn_layer_{i}")
    top = np.concatenate([z.reshape(9, -1), x["scores"]], 1)
    logit = oracle.tower(top, w, "dnn_mlp", (8, 6))
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


def test_parameters():
    model = wukong(zoo.fields(dim=4), hidden_units=(8,), **SMALL)
    tables = (40 + 1 + 12 + 30 + 7 + 24) * 4
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    layers = 0
    for n in (8, 5):
        mlp = 4 * n * 6 + 6 + 6 * 12 + 12
        layers += n * 4 + 2 * n * 4 + mlp + 2 * n + 2 * 4 + (5 * n if n != 5 else 0)
    top = (5 * 4 + 2) * 8 + 8 + 8 + 1
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + layers + top


def test_a_layer_without_products_and_compression_is_a_norm():
    layer = WukongLayer(2, 3, 4)
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
    layer(x)
    for weight in (layer.w, *layer.last.weights):
        weight.assign(weight * 0)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    expected = (x - mean) / np.sqrt(var + 1e-5)
    close(layer(x), expected, terms=1_000)


def test_fields_must_have_one_dim():
    with pytest.raises(ValueError, match="one dim"):
        wukong(zoo.fields())


def test_config():
    layer = WukongLayer(2, 3, 4, (5,), "tanh")
    assert WukongLayer.from_config(layer.get_config()).get_config() == (
        layer.get_config()
    )


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(wukong, planted.pairwise, 0.01)
