"""What `Model` adds to Keras: labels, losses, logits, metrics, files, input."""

import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tensorflow as tf
from keras import ops
from tensorflow.python.eager import context

from recsys import Field, Task, create_model, load_model, metrics
from recsys.inputs.embedder import FieldEmbedder
from recsys.layers.heads import PredictLayer, predict
from recsys.layers.losses import LossLayer
from recsys.layers.mlp import Tower
from recsys.match.youtube_dnn import youtube_dnn
from recsys.train.model import Model
from recsys.train.step import one_order_of_sums
from tests import oracle, zoo
from tests.close import close

N = 32
A, B, C = Task("b_task"), Task("a_task"), Task("c_task")  # not in order of names


def _model(*tasks, **kwargs):
    embed = FieldEmbedder([Field("u", vocabulary_size=9), Field("f", dtype="float32")])
    x = embed([Field("u", vocabulary_size=9), Field("f", dtype="float32")]).concat()
    logits = [
        Tower((), num_logits=t.num_classes, name=f"dnn_{t.name}", **kwargs)(x)
        for t in tasks
    ]
    outputs = predict(tasks, logits) if len(tasks) > 1 else predict(tasks[0], logits)
    model = Model(inputs=embed.inputs, outputs=outputs)
    zoo.jitter(model)
    return model


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return {"u": rng.integers(0, 9, N), "f": rng.normal(size=N)}


@pytest.fixture
def y():
    rng = np.random.default_rng(1)
    return {task.name: rng.integers(0, 2, N) for task in (A, B, C)}


def _bce(label, p):
    p = np.clip(np.asarray(p, "float64"), 1e-12, 1 - 1e-12)[:, 0]
    return -(label * np.log(p) + (1 - label) * np.log(1 - p))


# Labels.


def test_a_model_without_a_loss_is_not_trained(x, y):
    model = _model(A)
    model.compile("sgd", metrics=["auc"])
    with pytest.raises(ValueError, match="fit: compile must be given a loss"):
        model.fit(x, y["b_task"], verbose=0)


@pytest.mark.parametrize("name", ["dcnv3", "deepfm"])
def test_trainings_of_one_seed_have_the_same_digits(name):
    """They had not where three numbers are added, and one is read elsewhere too."""
    (entry,) = (each for each in zoo.ENTRIES if each.name == name)
    rows, labels, found = zoo.rows(64), entry.labels(64), []
    for _ in range(5):
        keras.utils.set_random_seed(0)
        model = entry.subject().compiled()
        fit = {"batch_size": 32, "epochs": 3, "shuffle": False, "verbose": 0}
        model.fit(rows, labels, **fit)
        found.append(model.get_weights())
        for one, other in zip(found[0], found[-1], strict=True):
            np.testing.assert_array_equal(one, other)


def _sums(*_):
    """Whether TensorFlow changes sums in this thread: 0 unsaid, 1 it does, 2 not."""
    options = context.context().function_call_options
    config = tf.compat.v1.ConfigProto()
    config.ParseFromString(options.config_proto_serialized)
    return config.graph_options.rewrite_options.arithmetic_optimization


RUNS = {
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "predict": lambda model, x, y: model.predict(x, verbose=0),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "test_on_batch": lambda model, x, y: model.test_on_batch(x, y),
    "predict_on_batch": lambda model, x, y: model.predict_on_batch(x),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_sums_have_one_order_in_every_thread(x, y, run, monkeypatch):
    of_all = context.context()
    monkeypatch.setattr(of_all, "_optimizer_experimental_options", {})
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(_sums).result() == 0
        model = _model(A)
        model.compile("sgd", "mse")
        thread.submit(run, model, x, y[A.name]).result()
        assert thread.submit(_sums).result() == _sums() == 2
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})
        thread.submit(run, model, x, y[A.name]).result()
        _model(A)
        assert thread.submit(_sums).result() == _sums() == 1
    monkeypatch.undo()
    one_order_of_sums()


def test_labels_of_one_task_may_be_an_array_a_dict_or_a_list(x, y):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy")
    label = y[A.name]
    losses = [
        model.evaluate(x, given, verbose=0)
        for given in (
            label,
            label[:, None],
            label.astype(float),
            {A.name: label},
            [label],
        )
    ]
    expected = _bce(label, model.predict(x, verbose=0)).mean()
    close(losses, expected, terms=100)


def test_datasets_and_arrays_may_alternate_whatever_the_ranks(x, y):
    """Labels `(batch,)` and `(batch, 1)` are one shape of unknown rank to Keras."""
    model = _model(A)
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    label = y[A.name].astype("float32")
    ranks = [({k: v[:, None] for k, v in x.items()}, label[:, None]), (x, label)]
    losses = [
        model.fit(*given, verbose=0).history["loss"][0]
        for flat in ranks
        for given in ((tf.data.Dataset.from_tensors((x, flat[1])),), flat)
    ]
    close(losses, losses[0], terms=100)


def test_labels_and_losses_of_several_tasks_map_in_their_order(x, y):
    """Keras sorts the names, and swaps the losses of a list without a word."""
    model = _model(A, B)
    model.compile("sgd", ["binary_crossentropy", "mse"], [1.0, 10.0])
    p = model.predict(x, verbose=0)
    assert list(p) == ["b_task", "a_task"]
    bce = _bce(y["b_task"], p["b_task"]).mean()
    mse = ((y["a_task"] - p["a_task"][:, 0]) ** 2).mean()
    for given in (y, [y["b_task"], y["a_task"]]):
        logs = model.evaluate(x, given, verbose=0, return_dict=True)
        close(logs["loss"], bce + 10 * mse, terms=100)
        close(logs["b_task_loss"], bce, terms=100)
        close(logs["a_task_loss"], mse, terms=100)


