"""How losses of tasks become one: the papers' formulas, and that state is kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task, create_model, load_model
from recsys.multitask.ple import ple
from recsys.multitask.shared_bottom import shared_bottom
from recsys.train import balance as balances
from recsys.train.balance.decay import Decay
from recsys.train.balance.dwa import DWA
from recsys.train.balance.gradnorm import GradNorm
from recsys.train.balance.pcgrad import PCGrad
from recsys.train.balance.uncertainty import Uncertainty
from tests import zoo
from tests.close import close
from tests.multitask.gradients import LOSSES, gradients
from tests.train.balanced import train

KINDS = (Task("click"), Task("stars", "regression"))
NAMES = [task.name for task in KINDS]
N = 32


def _fields():
    return [
        Field("user", vocabulary_size=7),
        Field("item", vocabulary_size=9, belong="item"),
        Field("seen", emb="item", length=3, belong="history"),
    ]


def _model(tasks=KINDS):
    keras.utils.set_random_seed(0)
    model = shared_bottom(
        _fields(), tasks, (6,), (5,), "tanh", history_agg="mean_pooling"
    )
    zoo.jitter(model, 0.1)
    return model


def _compiled(balance, optimizer=None, tasks=KINDS, eagerly=True, **kwargs):
    model = _model(tasks)
    model.compile(
        optimizer or keras.optimizers.SGD(0.1),
        {task.name: LOSSES[task.belong] for task in tasks},
        balance=balance,
        run_eagerly=eagerly,
        **kwargs,
    )
    return model


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    x = {"user": rng.integers(0, 7, N), "item": rng.integers(1, 9, N)}
    return {**x, "seen": rng.integers(0, 9, (N, 3))}


@pytest.fixture
def y():
    rng = np.random.default_rng(0)
    click = rng.integers(0, 2, N).astype("float32")
    return {"click": click, "stars": rng.normal(size=N).astype("float32")}


@pytest.fixture
def opposed(x):
    """Labels of two tasks that contradict each other in most rows."""
    click = (x["item"] % 2).astype("float32")
    some = np.random.default_rng(0).random(N) < 0.8
    return {"click": click, "like": np.where(some, 1 - click, click)}


def _losses(model, x, y):
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    return np.array([logs[f"{name}_loss"] for name in NAMES])


def _step(model, x, y):
    return model.fit(x, y, batch_size=N, verbose=0, shuffle=False).history["loss"][0]


def _state(model, i=0):
    return np.asarray(model.balance.variables[i])


# Uncertainty.


def test_uncertainty_is_the_paper(x, y):
    model = _compiled("uncertainty")
    s = np.array([0.3, -0.4], "float32")
    model.balance.variables[0].assign(s)
    losses, c = _losses(model, x, y), np.array([1, 0.5])
    expected = (c * np.exp(-s) * losses + s / 2).sum()
    close(_step(model, x, y), expected, terms=100)
    slope = -c * np.exp(-s) * losses + 0.5
    close(_state(model), s - 0.1 * slope, terms=100)


def test_the_best_uncertainty_stays_also_under_weight_decay(x, y):
    for optimizer in (
        keras.optimizers.SGD(0.1, weight_decay=0.5),
        {"embedding": "sgd", "default": keras.optimizers.SGD(0.1, weight_decay=0.5)},
    ):
        model = _compiled(Uncertainty(), optimizer)
        best = np.log(2 * np.array([1, 0.5]) * _losses(model, x, y))
        model.balance.variables[0].assign(best)
        before = model.get_layer("dnn_bottom").dense[0].kernel.numpy()
        _step(model, x, y)
        close(_state(model), best, terms=100)
        after = model.get_layer("dnn_bottom").dense[0].kernel.numpy()
        assert np.abs(after).sum() < 0.99 * np.abs(before).sum()


def test_a_task_without_labels_has_no_uncertainty(x, y):
    model = _compiled("uncertainty")
    model.balance.variables[0].assign([0.3, -0.4])
    _step(model, x, {**y, "stars": np.full(N, np.nan)})
    found = _state(model)
    assert found[0] != np.float32(0.3)
    assert found[1] == np.float32(-0.4)


def test_evaluation_is_the_plain_sum(x, y):
    model = _compiled("uncertainty", loss_weights=[1.0, 3.0])
    model.balance.variables[0].assign([0.3, -0.4])
    expected = (np.array([1, 3]) * _losses(model, x, y)).sum()
    found = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    close(found, expected, terms=100)
    s, c = np.array([0.3, -0.4]), np.array([1, 0.5 * 3])
    expected = (c * np.exp(-s) * _losses(model, x, y) + s / 2).sum()
    close(_step(model, x, y), expected, terms=100)


# Dynamic weight average.


def _dwa_weights(past, temperature=2.0):
    balance = DWA(temperature)
    balance.kinds = dict.fromkeys(range(len(past[0])), "binary")
    balance.variables = [tf.constant(past, "float32")]
    return np.asarray(balance.task_weights())


def test_dwa_is_the_paper():
    past = np.array([[1.0, 2.0, 4.0], [0.5, 1.8, 4.4]])
    ratio = past[1] / past[0]
    expected = 3 * np.exp(ratio / 0.7) / np.exp(ratio / 0.7).sum()
    close(_dwa_weights(past, 0.7), expected, terms=100)
    close(_dwa_weights(past).sum(), 3)
    close(_dwa_weights([[1, 2], [0.5, 1]]), [1, 1], terms=1)
    close(_dwa_weights(past, 1e6), np.ones(3), terms=1_000)
    for early in ([[-1, -1], [-1, -1]], [[-1, -1], [2, 1]]):
        np.testing.assert_array_equal(_dwa_weights(early), [1, 1])


def test_dwa_weighs_by_the_epochs_before(x, y):
    model = _compiled("dwa")
    fit = model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    past = np.array([fit.history[f"{name}_loss"][1:] for name in NAMES]).T
    close(_state(model), past)
    expected = (_dwa_weights(past) * _losses(model, x, y)).sum()
    close(_step(model, x, y), expected, terms=1_000)


def test_decay_counts_epochs_from_the_weights_of_the_caller(x, y):
    model = _compiled(Decay({NAMES[0]: 0.5}))
    before = _losses(model, x, y).sum()
    close(_step(model, x, y), before, terms=1_000)
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    assert _state(model) == 4  # with the step before
    weights = np.array([0.5**4, *np.ones(len(NAMES) - 1)])
    expected = (weights * _losses(model, x, y)).sum()
    close(_step(model, x, y), expected, terms=1_000)
    with pytest.raises(ValueError, match=f"{NAMES[0]!r}.*'other'"):
        _compiled(Decay({"other": 0.5}))
    with pytest.raises(ValueError, match="gamma must be a number above 0.*'a': 0"):
        Decay({"a": 0})


def test_callbacks_of_the_user_stay(x, y):
    seen = []
    spy = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(e))
    model = _compiled("dwa")
    for given in ([spy], spy):
        model.fit(x, y, epochs=1, verbose=0, callbacks=given)
    assert seen == [0, 0]


# GradNorm.


def test_gradnorm_is_the_paper(x, y):
    model = _compiled(GradNorm(alpha=0.7, learning_rate=0.05))
    w, first = np.array([0.8, 1.2]), np.array([0.9, 2.0])
    for variable, value in zip(model.balance.variables, (w, first), strict=True):
        variable.assign(value)
    losses, norms = _losses(model, x, y), []
    for name in NAMES:
        loss = {
            name: LOSSES[dict(zip(NAMES, ("binary", "regression"), strict=True))[name]]
        }
        plain = _model()
        plain.compile("sgd", loss)
        found = gradients(plain, x, {name: y[name]})
        norms.append(np.linalg.norm(found["dnn_bottom/dense_0/kernel"]))
    rate = losses / first
    pull = w * norms
    target = pull.mean() * (rate / rate.mean()) ** 0.7
    moved = w - 0.05 * np.array(norms) / np.mean(norms) * np.sign(pull - target)
    close(_step(model, x, y), (w * losses).sum(), terms=100)
    close(_state(model), 2 * moved / moved.sum(), terms=1_000)
    close(_state(model, 1), first, terms=1)


def test_a_task_that_lags_behind_may_pull_more():
    """The rates decide here: with one target for all, both would move otherwise."""
    balance = _compiled(GradNorm(alpha=1.5, learning_rate=0.1)).balance
    balance.variables[1].assign([1.0, 1.0])
    balance._move(tf.constant([3.0, 1.0]), tf.constant([2.0, 1.0]))
    pull, target = np.array([4, 2]) / 3, np.array([1.5, 0.5]) ** 1.5
    moved = 1 - 0.1 * pull * np.sign(pull - target)
    assert moved[0] > 1 > moved[1]
    close(balance.variables[0], 2 * moved / moved.sum(), terms=100)


def test_gradnorm_takes_its_first_losses_and_keeps_the_sum(x, y):
    model = _compiled("gradnorm")
    missing = {**y, "stars": np.full(N, np.nan)}
    losses = _losses(model, x, y)
    _step(model, x, missing)
    close(_state(model, 1), [losses[0], 0], terms=100)
    model.fit(x, y, epochs=5, batch_size=8, verbose=0)
    close(_state(model).sum(), 2, terms=100)
    assert (_state(model) > 0).all() and (_state(model, 1) > 0).all()
    assert not np.allclose(_state(model), 1)


def test_gradnorm_where_nothing_is_to_do(x, y):
    single = _compiled("gradnorm", tasks=KINDS[:1])
    single.fit(x, y["click"], epochs=3, verbose=0)
    close(_state(single), [1], terms=1)
    balance = _compiled(GradNorm(alpha=0.0)).balance
    balance._move(tf.constant([3.0, 1.0]), tf.constant([2.0, 2.0]))
    np.testing.assert_array_equal(balance.variables[0], [1, 1])


def test_gradnorm_finds_or_is_told_the_layer(x, opposed):
    model, labels = ple(_fields(), zoo.TASKS, 2), opposed
    for layer in (None, "dnn_level_0_experts_shared"):
        model.compile(
            "sgd",
            "binary_crossentropy",
            balance=GradNorm(layer=layer),
            run_eagerly=True,
        )
        _step(model, x, labels)
    chosen = model.balance
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    with tf.GradientTape(persistent=True) as tape:
        model.compute_loss(feed, labels, model(feed, training=True))
    losses = chosen.kept.take()[-1][0]
    chosen.layer = None
    kernel = chosen._shared_kernel(tape, model, losses)
    shared = model.get_layer("dnn_level_1_experts_shared").kernels[-1]
    assert kernel is shared.value
    chosen.layer = "dnn_tower_click"
    with pytest.raises(ValueError, match="all tasks train.*'dnn_tower_click'"):
        chosen._shared_kernel(tape, model, losses)


# PCGrad.


def _surgery(g, order):
    """Algorithm 1 on the vectors themselves."""
    total = np.zeros_like(g[0])
    for i in range(len(g)):
        mine = g[i].copy()
        for j in order[i]:
            if j != i and mine @ g[j] < 0:
                mine -= mine @ g[j] / (g[j] @ g[j]) * g[j]
        total += mine
    return total


@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_is_the_paper(seed):
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(4, 3))
    order = np.stack([rng.permutation(4) for _ in range(4)])
    factors = PCGrad.surgery(tf.constant(g @ g.T, "float32"), tf.constant(order))
    close(np.asarray(factors) @ g, _surgery(g, order), terms=10_000)


def test_pcgrad_invariants():
    def of(*g):
        g = np.array(g, "float32")
        order = tf.tile(tf.range(len(g))[None], [len(g), 1])
        return np.asarray(PCGrad.surgery(tf.constant(g @ g.T), order)) @ g

    close(of([1, 0], [1, 1]), [2, 1], terms=1)  # no conflict
    close(of([3, 4]), [3, 4], terms=1)
    close(of([3, 4], [-3, -4]), [0, 0], terms=1_000)


def test_pcgrad_projects_what_is_shared_and_leaves_the_rest(x, opposed):
    of = {}
    for name, label in opposed.items():
        one = _model(zoo.TASKS)
        one.compile("sgd", {name: "binary_crossentropy"})
        of[name] = gradients(one, x, {name: label})
    click, like = of.values()
    shared = [p for p in click if click[p] is not None and like[p] is not None]
    assert {"embedding_item/embeddings", "dnn_bottom/dense_0/kernel"} <= {*shared}
    vectors = [np.concatenate([g[p].ravel() for p in shared]) for g in of.values()]
    assert vectors[0] @ vectors[1] < 0
    expected = _surgery(np.array(vectors, "float64"), [[1], [0]])

    trained = _model(zoo.TASKS)
    before = {w.path: w.numpy() for w in trained.trainable_weights}
    trained.compile(
        keras.optimizers.SGD(1.0),
        "binary_crossentropy",
        balance="pcgrad",
        run_eagerly=True,
    )
    _step(trained, x, opposed)
    step = {w.path: before[w.path] - w.numpy() for w in trained.trainable_weights}
    found = np.concatenate([step[p].ravel() for p in shared])
    close(found, expected, terms=10_000)
    for path in step.keys() - {*shared}:
        own = click[path] if like[path] is None else like[path]
        close(step[path], own, terms=10_000)


def test_pcgrad_keeps_gradients_of_tables_sparse(x, opposed):
    model = _model(zoo.TASKS)
    model.compile("adagrad", "binary_crossentropy", balance="pcgrad")
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    with tf.GradientTape(persistent=True) as tape:
        model.compute_loss(feed, opposed, model(feed, training=True))
    found = model.balance.gradients(tape, model, lambda loss: loss)
    for weight, gradient in zip(model.trainable_weights, found, strict=True):
        sparse = isinstance(gradient, tf.IndexedSlices)
        assert sparse == weight.path.startswith("embedding"), weight.path


# State, files, backends.


@pytest.mark.parametrize("name", ["uncertainty", "dwa", "gradnorm", "pcgrad"])
def test_files_and_checkpoints_hold_the_state(name, x, y, tmp_path):
    model = _compiled(name, "adam", eagerly=False)
    model.fit(x, y, batch_size=16, epochs=3, verbose=0)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    saved = checkpoint.write(str(tmp_path / "checkpoint"))
    others = [load_model(tmp_path / "m.keras")]
    others += [_compiled(name, "adam") for _ in range(2)]
    others[1].load_weights(tmp_path / "m.weights.h5")
    restored = tf.train.Checkpoint(model=others[2], optimizer=others[2].optimizer)
    restored.read(saved)
    for other in others:
        for one, two in zip(
            model.balance.variables, other.balance.variables, strict=True
        ):
            np.testing.assert_array_equal(one, two)
        close(zoo.predictions(other, x), zoo.predictions(model, x), terms=1_000)
    given = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    fits = [m.fit(x, y, **given).history["loss"] for m in (model, others[0])]
    assert fits[0] == fits[1]


def test_compiling_again_begins_anew(x, y):
    model = _compiled("uncertainty")
    count = len(model.trainable_weights)
    _step(model, x, y)
    model.compile(
        "sgd", dict(zip(NAMES, ("bce", "mse"), strict=True)), balance="gradnorm"
    )
    assert len(model.trainable_weights) == count - 1
    model.compile("sgd", dict(zip(NAMES, ("bce", "mse"), strict=True)))
    assert model.balance is None
    assert not [w for w in model.weights if "balance" in w.path]
    _step(model, x, y)


def test_one_object_serves_several_models(x, y):
    given = Uncertainty()
    models = [_compiled(given), _compiled(given)]
    _step(models[0], x, y)
    assert models[0].balance is not models[1].balance
    np.testing.assert_array_equal(_state(models[1]), [0, 0])


@pytest.mark.parametrize("name", ["uncertainty", "gradnorm", "pcgrad"])
def test_half_precision(name, x, y):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = _compiled(name, "adam", eagerly=True)
    finally:
        keras.config.set_dtype_policy("float32")
    before = model.get_layer("dnn_bottom").dense[0].kernel.numpy()
    assert np.isfinite(model.fit(x, y, batch_size=16, verbose=0).history["loss"]).all()
    assert np.any(model.get_layer("dnn_bottom").dense[0].kernel.numpy() != before)
    assert {v.dtype for v in model.balance.variables} <= {"float32"}


def test_config():
    for balance in (
        DWA(3.0),
        Decay({"x": 0.9}),
        GradNorm(1.0, 0.1, "dnn_x"),
        PCGrad(4),
        Uncertainty(),
    ):
        made = balances.get(balance)
        assert made is not balance and type(made) is type(balance)
        assert made.get_config() == balance.get_config()


def test_errors():
    with pytest.raises(ValueError, match=r"one of \['uncertainty'.*balance='best'"):
        _compiled("best")
    model = _model()
    with pytest.raises(ValueError, match="no loss"):
        model.compile("sgd", balance="dwa")


@pytest.mark.all
@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("name", ["uncertainty", "dwa"])
def test_other_backends_weigh_alike(backend, name, tmp_path):
    pytest.importorskip(backend)
    model = create_model("mmoe", zoo.fields(), task_list=zoo.TASKS)
    model.compile("adagrad", "binary_crossentropy", balance=name)
    model.save(tmp_path / "m.keras")
    run = subprocess.run(
        [sys.executable, "-m", "tests.train.balanced", str(tmp_path / "m.keras")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    report, expected = json.loads(run.stdout.splitlines()[-1]), train(model)
    assert report["backend"] == backend
    close(report["loss"], expected["loss"], terms=1_000)
    close(report["state"], expected["state"], terms=10_000)
    assert "TensorFlow only" in report["refused"]
