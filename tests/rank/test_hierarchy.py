"""Models that contain each other must coincide, with weights carried over.

Cross networks do in `tests/layers/test_cross.py`, `test_dcn_mix.py`, `test_gdcn.py`.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from recsys import Task, create_model
from recsys.layers.interaction.bilinear import BilinearInteraction
from recsys.layers.interaction.pairs import inner_products
from recsys.layers.interaction.product import KernelProduct
from recsys.rank.xdeepfm import CIN
from tests import oracle, zoo
from tests.close import close

D, F = 4, 8
LOGIT = Task("ctr", return_logit=True)
PAIRS = list(itertools.combinations(range(F), 2))


def _fields():
    """Each in a group of its own, but for histories, which share that of a field."""
    return [
        f if f.belong == "history" else replace(f, group=f.name)
        for f in zoo.fields(dim=D)
    ]


def _without_histories():
    return [f for f in _fields() if f.belong != "history"]


def _build(name, fields=None, **kwargs):
    model = create_model(name, fields or _fields(), task=LOGIT, **kwargs)
    zoo.jitter(model, seed=len(name))
    return model


def _carry(source, model):
    """Tables, weights and bias; a wider table gets one vector several times."""
    given = {weight.path: weight.numpy() for weight in source.weights}
    for weight in model.weights:
        if weight.path.startswith(("embedding_", "dnn_bias")):
            value = given[weight.path]
            weight.assign(
                np.tile(
                    value,
                    (1,) * (value.ndim - 1) + (weight.shape[-1] // value.shape[-1],),
                )
            )


def _logit(model):
    return model.predict(zoo.rows(32), verbose=0)["logit"]


@pytest.fixture(scope="module")
def fm():
    return _build("fm")


def _set(model, layer, **values):
    for name, value in values.items():
        weight = getattr(model.get_layer(layer), name)
        weight.assign(np.broadcast_to(value, weight.shape))


def _as_fm(name):
    if name == "fwfm":
        model = _build(name, linear="weight")
        _set(model, "dnn_fwfm", r=1)
    elif name == "fmfm":
        model = _build(name)
        for i, kernel in enumerate(model.get_layer("dnn_fmfm").kernels):
            kernel.assign(np.tile(np.eye(D), (1, F - 1 - i)))
    elif name == "fvfm":
        model = _build("fmfm", kernel="vector")
        _set(model, "dnn_fvfm", m=1)
    elif name == "fefm":
        model = _build(name)
        _set(model, "dnn_fefm", kernel=np.eye(D))
    elif name == "ffm":
        model = _build(name)
    elif name == "gwpfm":
        model = _build(name, history_agg="mean_pooling")
        _set(model, "dnn_gwpfm", r=1)
    elif name == "nfm":
        model = _build(name, hidden_units=(), use_bn=False)
        model.get_layer("dnn_mlp").logit.kernel.assign(np.ones((D, 1)))
    elif name == "afm":  # with equal attention, times the number of pairs
        model = _build(name)
        model.get_layer("dnn_attention").score.kernel.assign(np.zeros((16, 1)))
        kernel = model.get_layer("dnn_projection").kernel
        kernel.assign(np.full((D, 1), len(PAIRS)))
    else:
        model = _build(name, hidden_units=())
    return model


@pytest.mark.parametrize(
    "name",
    ["fwfm", "fmfm", "fvfm", "fefm", "ffm", "gwpfm", "nfm", "afm", "deepfm"],
)
def test_a_factorization_machine_is_in(name, fm):
    model = _as_fm(name)
    assert not np.allclose(_logit(model), _logit(fm), rtol=1e-2)
    _carry(fm, model)
    close(_logit(model), _logit(fm), terms=1_000)


def test_a_linear_model_is_in_a_factorization_machine(fm):
    lr = _build("lr")
    _carry(fm, lr)
    without = _build("fm")
    _carry(fm, without)
    for weight in without.weights:
        if not weight.path.startswith(("embedding_linear", "dnn_bias")):
            weight.assign(weight * 0)
    close(_logit(without), _logit(lr), terms=100)


def test_layers_that_sum_to_a_factorization_machine(fm):
    x, w = zoo.rows(32), oracle.weights(fm)
    e = np.stack(oracle.fm_embeddings(x, w), 1).astype("float32")
    second = _logit(fm)[:, 0] - oracle.first_order(x, w)[:, 0]
    squares = np.square(e).sum((1, 2))
    listed = [e[:, i] for i in range(F)]
    bilinear = BilinearInteraction("all")
    bilinear(listed)
    bilinear.kernels[0].assign(np.eye(D))
    cin = CIN([1])
    cin(e)
    cin.kernels[0].assign(np.ones((F * F, 1)))
    for found in (
        inner_products(e),
        *(KernelProduct(kernel)(listed) for kernel in ("num", "vec", "mat")),
        bilinear(listed),
        (np.asarray(cin(e)) - squares[:, None]) / 2,
    ):
        total = np.asarray(found).sum(-1)
        close(total, second, terms=10_000)


@pytest.mark.parametrize("name", ["fmfm", "fefm", "gwpfm"])
def test_field_weights_are_in(name):
    fields = _without_histories()
    n = len(fields) - 1  # one has no embedding
    pairs = list(itertools.combinations(range(n), 2))
    fwfm = _build("fwfm", fields, linear="weight")
    r = np.asarray(fwfm.get_layer("dnn_fwfm").r)[:, 0]
    model = _build(name, fields)
    _carry(fwfm, model)
    if name == "fmfm":
        for i, kernel in enumerate(model.get_layer("dnn_fmfm").kernels):
            blocks = [r[pairs.index((i, j))] * np.eye(D) for j in range(i + 1, n)]
            kernel.assign(np.concatenate(blocks, axis=1))
    elif name == "fefm":
        kernel = model.get_layer("dnn_fefm").kernel
        kernel.assign(r[:, None, None] * np.eye(D))
    else:
        layer = model.get_layer("dnn_gwpfm")
        of_groups = np.zeros((n, n))
        for p, (i, j) in enumerate(pairs):
            of_groups[i, j] = r[p]
        layer.r.assign(of_groups[np.triu_indices(n)])
    close(_logit(model), _logit(fwfm), terms=1_000)


def test_gwpfm_with_each_field_a_group_is_ffm():
    ffm = _build("ffm", _without_histories())
    gwpfm = _build("gwpfm", _without_histories())
    _set(gwpfm, "dnn_gwpfm", r=1)
    _carry(ffm, gwpfm)
    close(_logit(gwpfm), _logit(ffm), terms=1_000)