def test_one_loss_goes_to_every_task_and_none_to_a_logit(x, y):
    model = _model(Task("ctr", return_logit=True))
    model.compile("sgd", keras.losses.BinaryCrossentropy(), metrics=["accuracy"])
    logs = model.evaluate(x, y[A.name], verbose=0, return_dict=True)
    assert set(logs) == {"loss", "ctr_accuracy"}


def test_a_list_reaches_the_logit_as_in_version_1(x, y):
    model = _model(Task("ctr", return_logit=True))
    model.compile(
        "sgd",
        [keras.losses.BinaryCrossentropy(), keras.losses.MeanSquaredError()],
        loss_weights=[0.7, 0.3],
        metrics={"ctr": keras.metrics.AUC()},
    )
    label = y[A.name]
    p = model.predict(x, verbose=0)
    expected = 0.7 * _bce(label, p["ctr"]).mean()
    expected += 0.3 * ((label - p["logit"][:, 0]) ** 2).mean()
    logs = model.evaluate(x, label, verbose=0, return_dict=True)
    close(logs["loss"], expected, terms=100)
    assert "ctr_auc" in logs


def test_missing_labels_count_in_no_loss_no_metric_and_no_gradient(x, y):
    model = _model(A, B)
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    label = y["b_task"].astype(float)
    label[::3] = np.nan
    p = model.predict(x, verbose=0)
    seen = ~np.isnan(label)
    logs = model.evaluate(x, {**y, "b_task": label}, verbose=0, return_dict=True)
    expected = _bce(label[seen], p["b_task"][seen]).mean()
    close(logs["b_task_loss"], expected, terms=100)
    right = (p["b_task"][seen, 0] > 0.5) == (label[seen] > 0.5)
    close(logs["b_task_accuracy"], right.mean())

    nothing = {**y, "b_task": np.full(N, np.nan)}
    before = [w.numpy() for w in model.get_layer("dnn_b_task").weights]
    other = model.get_layer("dnn_a_task").weights[0].numpy()
    model.fit(x, nothing, verbose=0)
    for weight, value in zip(
        model.get_layer("dnn_b_task").weights, before, strict=True
    ):
        np.testing.assert_array_equal(weight, value)
    assert (model.get_layer("dnn_a_task").weights[0] != other).numpy().any()
    logs = model.evaluate(x, nothing, verbose=0, return_dict=True)
    assert np.isnan(logs["b_task_loss"])  # 0 would be the best
    close(logs["loss"], logs["a_task_loss"])


@pytest.mark.parametrize("tasks", [[A], [A, B]])
def test_the_loss_is_a_mean_over_labels_whatever_the_batches(x, y, tasks):
    random = np.random.default_rng(3)
    labels = {}
    for task in tasks:
        label = y[task.name].astype(float)
        label[random.random(N) < 0.6] = np.nan
        label[:3] = np.nan  # of no row of the first batch
        labels[task.name] = label
    weights = {A.name: 2.0, B.name: None} if tasks[1:] else None
    model = _model(*tasks)
    model.compile(keras.optimizers.SGD(0.0), "ce", weights)
    p = model.predict(x, verbose=0)
    p = p if isinstance(p, dict) else {A.name: p}
    means = {n: np.nanmean(_bce(label, p[n])) for n, label in labels.items()}
    wanted = {f"{n}_loss": mean for n, mean in means.items() if tasks[1:]}
    wanted["loss"] = sum(means.values()) + (means[A.name] if tasks[1:] else 0)
    for size in (1, 3, 7, N):
        logs = model.evaluate(x, labels, batch_size=size, verbose=0, return_dict=True)
        close(logs, wanted, terms=200)
        fit = model.fit(x, labels, batch_size=size, verbose=0)
        close({n: log[0] for n, log in fit.history.items()}, wanted, terms=200)
    for name in labels:
        labels[name][:] = np.nan
    for use in (model.evaluate, model.fit):
        with pytest.raises(ValueError, match="there must be labels of a task.*all"):
            use(x, labels, verbose=0)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_missing_labels_count_in_no_other_reduction(x, y, reduction):
    label, w = y[A.name].astype(float), np.random.default_rng(2).random(N)
    label[np.random.default_rng(3).random(N) < 0.6] = np.nan
    model = _model(A)
    loss = keras.losses.BinaryCrossentropy(reduction=reduction)
    model.compile(keras.optimizers.SGD(0.1), loss)
    each = _bce(label, model.predict(x, verbose=0))
    seen = ~np.isnan(label)
    start = [weight.numpy() for weight in model.weights]
    for weight in (None, w):
        own = np.ones(N) if weight is None else w
        total = (own * each)[seen].sum()
        wanted = total if reduction == "sum" else total / own[seen].sum()
        sizes = [N] if reduction == "sum" else [3, 7, N]
        for size in sizes:
            found = model.evaluate(x, label, size, sample_weight=weight, verbose=0)
            close(found, wanted, terms=200)
        # As does the gradient: that of the labelled rows alone.
        ends = []
        for rows in (slice(None), seen):
            model.set_weights(start)
            part = {name: column[rows] for name, column in x.items()}
            of_rows = None if weight is None else weight[rows]
            model.fit(part, label[rows], N, sample_weight=of_rows, verbose=0)
            ends.append(model.get_weights())
        for of_all, of_labelled in zip(*ends, strict=True):
            close(of_all, of_labelled, terms=200)
        model.set_weights(start)


