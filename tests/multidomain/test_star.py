"""STAR against eq. 2-9 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field, Task, create_model
from recsys.layers.interaction import PartitionedNormalization
from recsys.multidomain.star import star
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
UNITS, AUXILIARY = (9, 6), (5,)


def _model(**kwargs):
    units = {"fcn_units": UNITS, "aux_units": AUXILIARY}
    model = star(zoo.fields(domain=True), task=BOTH, **{**units, **kwargs})
    zoo.jitter(model)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, PartitionedNormalization):
            layer.domain_mean.assign(rng.normal(size=layer.domain_mean.shape))
            layer.domain_variance.assign(rng.random(layer.domain_mean.shape) + 0.5)
    return model


def _norm(x, p, w, name):
    w.beside(f"{name}/domain_rows")  # weigh the statistics of unknown domains
    mean, variance = w[f"{name}/domain_mean"][p], w[f"{name}/domain_variance"][p]
    gamma = w[f"{name}/gamma"] * w[f"{name}/domain_gamma"][p]
    beta = w[f"{name}/beta"] + w[f"{name}/domain_beta"][p]
    return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta


def _dense(x, p, w, name, units):
    kernels = w[f"{name}/kernel"] * w[f"{name}/domain_kernel"][p]
    assert kernels.shape[1:] == (x.shape[-1], units)
    biases = w[f"{name}/bias"] + w[f"{name}/domain_bias"][p]
    return np.einsum("bi,bio->bo", x, kernels) + biases


def features(x, w):
    """What belongs to no domain, and what does."""
    plain = np.concatenate(
        [oracle.columns(oracle.PLAIN, x, w), oracle.zoo_attention(x, w)], axis=-1
    )
    rate = x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"]
    return plain, np.concatenate(
        [w["embedding_domain_id/embeddings"][x["domain_id"]], rate], axis=-1
    )


@pytest.mark.parametrize("aux_norm", [True, False])
@pytest.mark.oracle
def test_it_computes_the_paper(aux_norm):
    """Eq. 2-9."""
    model, x = _model(aux_norm=aux_norm), zoo.rows(15)
    w, p = oracle.weights(model), x["domain_id"]
    plain, domain = features(x, w)
    h = _norm(plain, p, w, "dnn_norm")
    for i, units in enumerate(UNITS):
        h = oracle.relu(_dense(h, p, w, f"dnn_star/dense_{i}", units))
    logit = _dense(h, p, w, "dnn_star_logit", 1)
    if aux_norm:
        plain = _norm(plain, p, w, "dnn_aux_norm")
    auxiliary = np.concatenate([domain, plain], axis=-1)
    logit += oracle.tower(auxiliary, w, "dnn_aux", AUXILIARY, bias=False)
    found = model.predict(x, verbose=0)
    close(found["logit"], logit, terms=1_000)
    close(found["ctr"], oracle.sigmoid(logit), terms=1_000)


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + 3 * 4 + 4
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12
    norms = 2 * (2 * (width + 3 * width) + 2 * 3 * width + 3)
    sizes = [width, 9, 6, 1]
    layers = sum(4 * (i + 1) * o for i, o in zip(sizes, sizes[1:], strict=False))
    auxiliary = (8 + width + 1) * 5 + 5
    found = _model(history_agg="mean_pooling").count_params()
    assert found == tables + norms + layers + auxiliary


def test_equal_domains_give_equal_outputs():
    model, x = _model(), zoo.rows(20)
    for weight in model.weights:
        if "domain_" in weight.path and len(weight.shape) and weight.shape[0] == 3:
            weight.assign(np.repeat(weight.numpy()[:1], 3, axis=0))
        elif (
            weight.name in ("domain_mean", "domain_variance") and "norm" in weight.path
        ):
            weight.assign(np.repeat(weight.numpy()[:1], 3, axis=0))
    outputs = [
        zoo.predictions(model, {**x, "domain_id": x["domain_id"] * 0 + p})
        for p in range(3)
    ]
    close(outputs[0], outputs[2], terms=100)


def test_the_call_of_version_1():
    model = star(zoo.fields(domain=True), 3, Task("ctr"), [8], [4], "relu", 0.1)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(zoo.rows(64), zoo.labels("rank", 64), verbose=0)
    assert (
        create_model("star", zoo.fields(domain=True), task=Task("ctr")).name == "star"
    )


def test_errors():
    with pytest.raises(ValueError, match="star needs exactly one field of ids"):
        star(zoo.fields())
    two = [*zoo.fields(domain=True), Field("d", vocabulary_size=2, belong="domain")]
    with pytest.raises(ValueError, match="exactly one.*'domain_id'.*'d'"):
        star(two)
    with pytest.raises(
        ValueError, match="'domain_id'.*vocabulary_size=3, num_domain=4"
    ):
        star(zoo.fields(domain=True), 4)


def test_it_learns_what_turns_round_with_the_domain_and_what_does_not():
    rng = np.random.default_rng(0)
    x = {
        "a": rng.integers(0, 8, 6000),
        "b": rng.integers(0, 8, 6000),
        "domain": rng.choice(3, 6000, p=[0.8, 0.15, 0.05]),
    }
    y = ((x["a"] % 2) ^ (x["b"] % 2) ^ (x["domain"] == 2)).astype("float32")
    fields = [
        Field("a", vocabulary_size=8),
        Field("b", vocabulary_size=8, belong="item"),
        Field("domain", vocabulary_size=3, belong="domain"),
    ]
    keras.utils.set_random_seed(0)
    model = star(fields, fcn_units=(32, 16), aux_units=(8,))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    model.fit(x, y, epochs=8, batch_size=100, verbose=0)
    right = (model.predict(x, verbose=0)[:, 0] > 0.5) == y
    for p in range(3):
        assert right[x["domain"] == p].mean() > 0.95, p
