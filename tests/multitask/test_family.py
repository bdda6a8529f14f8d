"""What every model of several tasks must do with tasks, labels and weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, create_model
from recsys.layers.experts import Experts
from recsys.layers.gates import GatingNetwork
from recsys.multitask.mmoe import mmoe
from recsys.multitask.ple import ple
from recsys.registry import list_models
from tests import zoo
from tests.close import close
from tests.multitask.gradients import compiled, gradients, kernels_by_row

MIXED = (Task("click"), Task("stars", "regression"), Task("kind", "multiclass", 3))
N = 24
STEPS = ("aitm", "escm2", "esmm")
"""Models of binary tasks that follow each other; their own tests say what they do."""


@pytest.fixture(
    scope="module", params=[m for m in list_models("multitask") if m not in STEPS]
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    keras.utils.set_random_seed(0)
    model = create_model(name, zoo.fields(), task_list=MIXED)
    zoo.jitter(model, 0.1)
    return compiled(model, MIXED)


@pytest.fixture(scope="module")
def x():
    return zoo.rows(N)


@pytest.fixture
def y():
    rng = np.random.default_rng(0)
    return {
        "click": rng.integers(0, 2, N).astype("float32"),
        "stars": rng.normal(size=N).astype("float32"),
        "kind": rng.integers(0, 3, N).astype("float32"),
    }


def _private(found, task):
    return {path: g for path, g in found.items() if f"dnn_tower_{task}" in path}


def _equal(some, others):
    assert some
    for path, gradient in some.items():
        np.testing.assert_array_equal(gradient, others[path], path)


def test_tasks_of_several_kinds_have_links_of_their_own(model, x):
    p = model.predict(x, verbose=0)
    assert list(p) == ["click", "stars", "kind"]
    assert [value.shape for value in p.values()] == [(N, 1), (N, 1), (N, 3)]
    assert (0 < p["click"]).all() and (p["click"] < 1).all()
    bias = model.get_layer("dnn_tower_stars").logit.bias
    before = bias.numpy()
    bias.assign(before + 50)
    shifted = model.predict(x, verbose=0)["stars"]
    bias.assign(before)
    close(shifted, p["stars"] + 50, terms=100)
    close(p["kind"].sum(1), 1, terms=100)


def test_a_label_leaves_the_towers_of_other_tasks_alone(model, x, y):
    """G1."""
    before = gradients(model, x, y)
    for task in MIXED:
        changed = {**y, task.name: (y[task.name] + 1) % 2}
        after = gradients(model, x, changed)
        for other in MIXED:
            if other is not task:
                _equal(_private(before, other.name), after)
        moved = _private(before, task.name)
        assert any(np.any(after[path] != g) for path, g in moved.items())


def test_a_task_without_labels_has_zero_loss_and_gradient(model, x, y):
    """G4."""
    before = gradients(model, x, y)
    for task in MIXED:
        found = gradients(model, x, {**y, task.name: np.full(N, np.nan)})
        assert all(np.isfinite(g).all() for g in found.values())
        for gradient in _private(found, task.name).values():
            np.testing.assert_array_equal(gradient, np.zeros_like(gradient))
        for other in MIXED:
            if other is not task:
                _equal(_private(before, other.name), found)
    nothing = {task.name: np.full(N, np.nan) for task in MIXED}
    with pytest.raises(ValueError, match="there must be labels of a task with a loss"):
        model.evaluate(x, nothing, verbose=0)


def test_missing_labels_count_in_no_mean(model, x, y):
    """The loss of a task is the mean over the rows that have its label."""
    seen = np.arange(N) % 3 != 0
    partly = {**y, "stars": np.where(seen, y["stars"], np.nan)}
    logs = model.evaluate(x, partly, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    mse = np.mean((p["stars"][seen, 0] - y["stars"][seen]) ** 2)
    close(logs["stars_loss"], mse, terms=1_000)
    kind = -np.log(p["kind"][np.arange(N), y["kind"].astype(int)]).mean()
    close(logs["kind_loss"], kind, terms=1_000)


def test_weights_of_one_task_leave_the_others_as_they_are(model, x, y):
    plain = model.evaluate(x, y, verbose=0, return_dict=True)
    w = {"click": np.full(N, 0.5)}
    logs = model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
    close(logs["click_loss"], plain["click_loss"] / 2, terms=100)
    close(logs["stars_loss"], plain["stars_loss"])


def test_no_kernel_is_laid_out_by_row(model):
    y = {task.name: np.zeros(61, "float32") for task in MIXED}
    assert not kernels_by_row(model, zoo.rows(61), y)


def test_half_precision_leaves_gates_and_losses_in_float32(name, x, y):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(create_model(name, zoo.fields(), task_list=MIXED), MIXED)
    finally:
        keras.config.set_dtype_policy("float32")
    feed = {column: tf.convert_to_tensor(x[column]) for column in model.input}
    for layer in model.layers:
        if isinstance(layer, GatingNetwork):
            assert layer.gate.scores.compute_dtype == "float32"
    outputs = model(feed, training=True)
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    loss = model.compute_loss(feed, y, outputs)
    assert loss.dtype == tf.float32 and np.isfinite(loss)


def test_one_task_is_enough(name, x, y):
    task = Task("click")
    model = create_model(name, zoo.fields(), task_list=[task])
    compiled(model, [task], run_eagerly=True)
    assert list(model.output) == ["click"]
    before = model.get_weights()
    model.fit(x, y["click"], batch_size=N, verbose=0)
    moved = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert np.mean(moved) > 0.6


@pytest.mark.parametrize("name", list_models("multitask"))
@pytest.mark.parametrize("names", [("a", "a"), ("a", "shared"), ("logit",), ()])
def test_names_of_tasks_must_be_distinct_and_not_reserved(name, names):
    with pytest.raises(ValueError, match="distinct names|two binary tasks"):
        create_model(name, zoo.fields(), task_list=[Task(each) for each in names])


@pytest.mark.parametrize("factory", [mmoe, ple])
def test_the_call_of_version_1(factory):
    sizes = {mmoe: [3, 16], ple: [2, 1, 2, 16]}[factory]
    rest = [[8, 6], "tanh", 0.1, 1e-5, True, "attention", {}]
    fields, tasks = zoo.fields(), [Task(name="click"), Task(name="like")]
    model = factory(fields, tasks, *sizes, *rest)
    groups = [layer for layer in model.layers if isinstance(layer, Experts)]
    found = [
        (group.num_experts, group.hidden_units, group.activation, group.use_bn)
        for group in groups
    ]
    numbers = {mmoe: [3], ple: [1, 1, 2] * 2}[factory]
    assert sorted(found) == sorted((n, (16,), "tanh", True) for n in numbers)
    assert {(group.dropout, group.l2_reg) for group in groups} == {(0.1, 1e-5)}
    assert model.get_layer("dnn_tower_click").hidden_units == (8, 6)

    optimizer = {"dnn": "adam", "embedding": "Adagrad", "default": "adam"}
    loss = keras.losses.BinaryCrossentropy()
    model.compile(optimizer=optimizer, loss=loss, metrics=keras.metrics.AUC())
    y = {"click": zoo.labels("rank", N), "like": 1 - zoo.labels("rank", N)}
    logs = model.evaluate(zoo.rows(N), y, verbose=0, return_dict=True)
    assert {"click_loss", "like_loss", "click_auc", "like_auc"} < logs.keys()
