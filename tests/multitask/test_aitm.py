"""AITM against eq. 2-10 of the paper."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Task
from recsys.multitask.aitm import AdaptiveTransfer, BehavioralExpectation, aitm
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import gradients, of_task

STEPS = (Task("click"), Task("cart"), Task("buy"))
NAMES = [task.name for task in STEPS]
UNITS = (7, 4)


def _model(**kwargs):
    model = aitm(zoo.fields(), STEPS, UNITS, **kwargs)
    zoo.jitter(model)
    return model


def _labels(n=32):
    rng = np.random.default_rng(0)
    steps = np.cumprod(rng.random((n, 3)) < 0.7, axis=1).astype("float32")
    return dict(zip(NAMES, steps.T, strict=True))


def _attention(p, q, w, name):
    u = np.stack([p, q], axis=1)
    key, query, value = (
        u @ w[f"{name}/{part}/kernel"] for part in ("key", "query", "value")
    )
    share = oracle.softmax((key * query).sum(-1) / np.sqrt(u.shape[-1]))
    return (share[..., None] * value).sum(1)


def _expected(x, w, shared):
    features, z, outputs = oracle.features(x, w), None, []
    for name in NAMES:
        q = oracle.mlp(features, w, f"dnn_bottom_{name}", UNITS)
        if z is not None:
            p = oracle.mlp(z, w, f"dnn_transfer_{name}", UNITS[-1:])
            q = _attention(p, q, w, "dnn_ait" if shared else f"dnn_ait_{name}")
        z = q
        outputs.append(oracle.tower(z, w, f"dnn_tower_{name}", ()))
    return oracle.sigmoid(np.concatenate(outputs, axis=-1))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(shared):
    """Eq. 2-10."""
    model = _model(shared_transfer=shared)
    x, w = zoo.rows(32), oracle.weights(model)
    expected = _expected(x, w, shared)
    close(zoo.predictions(model, x), expected, terms=1_000)
    model.compile("sgd", "binary_crossentropy")
    y = np.stack([*_labels().values()], axis=1)
    bce = -np.where(y, np.log(expected), np.log1p(-expected)).mean(0).sum()
    # Eq. 9: no step is likelier than the one before.
    excess = np.maximum(np.diff(expected, axis=1), 0).mean(0).sum()
    assert excess > 0.01
    found = model.evaluate(x, _labels(), verbose=0, return_dict=True)["loss"]
    close(found, bce + 0.6 * excess, terms=1_000)


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    mlp, transfer = 40 * 7 + 7 + 7 * 4 + 4, 4 * 4 + 4
    for shared, attentions in ((False, 2), (True, 1)):
        model = _model(shared_transfer=shared, history_agg="mean_pooling")
        expected = 3 * (mlp + 4 + 1) + 2 * transfer + attentions * 3 * 4 * 4
        assert model.count_params() == tables + expected


def test_a_step_is_blind_to_those_behind_it():
    model, x = _model(), zoo.rows(9)
    before = model.predict(x, verbose=0)
    for weight in model.trainable_weights:
        if "buy" in weight.path:
            weight.assign(weight + 1)
    after = model.predict(x, verbose=0)
    for name in ("click", "cart"):
        np.testing.assert_array_equal(after[name], before[name])
    assert np.any(after["buy"] != before["buy"])


def test_a_later_step_trains_the_first():
    found = of_task(_model(), zoo.rows(32), _labels(), "buy")
    assert np.any(found["dnn_bottom_click/dense_0/kernel"])
    assert np.any(found["dnn_transfer_cart/dense_0/kernel"])


def test_equal_values_leave_nothing_to_choose():
    layer = AdaptiveTransfer()
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(2, 5, 4)).astype("float32")
    layer([p, q])
    kernel = rng.normal(size=(4, 4))
    kernel[2:] = 0
    layer.value.kernel.assign(kernel)  # reads the first two numbers only
    p[:, :2] = q[:, :2]
    close(layer([p, q]), np.asarray(layer.value(q)), terms=1_000)


def _calibrated(p, present=None):
    layer = BehavioralExpectation(["a", "b"])
    logits = [tf.constant(np.log(each / (1 - each))[:, None], "float32") for each in p]
    weights = {"a": None, "b": present}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        layer(logits)
        loss = layer.loss({}, weights, {}, True)
    return float(loss), tape.gradient(loss, logits)


def test_the_calibrator_is_zero_where_steps_fall():
    a, b = np.array([0.9, 0.5, 0.4]), np.array([0.2, 0.3, 0.1])
    assert _calibrated([a, b])[0] == 0
    loss, (da, db) = _calibrated([b, a])
    close(loss, (0.7 + 0.2 + 0.3) / 3, terms=100)
    assert (da.numpy() < 0).all() and (db.numpy() > 0).all()
    present = np.array([0.0, 1.5, 1.5], "float32")
    close(_calibrated([b, a], present)[0], (0.2 + 0.3) / 2, terms=100)


def test_a_step_without_labels_leaves_its_weights_alone():
    model, x = _model(), zoo.rows(32)
    model.compile("sgd", "binary_crossentropy")
    y = {**_labels(), "buy": np.full(32, np.nan)}
    found = gradients(model, x, y)
    for path, gradient in found.items():
        if "buy" in path:
            assert not np.any(gradient), path
    assert np.any(found["dnn_tower_cart/logit/kernel"])


def test_errors():
    with pytest.raises(ValueError, match=r"binary tasks.*'stars'"):
        aitm(zoo.fields(), [Task("click"), Task("stars", "regression")])
    with pytest.raises(ValueError, match=r"hidden_units=\(\)"):
        aitm(zoo.fields(), STEPS, ())