def test_sample_weights_for_all_or_for_a_task(x, y):
    model = _model(A, B)
    model.compile("sgd", "binary_crossentropy", weighted_metrics=["accuracy"])
    w = np.random.default_rng(2).random(N)
    p = model.predict(x, verbose=0)
    each = {name: _bce(y[name], p[name]) for name in ("b_task", "a_task")}
    logs = model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
    close(logs["b_task_loss"], (w * each["b_task"]).mean(), terms=100)
    right = (p["b_task"][:, 0] > 0.5) == (y["b_task"] > 0)
    close(logs["b_task_accuracy"], (w * right).sum() / w.sum(), terms=100)
    logs = model.evaluate(
        x, y, sample_weight={"a_task": w}, verbose=0, return_dict=True
    )
    close(logs["b_task_loss"], each["b_task"].mean(), terms=100)
    close(logs["a_task_loss"], (w * each["a_task"]).mean(), terms=100)


def test_a_weighted_loss_with_missing_labels_is_over_valid_rows(x, y):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy")
    label = np.where(np.arange(N) % 4 == 0, np.nan, y[A.name])
    w = np.random.default_rng(2).random(N)
    each = np.nan_to_num(w * _bce(label, model.predict(x, verbose=0)))
    expected = each.sum() / (~np.isnan(label)).sum()
    found = model.evaluate(x, label, sample_weight=w, verbose=0)
    close(found, expected, terms=100)


def test_class_weights(x, y):
    model = _model(A)
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    label = y[A.name]
    each = _bce(label, model.predict(x, verbose=0)) * np.where(label == 1, 3.0, 0.5)
    fit = model.fit(x, label, class_weight={0: 0.5, 1: 3.0}, batch_size=N, verbose=0)
    close(fit.history["loss"][0], each.mean(), terms=100)
    for labels in (label, {A.name: label}):
        data = _tf_data(x, labels)
        fit = model.fit(data, class_weight={0: 0.5, 1: 3.0}, verbose=0)
        close(fit.history["loss"][0], each.mean(), terms=100)


def _tf_data(*parts):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(parts).batch(N)


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize("weights", [{0: 1.0}, {"a_task": {0: 1.0}}])
def test_class_weights_of_several_tasks_are_one_error(x, y, as_dataset, weights):
    model = _model(A, B)
    model.compile("sgd", "mse")
    for given in ((x, y), (x, y, np.ones(N))):
        parts = {"x": _tf_data(*given)} if as_dataset else given[:2]
        rest = {"sample_weight": given[2]} if not as_dataset and given[2:] else {}
        parts = parts if as_dataset else dict(zip(("x", "y"), parts, strict=True))
        with pytest.raises(ValueError, match="single task.*Received: tasks .*'b_task'"):
            model.fit(**parts, **rest, class_weight=weights, verbose=0)


def test_class_weights_that_are_none(x, y):
    model, label = _model(A), y[A.name]
    model.compile("sgd", "binary_crossentropy")
    for given, weights, message in (
        ((x, label), {"a_task": {0: 1.0}}, "dict of the weight of each label.*a_task"),
        ((x, label), "balanced", "dict of the weight of each label.*'balanced'"),
        ((x, {"day": label}), {0: 1.0}, "labels of 'b_task' are missing.*'day'"),
        ((_tf_data(x, label),), {0: {1: 2}}, "dict of the weight of each label"),
        ((_tf_data(x, {"a_task": label}),), {0: 1}, "The labels of 'b_task' are miss"),
        ((_tf_data(x, label, label),), {0: 1}, "not be given together"),
        ((x, label, None, 1, 0, None, 0.0, None, True, {0: 1}, label), {}, "together"),
    ):
        rest = {"class_weight": weights, "verbose": 0} if weights else {}
        with pytest.raises(ValueError, match=message):
            model.fit(*given, **rest)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (lambda y: y["b_task"], "dict by task, .*Received: one array"),
        (lambda y: {"b_task": y["b_task"]}, "labels of 'a_task' are missing"),
        (lambda y: {"day_a_task": y["a_task"]}, "Received: labels .'day_a_task'"),
        (lambda y: {**y, "b_task": y["b_task"] + 1}, "'b_task' must be 0, 1, or NaN"),
        (lambda y: {**y, "b_task": y["b_task"] * 0.5}, "Received: 0.5"),
        (lambda y: {**y, "b_task": y["b_task"].astype(str)}, "must be numbers"),
        (lambda y: None, "Labels of .* must be given, as y or .*Received: none"),
    ],
)
def test_wrong_labels(x, y, labels, error):
    model = _model(A, B)
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match=error):
        model.fit(x, labels(y), verbose=0)


@pytest.mark.filterwarnings("ignore:.* does not read the columns")
def test_sample_weights_without_labels_are_an_error(x):
    model = youtube_dnn(zoo.fields())
    model.compile("sgd")
    with pytest.raises(ValueError, match="must come with labels, which it weighs"):
        model.fit(zoo.rows(8), sample_weight=np.ones(8), verbose=0)


@pytest.mark.parametrize("given", ["loss", "metrics", "loss_weights"])
def test_a_key_that_is_no_output(given):
    with pytest.raises(ValueError, match="keyed by outputs.*'b_tsk'"):
        _model(A, B).compile("sgd", **{"loss": "mse", given: {"b_tsk": "mse"}})


