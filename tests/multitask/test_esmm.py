"""ESMM against eq. 2-3 of the paper: a product trained on all impressions."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, metrics
from recsys.multitask.esmm import ProductLogit, esmm
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import gradients

UNITS = (7, 4)


def _model(compiled=True):
    model = esmm(zoo.fields(), hidden_units=UNITS)
    zoo.jitter(model)
    if compiled:
        model.compile("sgd", "binary_crossentropy", metrics=[metrics.AUC()])
    return model


def _labels(n=64):
    rng = np.random.default_rng(0)
    click = rng.integers(0, 2, n)
    return {"ctr": click, "ctcvr": click * rng.integers(0, 2, n)}


def _probabilities(x, w):
    features = oracle.features(x, w)
    a, c = (oracle.tower(features, w, f"dnn_tower_{n}", UNITS) for n in ("ctr", "cvr"))
    return oracle.sigmoid(a), oracle.sigmoid(c)


@pytest.mark.oracle
def test_it_computes_the_paper():
    """Eq. 2-3."""
    model, x, y = _model(), zoo.rows(64), _labels()
    p, q = _probabilities(x, oracle.weights(model))
    found = model.predict(x, verbose=0)
    assert list(found) == ["ctr", "ctcvr", "cvr"]
    for name, expected in (("ctr", p), ("ctcvr", p * q), ("cvr", q)):
        close(found[name], expected, terms=1_000)
    assert (found["ctcvr"] <= np.minimum(found["ctr"], found["cvr"])).all()
    expected = [
        -np.mean(np.where(y[name], np.log(s[:, 0]), np.log1p(-s[:, 0])))
        for name, s in (("ctr", p), ("ctcvr", p * q))
    ]
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    close(logs["loss"], sum(expected), terms=100)
    assert set(logs) == {
        "loss", "ctr_loss", "ctcvr_loss", "ctr_auc", "ctcvr_auc",
        "auc_task_macro", "auc_task_weighted", "auc_task_skipped",
    }  # fmt: skip


def test_cvr_is_measured_where_there_was_a_click():
    model, x, y = _model(compiled=False), zoo.rows(64), _labels()
    model.compile(
        "sgd",
        {"ctr": "binary_crossentropy", "ctcvr": "binary_crossentropy"},
        metrics={"cvr": metrics.AUC()},
    )
    clicked = y["ctr"] == 1
    given = {**y, "cvr": np.where(clicked, y["ctcvr"], np.nan)}
    logs = model.evaluate(x, given, verbose=0, return_dict=True)
    score = model.predict(x, verbose=0)["cvr"]
    expected = metrics.auc(y["ctcvr"][clicked], score[clicked])
    close(logs["cvr_auc"], expected)


def test_parameters():
    tower = 40 * 7 + 7 + 7 * 4 + 4 + 4 + 1
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    model = esmm(zoo.fields(), hidden_units=UNITS, history_agg="mean_pooling")
    assert model.count_params() == tables + 2 * tower


def test_a_row_without_click_moves_the_conversion_tower():
    model, x = _model(), zoo.rows(8)
    nothing = {"ctr": np.zeros(8), "ctcvr": np.zeros(8)}
    found = gradients(model, x, nothing)
    assert np.any(found["dnn_tower_cvr/dense_0/kernel"])


def _losses(label, a, c):
    """Value and gradients of the cross-entropy of the product."""
    a, c = tf.constant(a, "float32"), tf.constant(c, "float32")
    with tf.GradientTape() as tape:
        tape.watch([a, c])
        z = ProductLogit()([a, c])
        loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.ones_like(z) * label, z)
    return loss.numpy(), [g.numpy() for g in tape.gradient(loss, [a, c])]


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_the_product_is_exact(label):
    a, c = (g.reshape(-1, 1) for g in np.meshgrid(*[np.linspace(-15, 15, 31)] * 2))
    loss, _ = _losses(label, a, c)
    p = 1 / ((1 + np.exp(-a)) * (1 + np.exp(-c)))
    rest = (np.exp(-a) + np.exp(-c) + np.exp(-a - c)) * p  # 1 - p, in float64
    close(loss, -np.log(p if label else rest))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_the_product_is_finite_for_logits_of_any_size(label):
    a, c = (g.reshape(-1, 1) for g in np.meshgrid(*[[-100.0, -15, 0, 15, 100]] * 2))
    loss, found = _losses(label, a, c)
    assert all(np.isfinite(each).all() for each in (loss, *found))


def test_a_sure_click_leaves_the_plain_loss_of_the_conversion():
    c = np.linspace(-3, 3, 7).reshape(-1, 1)
    for label in (0.0, 1.0):
        _, (_, found) = _losses(label, np.full_like(c, 40), c)
        close(found, oracle.sigmoid(c) - label, terms=100)


def test_a_missing_conversion_moves_no_conversion():
    model, x = _model(), zoo.rows(8)
    y = {"ctr": np.ones(8), "ctcvr": np.full(8, np.nan)}
    found = gradients(model, x, y)
    assert not np.any(found["dnn_tower_cvr/dense_0/kernel"])
    assert np.any(found["dnn_tower_ctr/dense_0/kernel"])


def test_errors():
    model, x, y = _model(), zoo.rows(8), {"ctr": np.zeros(8), "ctcvr": np.zeros(8)}
    y["ctcvr"][3:5] = 1
    with pytest.raises(ValueError, match="'ctcvr' must be 0 where.*row 3, and 1 more"):
        model.fit(x, y)
    for tasks in (
        [Task("ctr")],
        [Task("ctr"), Task("stars", "regression")],
        [Task("a"), Task("b"), Task("c")],
    ):
        with pytest.raises(ValueError, match="two binary tasks"):
            esmm(zoo.fields(), tasks)
    with pytest.raises(ValueError, match="distinct names"):
        esmm(zoo.fields(), [Task("ctr"), Task("cvr")])
