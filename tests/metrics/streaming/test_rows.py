"""Rows in buffers, on the backend that is set; `test_backends.py` sets the others."""

import keras
import numpy as np
import pytest

from recsys.metrics import auc, gauc, group_auc
from recsys.metrics.streaming.auc import AUC
from recsys.metrics.streaming.gauc import GAUC
from tests.close import close

BACKEND = keras.backend.backend()


def make_rows(num_rows=1003, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random(num_rows) < 0.3).astype("float32")
    label[rng.random(num_rows) < 0.1] = np.nan
    score = rng.normal(size=num_rows).astype("float32").round(1)
    weight = rng.choice([0, 0.5, 1, 2], num_rows).astype("float32")
    group = rng.integers(0, 60, num_rows) + 2**24  # float32 would merge pairs of these
    return label, score, weight, group


def batches(*columns, size=100):
    for start in range(0, len(columns[0]), size):
        yield [column[start : start + size] for column in columns]


@pytest.mark.parametrize("weight_by", ["impressions", "clicks", "uniform"])
def test_equals_the_function(weight_by):
    label, score, weight, group = make_rows()
    plain, weighted = AUC(2000), AUC(2000)
    grouped = GAUC("user", weight_by, 2000)
    for y, s, w, g in batches(label, score, weight, group):
        plain.update_state(y, s[:, None])
        weighted.update_state(y[:, None], s[:, None], w)
        grouped.update_state(y, s, w[:, None], groups=g[:, None])
    assert plain.result() == auc(label, score)
    assert weighted.result() == auc(label, score, sample_weight=weight)
    assert grouped.result() == gauc(
        label, score, groups=group, sample_weight=weight, weight_by=weight_by
    )


@pytest.mark.parametrize("dtype", ["bool", "int32", "float64"])
def test_takes_labels_of_any_dtype(dtype):
    metric = AUC(10)
    metric.update_state(np.array([0, 1, 1], dtype), np.float32([0.5, 0.4, 0.6]))
    assert metric.result() == 0.5


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no 64-bit integers")
def test_groups_keep_64_bits():
    metric = GAUC("user", capacity=10)
    metric.update_state([0, 1, 0], [0.0, 1.0, 2.0], groups=np.array([5, 5, 5 + 2**32]))
    assert metric.result() == 1.0


def test_rows_are_there_for_other_functions():
    metric = GAUC("user", capacity=10)
    metric.update_state([0, 1, 1], [0.0, 1.0, 2.0], groups=np.array([5, 5, 6]))
    close(group_auc(**metric.rows()).coverage(), (1 / 2, 2 / 3))


def test_a_full_buffer_is_fine_and_one_row_more_an_error():
    metric = AUC(capacity=4, name="valid_auc")
    metric.update_state([0, 1, np.nan], [0.1, 0.2, 0.9])
    metric.update_state([0, 1, 1], [0.3, 0.9, 0.4], sample_weight=[1, 0, 1])
    assert metric.result() == 0.75
    metric.update_state([1], [0.9], sample_weight=[0])
    assert metric.result() == 0.75
    metric.update_state([1], [0.9])
    with pytest.raises(ValueError, match="'valid_auc' holds capacity=4 .* has seen 5"):
        metric.result()
    metric.update_state([1, 0], [0.9, 0.9])
    with pytest.raises(ValueError, match="has seen 7. Pass a larger `capacity`"):
        metric.result()


def test_reset_forgets():
    metric = GAUC("user", capacity=3)
    metric.update_state([0, 1, 1, 0], [0.1, 0.2, 0.9, 0.4], groups=np.ones(4, "int32"))
    metric.reset_state()
    assert np.isnan(metric.result())
    metric.update_state([0, 1], [0.2, 0.1], groups=np.ones(2, "int32"))
    assert metric.result() == 0.0