def test_a_list_that_does_not_fit():
    with pytest.raises(ValueError, match="one entry for each output.*Received: 3"):
        _model(A, B).compile("sgd", ["mse", "mse", "mse"])


# Logits.


def test_a_cross_entropy_sees_the_logit_not_the_clipped_prediction(x):
    model = _model(A)
    tower = model.get_layer("dnn_b_task").logit
    tower.kernel.assign(tower.kernel * 0)
    tower.bias.assign([40.0])
    for loss in ("binary_crossentropy", "bce", keras.losses.BinaryCrossentropy(), "ce"):
        model.compile("sgd", loss)
        close(model.evaluate(x, np.zeros(N), verbose=0), 40.0)


def test_options_of_a_cross_entropy_stay(x, y):
    model = _model(A)
    model.compile("sgd", keras.losses.BinaryCrossentropy(label_smoothing=0.2))
    label = y[A.name] * 0.8 + 0.1
    expected = _bce(label, model.predict(x, verbose=0)).mean()
    close(model.evaluate(x, y[A.name], verbose=0), expected, terms=100)


def test_a_loss_of_ones_own_gets_labels_as_wide_as_predictions(x, y):
    class Squared(keras.losses.Loss):
        def call(self, y_true, y_pred):
            assert len(y_true.shape) == len(y_pred.shape) == 2
            return ops.mean(ops.square(y_true - y_pred), axis=-1)

    model = _model(A)
    model.compile("sgd", Squared())
    expected = ((y[A.name] - model.predict(x, verbose=0)[:, 0]) ** 2).mean()
    close(model.evaluate(x, y[A.name], verbose=0), expected, terms=100)


# Metrics.


def test_every_task_has_metrics_of_its_own(x, y):
    for given in (
        keras.metrics.AUC(name="auc"),
        ["accuracy", keras.metrics.AUC(name="auc")],
    ):
        model = _model(A, B)
        model.compile("sgd", "binary_crossentropy", metrics=given)
        logs = model.evaluate(x, y, verbose=0, return_dict=True)
        p = model.predict(x, verbose=0)
        for name in ("b_task", "a_task"):
            alone = keras.metrics.AUC()
            alone.update_state(y[name], p[name])
            close(logs[f"{name}_auc"], float(alone.result()))


def test_a_flat_list_as_long_as_the_outputs_is_still_for_all(x, y):
    model = _model(A, B)
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", "mse"])
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert {"b_task_accuracy", "b_task_mse", "a_task_accuracy", "a_task_mse"} <= set(
        logs
    )
    model.compile("sgd", "binary_crossentropy", metrics=[["accuracy"], ["mse"]])
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert "b_task_accuracy" in logs and "b_task_mse" not in logs


def test_evaluate_lists_the_loss_first(x, y):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    values = model.evaluate(x, y[A.name], verbose=0)
    logs = model.evaluate(x, y[A.name], verbose=0, return_dict=True)
    assert values == [logs["loss"], logs["accuracy"]]


class _Count(keras.metrics.Metric):
    """The number of groups of the rows that count; exact, by group."""

    exact = True

    def __init__(self, group="g", name="count", **kwargs):
        super().__init__(name=name, **kwargs)
        self.group = group
        self.seen = self.add_variable((100,), "zeros", name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None, groups=None):
        weight = ops.ones_like(groups) if sample_weight is None else sample_weight
        hot = ops.one_hot(groups, 100) * ops.cast(weight, "float32")[:, None]
        self.seen.assign(self.seen + ops.sum(hot, axis=0))

    def result(self):
        return float((ops.convert_to_numpy(self.seen) > 0).sum())  # eager only


def test_a_metric_is_given_the_column_it_groups_by(x, y):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy", metrics=[_Count("g")])
    groups = np.arange(N) % 7
    label = np.where(groups == 3, np.nan, y[A.name])
    fit = model.fit(
        {**x, "g": groups},
        label,
        validation_data=({**x, "g": groups * 0}, y[A.name]),
        verbose=0,
    )
    assert fit.history["count"] == [6.0]
    assert fit.history["val_count"] == [1.0]
    with pytest.raises(ValueError, match="'g' is missing, which a metric groups by"):
        model.evaluate(x, y[A.name])
    with pytest.raises(ValueError, match="'g'.*must hold integers"):
        model.evaluate({**x, "g": groups.astype(str)}, y[A.name])


def test_exact_metrics_in_fit_see_logits_groups_and_missing_labels(x, y):
    model = _model(A)
    tower = model.get_layer("dnn_b_task").logit
    tower.bias.assign([30.0])  # probabilities are all 1
    model.compile(
        keras.optimizers.SGD(0.0),
        "binary_crossentropy",
        metrics=[metrics.AUC(100), metrics.GAUC("g", capacity=100), metrics.LogLoss()],
    )
    g = np.arange(N) % 5
    label = np.where(np.arange(N) % 6 == 1, np.nan, y[A.name])
    logs = model.fit(
        {**x, "g": g},
        label,
        batch_size=8,
        validation_data=({**x, "g": g}, label),
        verbose=0,
    ).history
    w = oracle.weights(model)
    e = np.concatenate(
        [
            w["embedding_u/embeddings"][x["u"]],
            x["f"][:, None] * w["embedding_f/embeddings"],
        ],
        axis=-1,
    )
    logit = oracle.dense(e, w, "dnn_b_task/logit", 1)[:, 0]
    for prefix in ("", "val_"):
        close(logs[f"{prefix}auc"], [metrics.auc(label, logit)])
        close(logs[f"{prefix}gauc"], [metrics.gauc(label, logit, groups=g)])
        log_loss = metrics.log_loss(label, logits=logit)
        close(logs[f"{prefix}log_loss"], [log_loss], terms=100)


