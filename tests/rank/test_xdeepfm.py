"""xDeepFM against eq. 6-9 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Task
from recsys.layers.interaction import FM
from recsys.rank.xdeepfm import CIN, xdeepfm
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
COLUMNS += ["seen", "seen_category"]
DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
CIN_UNITS = (6, 4, 5)
E = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")


def _maps(x0, w, split_half=False, f=lambda x: x):
    """Eq. 6 and 7, layer by layer."""
    x, pooled = x0, []
    for i, units in enumerate(CIN_UNITS):
        kernel = w[f"dnn_cin/kernel_{i}"].reshape(x.shape[1], x0.shape[1], units)
        x = maps = f(np.einsum("ijh,bid,bjd->bhd", kernel, x, x0))
        if split_half and i + 1 < len(CIN_UNITS):
            half = x.shape[1] // 2
            x, maps = x[:, :half], x[:, half:]
        pooled.append(maps.sum(-1))
    return np.concatenate(pooled, axis=-1)


@pytest.mark.parametrize(
    "options", [{}, {"split_half": True}, {"cin_activation": "relu"}], ids=str
)
@pytest.mark.oracle
def test_it_computes_the_paper(options):
    task = Task("ctr", return_logit=True)
    model = xdeepfm(zoo.fields(dim=4), task, cin_units=CIN_UNITS, **options)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    first = w["dnn_bias/bias"] + sum(
        oracle.column(name, x, w, "embedding_linear__") for name in [*COLUMNS, "scores"]
    )
    e = np.stack([oracle.column(name, x, w, "embedding_") for name in COLUMNS], axis=1)
    f = oracle.relu if "cin_activation" in options else lambda x: x
    maps = _maps(e, w, "split_half" in options, f)
    explicit = oracle.dense(maps, w, "dnn_cin_logit/logit", 1, bias=False)
    deep = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    logit = first + explicit + oracle.tower(deep, w, "dnn_mlp", (100, 64), bias=False)
    found = oracle.logit(model, x)
    close(found, logit, terms=1_000)


@pytest.mark.parametrize("split_half", [False, True])
def test_parameters(split_half):
    model = xdeepfm(zoo.fields(dim=4), cin_units=(6, 4), split_half=split_half)
    kernels = 6 * 8 * 8 + 4 * (3 if split_half else 6) * 8
    assert model.get_layer("dnn_cin").count_params() == kernels
    pooled = (3 if split_half else 6) + 4
    assert model.get_layer("dnn_cin_logit").count_params() == pooled


def test_a_linear_layer_grows_with_its_degree():
    cin = CIN((2, 2))
    for scale in (1.0, 3.0):
        found = keras.ops.convert_to_numpy(cin(scale * E))
        if scale == 1.0:
            before = found
    close(found, before * [9, 9, 27, 27], terms=1_000)


def test_a_map_of_ones_holds_the_factorization_machine():
    cin = CIN([1])
    cin.build(E.shape)
    cin.set_weights([np.ones((9, 1))])
    expected = 2 * FM()(E).numpy()[:, 0] + (E**2).sum((1, 2))
    close(cin(E)[:, 0], expected, terms=100)


def test_penalty_and_config():
    cin = CIN((4, 3), "relu", True, 0.1)
    cin.build(E.shape)
    squares = sum(float((w.numpy() ** 2).sum()) for w in cin.weights)
    close(float(sum(cin.losses)), 0.1 * squares, terms=100)
    assert CIN.from_config(cin.get_config()).get_config() == cin.get_config()


def test_errors():
    with pytest.raises(ValueError, match=r"even.*units=\(3, 4\), split_half=True"):
        xdeepfm(zoo.fields(dim=4), cin_units=(3, 4), split_half=True)
    with pytest.raises(ValueError, match=r"at least one. Received: cin_units=\(\)"):
        xdeepfm(zoo.fields(dim=4), cin_units=())
    with pytest.raises(ValueError, match="one dim.*'user_id': 4.*'age': 3"):
        xdeepfm(zoo.fields())


@pytest.mark.all
def test_it_learns_a_cross():
    """Two layers without an MLP: products of three embeddings."""
    planted.assert_learns(
        lambda fields: xdeepfm(fields, cin_units=(8, 8), hidden_units=()),
        planted.cross,
    )