def test_nan_scores_are_an_error():
    metric = AUC(10)
    metric.update_state([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="must not be NaN"):
        metric.result()


def test_groups_are_needed_and_are_integers():
    metric = GAUC("user", capacity=10)
    with pytest.raises(ValueError, match=r"update_state\(..., groups=x\['user'\]\)"):
        metric.update_state([0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="'user' must hold integers.*float32"):
        metric.update_state([0, 1], [0.1, 0.2], groups=np.float32([1, 1]))


def test_refuses_several_values_per_row():
    with pytest.raises(
        ValueError, match=r"one value per row.*Received: shape \(2, 2\)"
    ):
        AUC(10).update_state(np.eye(2), np.eye(2))


@pytest.mark.parametrize("capacity", [0, 2**30 + 1])
def test_refuses_capacities(capacity):
    with pytest.raises(ValueError, match="AUC 'auc': capacity must be an integer of"):
        AUC(capacity)


def test_refuses_unknown_weights():
    with pytest.raises(ValueError, match="weight_by must be one of.*'rows'"):
        GAUC("user", "rows")


@pytest.mark.parametrize(
    "metric",
    [AUC(7, name="valid"), GAUC("user", "clicks", capacity=7, name="valid")],
    ids=["AUC", "GAUC"],
)
def test_config_round_trip(metric):
    config = keras.saving.serialize_keras_object(metric)
    assert config["registered_name"] == f"recsys>{type(metric).__name__}"
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    assert copy.group == metric.group
    assert copy.exact and copy.from_logits


class ModelWithGroups(keras.Model):
    """Passes `x["user"]` to the metric, as `recsys.train.Model` does."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.gauc.update_state(y, y_pred, sample_weight, groups=x["user"])
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def metrics(self):
        return [*super().metrics, self.gauc]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_fit_and_evaluate(jit_compile):
    if jit_compile and BACKEND == "torch":
        pytest.skip("torch.compile needs a C++ compiler")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(503, 4)).astype("float32")
    user = rng.integers(0, 20, 503).astype("int32")
    y = (x.sum(axis=1) + rng.normal(size=503) > 1).astype("float32")
    weight = rng.choice([0, 0.5, 1], 503).astype("float32")
    keras.utils.set_random_seed(0)
    inputs = {
        "x": keras.Input((4,), name="x"),
        "user": keras.Input((), dtype="int32", name="user"),
    }
    outputs = keras.layers.Dense(1, activation="sigmoid")(inputs["x"])
    model = ModelWithGroups(inputs, outputs)
    model.gauc = GAUC("user", capacity=1000)
    model.compile(
        "sgd",
        "binary_crossentropy",
        metrics=[AUC(1000)],
        weighted_metrics=[AUC(1000, name="weighted_auc")],
        jit_compile=jit_compile,
    )
    inputs = {"x": x, "user": user}
    history = model.fit(
        inputs,
        y,
        sample_weight=weight,
        batch_size=100,
        epochs=2,
        validation_data=(inputs, y, weight),
        verbose=0,
    ).history
    p = model.predict(inputs, verbose=0)
    wanted = {
        "auc": auc(y, p),
        "weighted_auc": auc(y, p, sample_weight=weight),
        "gauc": gauc(y, p, groups=user, sample_weight=weight),
    }
    values = model.evaluate(
        inputs, y, sample_weight=weight, batch_size=64, verbose=0, return_dict=True
    )
    for name, value in wanted.items():
        close(values[name], value, terms=10_000_000, dtype="float64")
        close(history[f"val_{name}"][-1], value, terms=10_000_000, dtype="float64")
        assert all(0 < value < 1 for value in history[name])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
def test_has_no_value_inside_a_graph():
    import tensorflow as tf

    metric = AUC(10)
    step = tf.function(lambda y, p: (metric.update_state(y, p), metric.result())[1])
    assert np.isnan(step(tf.constant([0.0, 1.0]), tf.constant([0.1, 0.2])))
    assert metric.result() == 1.0