def test_too_many_rows_for_an_exact_metric_are_an_error_before_the_first_step(x, y):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy", metrics=[metrics.AUC(capacity=N - 1)])
    before = model.get_weights()
    with pytest.raises(ValueError, match="'auc' holds capacity=31.*Received: 32 rows"):
        model.fit(x, y[A.name], verbose=0)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize("tasks", [[A], [A, B]])
def test_a_model_trains_compiled_by_xla(x, y, tasks):
    ends = []
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        model = _model(*tasks)
        model.compile("sgd", "binary_crossentropy", jit_compile=jit)
        labels = {task.name: y[task.name] for task in tasks}
        model.fit(x, labels, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for one, other in zip(*ends, strict=True):
        close(one, other, terms=100)


# Loss layers.


@keras.saving.register_keras_serializable(package="tests")
class _Auxiliary(LossLayer):
    """Cross-entropy of a second logit, of the labels of the one task."""

    def call(self, inputs):
        prediction, logit = inputs
        self.kept.put(logit)
        return prediction

    def loss(self, labels, weights, x, training):
        (label,) = labels.values()
        logit = self.kept.take()[-1]
        loss = self.loss_fn or keras.losses.BinaryCrossentropy(from_logits=True)
        (weight,) = weights.values()
        return loss(label, logit, weight)


def _with_auxiliary(weight=0.2):
    embed = FieldEmbedder([Field("u", vocabulary_size=9)])
    x = embed([Field("u", vocabulary_size=9)]).concat()
    logit, extra = Tower((), name="dnn_main")(x), Tower((), name="dnn_extra")(x)
    main = _Auxiliary(weight, name="auxiliary")([logit, extra])
    model = Model(inputs=embed.inputs, outputs=predict(A, main))
    zoo.jitter(model)
    return model


def _auxiliary_loss(model, x, label):
    w = oracle.weights(model)
    e = w["embedding_u/embeddings"][x["u"]]
    logits = [oracle.tower(e, w, f"dnn_{name}", ()) for name in ("main", "extra")]
    return [_bce(label, oracle.sigmoid(logit)).mean() for logit in logits]


def test_a_loss_layer_adds_its_loss_with_its_weight(x, y, tmp_path):
    model, label = _with_auxiliary(), y[A.name]
    main, extra = _auxiliary_loss(model, x, label)
    model.compile("sgd", "binary_crossentropy")
    found = model.evaluate(x, label, verbose=0)
    close(found, main + 0.2 * extra, terms=100)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    close(loaded.evaluate(x, label, verbose=0), found)


def test_the_loss_of_a_layer_is_a_mean_over_labels_whatever_the_batches(x, y):
    model, label = _with_auxiliary(), y[A.name].astype(float)
    label[np.random.default_rng(3).random(N) < 0.6] = np.nan
    label[:3] = np.nan  # of no row of the first batch
    seen = ~np.isnan(label)
    main, extra = _auxiliary_loss(model, {"u": x["u"][seen]}, label[seen])
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    for size in (1, 3, 7, N):
        found = model.evaluate(x, label, batch_size=size, verbose=0)
        close(found, main + 0.2 * extra, terms=200)
        fit = model.fit(x, label, batch_size=size, verbose=0)
        close(fit.history["loss"][0], main + 0.2 * extra, terms=200)


def test_the_loss_of_a_match_model_is_a_mean_over_items_whatever_the_batches():
    rng = np.random.default_rng(0)
    item = Field("i", vocabulary_size=30, belong="item")
    fields = [item, Field("h", vocabulary_size=30, emb="i", belong="history", length=4)]
    model = create_model("gru4rec", fields, num_negatives=None)
    rows = {"h": rng.integers(0, 30, (N, 4)), "i": rng.integers(0, 30, N)}
    rows["i"][rng.random(N) < 0.5] = 0  # no item
    model.compile(keras.optimizers.SGD(0.0))
    wanted = model.evaluate(rows, batch_size=N, verbose=0)
    for size in (1, 3, 7):
        close(model.evaluate(rows, batch_size=size, verbose=0), wanted, terms=200)
        fit = model.fit(rows, batch_size=size, verbose=0)
        close(fit.history["loss"][0], wanted, terms=200)


def test_further_entries_of_a_list_go_to_loss_layers(x, y, tmp_path):
    model, label = _with_auxiliary(), y[A.name]
    main, extra = _auxiliary_loss(model, x, label)
    of_layer = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.0)
    model.compile(
        "sgd",
        loss=[keras.losses.BinaryCrossentropy(), of_layer],
        loss_weights=[1.0, 0.5],
        metrics={A.name: keras.metrics.AUC()},
    )
    found = model.evaluate(x, label, verbose=0)[0]
    close(found, main + 0.5 * extra, terms=100)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    close(loaded.evaluate(x, label, verbose=0)[0], found)


def test_prediction_carries_no_loss_layer(x, tmp_path):
    model = _with_auxiliary()
    model.export(tmp_path / "saved", verbose=False)
    names = {
        node.name
        for node in tf.saved_model.load(tmp_path / "saved")
        .signatures["serving_default"]
        .graph.as_graph_def()
        .library.function[0]
        .node_def
    }
    assert any("dnn_main" in name for name in names)


