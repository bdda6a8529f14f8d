"""AdaptDHM against section 3 of the paper."""

import numpy as np
import pytest

from recsys import Task, load_model
from recsys.multidomain.adaptdhm import DistributionRouter, adaptdhm
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
UNITS = (9, 6)
SIZES = {"dnn_star/dense_0": UNITS[0], "dnn_star/dense_1": UNITS[1]}
SIZES |= {"dnn_star_logit": 1}
X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _model(**kwargs):
    model = adaptdhm(
        zoo.fields(domain=True), BOTH, hidden_units=UNITS, activation="relu", **kwargs
    )
    zoo.jitter(model)
    return model


def _features(x, w):
    rate = x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"]
    plain = oracle.columns(oracle.PLAIN, x, w)
    history = oracle.zoo_attention(x, w)
    domain = w["embedding_domain_id/embeddings"][x["domain_id"]]
    return np.concatenate([plain, history, domain, rate], axis=-1)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(24)
    w = oracle.weights(model)
    h = _features(x, w)
    k = np.argmax(_unit(h) @ w["dnn_router/centres"].T, axis=-1)
    assert len(set(k)) == 3
    for name, units in SIZES.items():
        kernels = w[f"{name}/kernel"] * w[f"{name}/domain_kernel"][k]
        assert kernels.shape[1:] == (h.shape[-1], units)
        biases = w[f"{name}/bias"] + w[f"{name}/domain_bias"][k]
        h = np.einsum("bi,bio->bo", h, kernels) + biases
        h = h if name == "dnn_star_logit" else oracle.relu(h)
    found = oracle.logit(model, x)
    close(found, h, terms=1_000)


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + 3 * 4 + 4
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12 + 4 + 4
    sizes = [width, 9, 6, 1]
    layers = sum(5 * (i + 1) * o for i, o in zip(sizes, sizes[1:], strict=False))
    model = _model(num_clusters=4, history_agg="mean_pooling")
    assert model.count_params() == tables + 4 * width + layers


@pytest.mark.parametrize("normalise", [True, False])
def test_centres_follow_the_rows(normalise):
    layer = DistributionRouter(3, rounds=2, momentum=0.8, normalise=normalise)
    layer(X)
    e = _unit(X) if normalise else X
    c = layer.centres.numpy()
    close(np.linalg.norm(c, axis=-1), 1, terms=100)
    for _ in range(2):
        r = oracle.softmax(e @ c.T)
        means = (r.T @ e) / r.sum(0)[:, None]
        c = _unit(0.8 * c + 0.2 * means)
    routes = layer(X, training=True)
    close(layer.centres, c, terms=1_000)
    np.testing.assert_array_equal(routes, np.argmax(e @ c.T, axis=-1))
    close(np.linalg.norm(layer.centres, axis=-1), 1, terms=100)


def test_twice_the_rows_move_a_centre_as_far():
    layers = [DistributionRouter(3, seed=1) for _ in range(2)]
    layers[0](X, training=True)
    layers[1](np.repeat(X, 2, axis=0), training=True)
    close(layers[0].centres, layers[1].centres, terms=1_000)


def test_inference_and_files_keep_the_centres(tmp_path):
    model, x = _model(), zoo.rows(24)
    centres = model.get_layer("dnn_router").centres.numpy()
    before = zoo.predictions(model, x)
    np.testing.assert_array_equal(model.get_layer("dnn_router").centres, centres)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_layer("dnn_router").centres, centres)
    np.testing.assert_array_equal(zoo.predictions(loaded, x), before)


def test_equals_go_to_the_first():
    layer = DistributionRouter(3)
    layer(X)
    layer.centres.assign(np.repeat(layer.centres.numpy()[:1], 3, axis=0))
    np.testing.assert_array_equal(layer(X), np.zeros(30))


def test_one_cluster_is_a_single_network():
    model, x = _model(num_clusters=1), zoo.rows(9)
    for weight in model.weights:
        if "/domain_kernel" in weight.path:
            weight.assign(np.ones(weight.shape))
        if "/domain_bias" in weight.path:
            weight.assign(np.zeros(weight.shape))
    w = oracle.weights(model)
    # All rows are of one cluster, and what is its own has been taken out.
    w.beside("dnn_router", *(f"{name}/domain_" for name in SIZES))
    h = _features(x, w)
    for i, units in enumerate(UNITS):
        h = oracle.relu(oracle.dense(h, w, f"dnn_star/dense_{i}", units))
    logit = oracle.dense(h, w, "dnn_star_logit", 1)
    found = oracle.logit(model, x)
    close(found, logit, terms=1_000)


def test_config_and_errors():
    config = DistributionRouter(3, 2, 0.8, False, 4).get_config()
    assert DistributionRouter.from_config(config).get_config() == config
    with pytest.raises(ValueError, match="at least 1.*num_clusters=0"):
        adaptdhm(zoo.fields(), num_clusters=0)
