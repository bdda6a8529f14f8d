"""ESCM2 against the estimators of the paper, and which gradients stop."""

import numpy as np
import pytest
import tensorflow as tf

from recsys.multitask.escm2 import DoublyRobustRisk, InversePropensityRisk, escm2
from recsys.multitask.esmm import esmm
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import gradients

NAMES = ("ctr", "ctcvr")
UNITS = (7, 4)
RNG = np.random.default_rng(0)


def _risk(layer, o, r, c, a, *imputed, weight=None):
    """Value and gradients of a risk; all `(rows,)`."""
    inputs = [tf.constant(each.reshape(-1, 1), "float32") for each in (c, a, *imputed)]
    y = {
        name: tf.constant(each.reshape(-1, 1), "float32")
        for name, each in zip(NAMES, (o, r), strict=True)
    }
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        assert layer(inputs) is not None
        loss = layer.loss(y, dict.fromkeys(NAMES, weight), {}, True)
    return float(loss), tape.gradient(loss, inputs)


def _draws(n=50):
    o = RNG.integers(0, 2, n).astype(float)
    return o, o * RNG.integers(0, 2, n), *RNG.normal(size=(3, n)) * 2


def _terms(o, r, c, a, clip):
    """Of eq. 8-13: o / p, cut off, and the error e of each row."""
    e = np.logaddexp(0, c) - r * c
    return o * np.minimum(1 / oracle.sigmoid(a), clip), e


def test_ips_is_the_paper():
    o, r, c, a, _ = _draws()
    for clip, normalized in ((15.0, False), (1.5, False), (15.0, True)):
        chosen, e = _terms(o, r, c, a, clip)
        expected = (chosen * e).sum() / (chosen.sum() if normalized else len(o))
        layer = InversePropensityRisk(NAMES, clip, normalized)
        close(_risk(layer, o, r, c, a)[0], expected, terms=100)


def test_dr_is_the_paper():
    o, r, c, a, logit = _draws()
    chosen, e = _terms(o, r, c, a, 15.0)
    imputed = np.logaddexp(0, logit)
    expected = np.mean(imputed + chosen * (e - imputed) + chosen * (e - imputed) ** 2)
    found, (dc, da, di) = _risk(DoublyRobustRisk(NAMES), o, r, c, a, logit)
    close(found, expected, terms=100)
    slope = chosen * (oracle.sigmoid(c) - r) / len(o)
    close(dc[:, 0], slope, terms=1_000)
    assert da is None or not np.any(da)
    pull = -2 * chosen * (e - imputed) * oracle.sigmoid(logit) / len(o)
    close(di[:, 0], pull, terms=1_000)


def test_with_live_gradients_both_sums_train_both():
    o, r, c, a, logit = _draws()
    chosen, e = _terms(o, r, c, a, 15.0)
    imputed = np.logaddexp(0, logit)
    layer = DoublyRobustRisk(NAMES, stop_gradients=False)
    _, (dc, da, di) = _risk(layer, o, r, c, a, logit)
    slope = (oracle.sigmoid(c) - r) / len(o) * (chosen + 2 * chosen * (e - imputed))
    close(dc[:, 0], slope, terms=1_000)
    pull = 1 - chosen - 2 * chosen * (e - imputed)
    pull *= oracle.sigmoid(logit) / len(o)
    close(di[:, 0], pull, terms=1_000)
    assert da is None or not np.any(da)


def test_where_all_click_ips_is_the_plain_loss():
    _, r, c, a, _ = _draws()
    e = np.logaddexp(0, c) - r * c
    found, _ = _risk(InversePropensityRisk(NAMES), np.ones(50), r, c, a + 60)
    close(found, e.mean(), terms=100)