# Files, checkpoints, resuming.


def _with_all_state():
    model = youtube_dnn(zoo.fields(), (10, 6), dropout=0.3, num_negatives=5)
    model.compile({"embedding": "adagrad", "default": "adam"})
    return model


@pytest.mark.filterwarnings("ignore:.* does not read the columns")
@pytest.mark.parametrize("how", ["file", "weights", "checkpoint"])
def test_training_resumes_to_the_same_digits(how, tmp_path):
    """With dropout and a sampler in the model, and two optimizers."""
    rows = zoo.rows(64)

    def train(model):
        return model.fit(
            rows, batch_size=16, epochs=3, shuffle=False, verbose=0
        ).history["loss"]

    model = _with_all_state()
    train(model)
    if how == "file":
        model.save(tmp_path / "m.keras")
        other = load_model(tmp_path / "m.keras")
    elif how == "weights":
        model.save_weights(tmp_path / "m.weights.h5")
        other = _with_all_state()
        other.load_weights(tmp_path / "m.weights.h5")
    else:
        tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
        other = _with_all_state()
        status = tf.train.Checkpoint(model=other).restore(str(tmp_path / "c-1"))
        status.assert_existing_objects_matched()
    for one, two in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)
    for one, two in zip(
        model.optimizer.variables, other.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(one, two, err_msg=one.path)
    assert train(model) == train(other)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def _zip_of_text(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("items.npy", "no weights")


NO_INDEX = ["", "{", "{}", "[]", "3", '{"weight_map": {}}', '{"weight_map": 3}']
WEIGHTS = {
    "none.weights.h5": (lambda path: None, FileNotFoundError, "no file of that name"),
    "folder.weights.h5": (Path.mkdir, FileNotFoundError, "a folder"),
    "a.txt": (
        lambda path: path.write_text("a"),
        ValueError,
        "a name that ends in none",
    ),
    "a.weights.h5": (lambda path: path.write_text("a"), OSError, ""),
    "b.keras": (lambda path: path.write_text("b"), OSError, "no archive"),
    "c.keras": (_zip_of_text, OSError, "no model.weights.h5 in it"),
    "d.keras": (
        lambda path: [_model(A).save(path), _cut(path)],
        OSError,
        "no archive, or cut",
    ),
    **{
        f"{place}.weights.json": (
            lambda path, text=text: path.write_text(text),
            OSError,
            found,
        )
        for place, (text, found) in enumerate(
            [
                *((text, "a .json that names no files") for text in NO_INDEX),
                ('{"weight_map": {"a": "no.weights.h5"}}', ".*No such file"),
            ]
        )
    },
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_files_that_are_no_weights(tmp_path, name):
    make, kind, found = WEIGHTS[name]
    make(tmp_path / name)
    for options in ({}, {"skip_mismatch": True}):
        wanted = f"{name} must be a whole file .*Received: {found}"
        with pytest.raises(kind, match=wanted):
            _model(A).load_weights(tmp_path / name, **options)


OTHERS = {
    "another size": ("deepfm", {"hidden_units": (8, 5)}),
    "more layers": ("deepfm", {"hidden_units": (8, 4, 4)}),
    "fewer layers": ("deepfm", {"hidden_units": (8,)}),
    "batch normalization": ("deepfm", {"hidden_units": (8, 4), "use_bn": True}),
    "another model": ("autoint", {"hidden_units": (8, 4)}),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".weights.json"])
def test_weights_of_another_model_change_nothing(tmp_path, other, ending):
    fields = zoo.fields(4)
    name, options = OTHERS[other]
    other = create_model(name, fields, **options)
    path = tmp_path / f"other{ending}"
    if ending == ".keras":
        other.save(path)
    else:
        parts = {"max_shard_size": 3e-5} if ending == ".weights.json" else {}
        other.save_weights(path, **parts)
    model = create_model("deepfm", fields, hidden_units=(8, 4))
    model.compile("adam", "binary_crossentropy")
    model.fit(zoo.rows(8), zoo.labels("rank", 8), verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    before = [variable.numpy() for variable in variables]
    with pytest.raises(ValueError):
        model.load_weights(path)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


def test_weights_of_another_optimizer_or_of_some_layers(x, y, tmp_path):
    path = tmp_path / "m.weights.h5"
    trained, other = _model(A), _model(A)
    trained.compile("sgd", "mse")
    trained.fit(x, y[A.name], verbose=0)
    trained.save_weights(path)
    other.compile("adam", "mse")
    other.fit(x, y[A.name], verbose=0)
    before = [variable.numpy() for variable in other.optimizer.variables]
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        other.load_weights(path)
    for one, two in zip(trained.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)
    for one, two in zip(before, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    smaller = create_model("deepfm", zoo.fields(4), hidden_units=(8, 4))
    create_model("deepfm", zoo.fields(4), hidden_units=(8, 4, 4)).save_weights(path)
    smaller.load_weights(path, skip_mismatch=True)


def test_weights_of_a_model_with_a_trained_model_in_it(x, y, tmp_path):
    def made():
        inputs = keras.Input((1,))
        inner = keras.Model(inputs, keras.layers.Dense(3)(inputs))
        adam = keras.optimizers.Adam()
        inner.compile(keras.optimizers.LossScaleOptimizer(adam), "mse", metrics=["mae"])
        inner.fit(np.zeros((2, 1)), np.zeros((2, 3)), verbose=0)
        columns = {"f": keras.Input((1,), name="f")}
        logit = keras.layers.Dense(1)(inner(columns["f"]))
        return Model(inputs=columns, outputs=predict(A, logit))

    model, twin = made(), made()
    for ending in (".weights.h5", ".keras"):
        path = tmp_path / f"m{ending}"
        model.save(path) if ending == ".keras" else model.save_weights(path)
        for each in (model, twin):
            each.load_weights(path)
    for one, two in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    model = _model(A)
    path = tmp_path / "m.keras"
    model.save(path)
    before = path.read_bytes()

    def torn(self, filepath, *args, **kwargs):
        with open(filepath, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save", torn)
    with pytest.raises(OSError, match="disk full"):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.keras"]


def test_the_compiled_state_is_in_the_file(x, y, tmp_path):
    model = _model(A, B)
    model.compile(
        {"embedding": "adagrad", "default": "adam"},
        ["binary_crossentropy", "mse"],
        [1.0, 2.0],
        metrics=["accuracy"],
        weighted_metrics={"a_task": ["mse"]},
    )
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


# Input.


def test_columns_come_by_name_and_extra_ones_are_left_out(x, y):
    """Keras, given one key too many, feeds the columns in the wrong order."""
    model = _model(A)
    expected = model.predict(x, verbose=0)
    more = {
        "a_first": np.array(["x"] * N),
        "g": np.arange(N),
        **x,
        "zz": np.ones((N, 3)),
    }
    np.testing.assert_array_equal(model.predict(more, verbose=0), expected)
    close(model(more), expected)
    model.compile("sgd", "binary_crossentropy")
    model.fit(more, y[A.name], verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((more, y[A.name])).batch(8)
    model.fit(dataset, verbose=0)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_frames_with_lists(kind):
    rows, label = zoo.rows(24), zoo.labels("rank", 24)
    model = create_model("din", zoo.fields())
    model.compile("sgd", "binary_crossentropy")
    columns = {
        name: list(column) if column.ndim == 2 else column
        for name, column in rows.items()
    }
    table = {
        "pandas": lambda: pd.DataFrame(columns),
        "polars": lambda: pl.DataFrame(columns),
        "arrow": lambda: pa.table(columns),
    }[kind]()
    expected = model.predict(rows, verbose=0)
    close(model.predict(table, verbose=0), expected)
    loss = model.evaluate(rows, label, verbose=0)
    labels = table.select(["hour"]) if kind != "pandas" else table[["hour"]]
    close(model.evaluate(table, label, verbose=0), loss)
    with pytest.raises(ValueError, match="labels of 'ctr' are missing.*'hour'"):
        model.evaluate(table, labels, verbose=0)


@pytest.mark.parametrize("option", ["run_eagerly", "steps_per_execution"])
def test_options_of_keras(x, y, option):
    losses = []
    for value in (1, 3) if option == "steps_per_execution" else (False, True):
        keras.utils.set_random_seed(0)
        model = _model(A)
        model.compile(
            "adam", "binary_crossentropy", metrics=["accuracy"], **{option: value}
        )
        fit = model.fit(x, y[A.name], batch_size=8, shuffle=False, epochs=2, verbose=0)
        losses.append(fit.history["loss"])
    close(*losses, terms=100)


def test_keras_callbacks_see_exact_metrics_and_save(x, y, tmp_path):
    model = _model(A)
    model.compile("adam", "binary_crossentropy", metrics=[metrics.AUC(100)])
    path = tmp_path / "best.keras"
    best = keras.callbacks.ModelCheckpoint(
        str(path), "val_auc", mode="max", save_best_only=True
    )
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    label = y[A.name]
    fit = model.fit(
        x,
        label,
        validation_data=(x, label),
        epochs=4,
        callbacks=[best, backup],
        verbose=0,
    )
    loaded = load_model(path)
    logs = loaded.evaluate(x, label, verbose=0, return_dict=True)
    close(logs["auc"], max(fit.history["val_auc"]))


def test_batches_by_hand(x, y):
    model = _model(A, B)
    model.compile("sgd", "binary_crossentropy")
    loss = model.evaluate(x, y, verbose=0)[0]
    close(model.test_on_batch(x, y, return_dict=True)["loss"], loss)
    model.train_on_batch(x, y)
    assert set(model.predict_on_batch(x)) == {A.name, B.name}


def test_a_validation_split_and_a_dataset(x, y):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    fit = model.fit(x, y[A.name], validation_split=0.25, verbose=0)
    assert {"val_loss", "val_accuracy"} <= set(fit.history)
    rows = tf.data.Dataset.from_tensor_slices((x, y[A.name])).batch(8)
    assert model.predict(rows, verbose=0).shape == (N, 1)


BAD = [
    ({"u": None}, "Column 'u' is missing. .*nearest: uu"),
    ({"u": np.zeros((N, 2), int)}, r"'u' must have shape \('rows',\).*\(32, 2\)"),
    (
        {"u": np.full(N, 9)},
        "'u' must hold ids from 0 to 8. Received: 9 in row 0, and 31",
    ),
    ({"u": np.full(N, -1)}, "ids from 0 to 8. Received: -1"),
    ({"u": np.full(N, 2**32 + 3)}, "ids from 0 to 8. Received: 4294967299"),
    ({"u": np.full(N, 2.7)}, "whole ids. Received: 2.7"),
    ({"u": np.array(["a"] * N)}, "must hold numbers.*Received: dtype"),
    ({"f": np.full(N, np.nan)}, "'f' must hold finite numbers. Received: nan"),
    ({"f": np.full(N, np.inf)}, "'f' must hold finite numbers. Received: inf"),
    ({"f": np.full(N, 1e300)}, r"numbers that float32 holds. Received: 1e\+300"),
    ({"f": np.zeros(5)}, "as many rows. Received: .*'f': 5"),
]


@pytest.mark.parametrize(("change", "error"), BAD, ids=[error for _, error in BAD])
def test_columns_the_model_would_not_take_as_they_are(x, y, change, error):
    model = _model(A)
    model.compile("sgd", "binary_crossentropy")
    bad = {**x, **change}
    if bad["u"] is None:
        bad["uu"] = bad.pop("u") or np.zeros(N)
    for use in (model.predict, lambda v: model.fit(v, y[A.name], verbose=0)):
        with pytest.raises(ValueError, match=error):
            use(bad)
    with pytest.raises(ValueError, match='"u"' if "uu" in bad else error):
        model(bad)


def test_whole_ids_may_come_as_floats(x):
    model = _model(A)
    same = {**x, "u": x["u"].astype("float64")}
    np.testing.assert_array_equal(
        model.predict(same, verbose=0), model.predict(x, verbose=0)
    )


def test_a_head_refuses_a_logit_per_class_it_does_not_have():
    with pytest.raises(ValueError, match="one width"):
        PredictLayer("multiclass", 3).build([(None, 2), (None, 3)])


def _output(module, *arguments):
    """What a script prints, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.mark.all
def test_two_replicas_train_as_one():
    """In a process of its own: two strategies in one can abort it."""
    assert "weights differ by at most" in _output("tests.train.mirrored")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("optimizer", ["adagrad", "rowwiseadagrad"])
def test_training_needs_little_memory_besides_tables_and_slots(optimizer):
    assert float(_output("tests.train.peak_memory", "2000000", optimizer)) < 1.3


# Predict.


class Recorder(keras.callbacks.Callback):
    """Rows of each batch, and the steps that a progress bar would have."""

    def on_predict_begin(self, logs=None):
        self.rows, self.steps = [], self.params["steps"]

    def on_predict_batch_end(self, batch, logs=None):
        self.rows.append(len(logs[A.name]))
        self.model.stop_predicting = len(self.rows) == 3


def test_predictions_are_those_of_one_call_however_rows_are_fed(x):
    model = _model(A, B)
    inputs = {"u": x["u"].astype("int32"), "f": x["f"].astype("float32")}
    expected = {name: value.numpy() for name, value in model(inputs).items()}
    slices = tf.data.Dataset.from_tensor_slices((inputs, x["f"]))
    fed = (
        (x, {}),
        (x, {"batch_size": 5}),
        (pd.DataFrame(x), {"batch_size": N}),
        ({**x, "f": x["f"][:, None], "extra": x["u"]}, {}),
        (slices.batch(5), {}),
        (slices.map(lambda columns, y: columns).batch(N), {}),
        (slices.repeat().batch(N), {"steps": 1}),
    )
    for data, options in fed:
        got = model.predict(data, verbose=0, **options)
        assert list(got) == [A.name, B.name]
        for name, value in got.items():
            assert isinstance(value, np.ndarray)
            close(value, expected[name], terms=100)


@pytest.mark.parametrize("eager", [False, True])
def test_threads_ask_one_model(x, eager):
    model = _model(A, B)
    model.compile(run_eagerly=eager)
    rows = [
        {name: column[: 1 + i % N] for name, column in x.items()} for i in range(40)
    ]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda some: model.predict(some, verbose=0), rows)]
    for some, mine in zip(rows, found, strict=True):
        for name, value in model.predict(some, verbose=0).items():
            np.testing.assert_array_equal(mine[name], value)


def test_threads_evaluate_and_save_one_model(x, y, tmp_path):
    model = _model(A, B)
    model.compile("adam", "binary_crossentropy", metrics=[metrics.AUC(100)])
    sizes = [4 + i % N for i in range(24)]
    given = [({k: v[:n] for k, v in part.items()} for part in (x, y)) for n in sizes]
    given = [tuple(each) for each in given]
    wanted = [model.evaluate(*each, verbose=0) for each in given]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda each: model.evaluate(*each, verbose=0), given)
        np.testing.assert_array_equal([*found], wanted)
        path = tmp_path / "model.keras"
        assert [*pool.map(lambda _: model.save(path), range(16))] == [None] * 16
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]
    np.testing.assert_array_equal(
        load_model(path).predict(x, verbose=0)[A.name],
        model.predict(x, verbose=0)[A.name],
    )


def test_callbacks_follow_and_stop_predictions(x):
    model = _model(A, B)
    seen = Recorder()
    got = model.predict(x, batch_size=5, verbose=0, callbacks=[seen])
    assert (seen.rows, seen.steps) == ([5, 5, 5], 7)
    assert len(got[A.name]) == 15
    got = model.predict(x, batch_size=5, steps=2, verbose=0, callbacks=[seen])
    assert (seen.rows, seen.steps) == ([5, 5], 2)


def test_a_list_of_dicts_is_predicted(x):
    model = _model(A)
    rows = [{"u": int(u), "f": f} for u, f in zip(x["u"], x["f"], strict=True)]
    wanted = model.predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict(rows, verbose=0), wanted)


def test_no_rows_to_predict(x):
    with pytest.raises(ValueError, match="predict: there must be rows"):
        _model(A).predict({name: column[:0] for name, column in x.items()}, verbose=0)
