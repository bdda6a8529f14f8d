"""NFM against eq. 3-6 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.nfm import BiInteraction, nfm
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
UNITS = (6, 5)


def _model(**kwargs):
    model = nfm(zoo.fields(dim=4), LOGIT, **kwargs)
    zoo.jitter(model)
    return model


def _first_and_pool(w, x):
    first = oracle.first_order(x, w)
    e = oracle.fm_embeddings(x, w)
    return first, sum(i * j for i, j in itertools.combinations(e, 2))  # eq. 4


@pytest.mark.parametrize("use_bn", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(use_bn):
    model, x = _model(hidden_units=UNITS, use_bn=use_bn), zoo.rows(9)
    w = oracle.weights(model)

    def norm(z, name):
        if not use_bn:
            return z
        scale = np.sqrt(w[f"{name}/moving_variance"] + 1e-5)
        z = (z - w[f"{name}/moving_mean"]) / scale
        return z * w[f"{name}/gamma"] + w[f"{name}/beta"]

    first, z = _first_and_pool(w, x)
    z = norm(z, "dnn_pool_norm")
    for i, units in enumerate(UNITS):
        z = oracle.dense(z, w, f"dnn_mlp/dense_{i}", units)
        z = oracle.relu(norm(z, f"dnn_mlp/bn_{i}"))
    logit = first + oracle.dense(z, w, "dnn_mlp/logit", 1, bias=False)
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


def test_without_layers_it_is_a_factorization_machine():
    model, x = _model(hidden_units=(), use_bn=False), zoo.rows(9)
    kernel = model.get_layer("dnn_mlp").logit.kernel
    kernel.assign(np.ones((4, 1)))
    w = oracle.weights(model)
    assert (w["dnn_mlp/logit/kernel"] == 1).all()
    first, pool = _first_and_pool(w, x)
    logit = first + pool.sum(-1, keepdims=True)
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_one_field_has_no_pair_and_order_does_not_matter():
    v = list(np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32"))
    np.testing.assert_array_equal(BiInteraction()(v[:1]), np.zeros((3, 4)))
    close(BiInteraction()(v), BiInteraction()(v[::-1]), terms=1_000)


def test_parameters():
    tables = 40 + 1 + 12 + 30 + 7 + 24
    mlp = 4 * 6 + 6 + 2 * 6 + 6
    model = nfm(zoo.fields(dim=4), hidden_units=(6,))
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables * 5 + 2 + 1 + 2 * 4 + mlp


def test_dropout_works_on_the_pool_in_training_only():
    model, x = _model(pooled_dropout=0.5, use_bn=False), zoo.rows(9)
    inputs = {name: x[name] for name in model.input}
    calm = [np.asarray(model(inputs)["logit"]) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    assert (np.asarray(model(inputs, training=True)["logit"]) != calm[0]).any()


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(nfm, planted.pairwise)