def test_a_right_imputation_leaves_its_mean():
    o, r, c, a, _ = _draws()
    e = np.logaddexp(0, c) - r * c
    logit = np.log(np.expm1(np.maximum(e, 1e-3)))
    c = np.where(e < 1e-3, np.nan, c)
    keep = ~np.isnan(c)
    found, _ = _risk(
        DoublyRobustRisk(NAMES), o[keep], r[keep], c[keep], a[keep], logit[keep]
    )
    close(found, e[keep].mean(), terms=1_000)


def test_ips_is_unbiased():
    """Over clicks drawn with the propensity, the mean of the whole space."""
    n, times = 40, 4000
    _, _, c, a, _ = _draws(n)
    r = RNG.integers(0, 2, n).astype(float)
    e = np.logaddexp(0, c) - r * c
    o = RNG.random((times, n)) < oracle.sigmoid(a)
    flat = [np.tile(each, times) for each in (r, c, a)]
    found, _ = _risk(InversePropensityRisk(NAMES, 1e6), o.ravel() * 1.0, *flat)
    assert found == pytest.approx(e.mean(), rel=0.02)


def test_missing_labels_and_weights():
    o, r, c, a, logit = _draws()
    w = RNG.random(50) * (RNG.random(50) < 0.7)
    chosen, e = _terms(o, r, c, a, 15.0)
    found, _ = _risk(InversePropensityRisk(NAMES), o, r, c, a, weight=w)
    close(found, (w * chosen * e).mean(), terms=100)
    nothing = np.zeros(50)
    for layer, more in ((InversePropensityRisk, ()), (DoublyRobustRisk, (logit,))):
        for normalized in (False, True):
            risk = layer(NAMES, self_normalized=normalized)
            found, slopes = _risk(risk, o, r, c, a, *more, weight=nothing)
            assert found == 0
            assert all(s is None or np.isfinite(s).all() for s in slopes)


@pytest.mark.parametrize("doubly_robust", [True, False])
def test_it_is_esmm_with_a_further_loss(doubly_robust):
    kwargs = {"hidden_units": UNITS, "doubly_robust": doubly_robust}
    model = escm2(zoo.fields(), risk_weight=0.5, **kwargs)
    zoo.jitter(model)
    plain = esmm(zoo.fields(), hidden_units=UNITS)
    of = {weight.path: weight.numpy() for weight in model.weights}
    for weight in plain.weights:
        weight.assign(of[weight.path])
    x, rng = zoo.rows(64), np.random.default_rng(0)
    click = rng.integers(0, 2, 64).astype("float32")
    y = {"ctr": click, "ctcvr": click * rng.integers(0, 2, 64)}
    losses = []
    for each in (model, plain):
        each.compile("sgd", "binary_crossentropy")
        losses.append(each.evaluate(x, y, verbose=0, return_dict=True)["loss"])
    close(zoo.predictions(model, x), zoo.predictions(plain, x), terms=1)

    w = oracle.weights(model)
    features = oracle.features(x, w)
    a, c = (
        oracle.tower(features, w, f"dnn_tower_{n}", UNITS)[:, 0] for n in ("ctr", "cvr")
    )
    chosen, e = _terms(click, y["ctcvr"], c, a, 15.0)
    risk = chosen * e
    if doubly_robust:
        logit = oracle.tower(features, w, "dnn_tower_imputation", UNITS)[:, 0]
        ê = np.logaddexp(0, logit)
        risk = ê + chosen * (e - ê) + chosen * (e - ê) ** 2
    assert losses[0] - losses[1] == pytest.approx(0.5 * risk.mean(), rel=1e-3)
    found = gradients(model, x, y)
    before = gradients(plain, x, y)
    path = "dnn_tower_ctr/dense_0/kernel"  # the risk does not reach the propensity
    close(found[path], before[path], terms=1_000)
    path = "dnn_tower_cvr/dense_0/kernel"
    assert not np.allclose(found[path], before[path], rtol=1e-3)


def test_config():
    for layer in (
        InversePropensityRisk(NAMES, 3.0, True, 0.2, name="a"),
        DoublyRobustRisk(NAMES, 3.0, True, 0.2, stop_gradients=False, name="b"),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
