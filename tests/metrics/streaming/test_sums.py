"""Sums over batches, on the backend that is set; see `test_backends.py`."""

import keras
import numpy as np
import pytest

from recsys.metrics import log_loss
from recsys.metrics.streaming.log_loss import LogLoss
from tests.close import close


@pytest.mark.parametrize("from_logits", [True, False])
def test_log_loss_equals_the_function(from_logits):
    rng = np.random.default_rng(0)
    label = rng.choice([0, 0.2, 1, np.nan], 1003).astype("float32")
    weight = rng.choice([0, 0.5, 2], 1003).astype("float32")
    score = rng.normal(0, 10, 1003).astype("float32")
    scores = {"logits": score}
    if not from_logits:
        score = rng.random(1003).astype("float32")
        score[:50] = np.repeat([0, 1], 25)
        scores = {"y_prob": score}
    plain, weighted = LogLoss(from_logits), LogLoss(from_logits)
    for start in range(0, 1003, 100):
        batch = slice(start, start + 100)
        plain.update_state(label[batch], score[batch, None])
        weighted.update_state(label[batch, None], score[batch], weight[batch])
    close(float(plain.result()), log_loss(label, **scores))
    close(float(weighted.result()), log_loss(label, **scores, sample_weight=weight))


def test_many_batches_do_not_drift():
    # Alone, a float32 sum would not move after the first batch.
    metric = LogLoss(from_logits=True)
    metric.update_state([0.0], [0.0], sample_weight=[2.0**25])
    for _ in range(300):
        metric.update_state([0.0], [8.0], sample_weight=[0.9])
    heavy, light = 2.0**25, 300 * float(np.float32(0.9))
    wanted = (heavy * np.log(2) + light * np.log1p(np.exp(8))) / (heavy + light)
    close(metric.result(), wanted, terms=1)
    loss, weight = keras.ops.convert_to_numpy(metric.sums())
    close(weight, heavy + light, terms=1)


def test_certain_logits_lose_nothing():
    metric = LogLoss(from_logits=True)
    metric.update_state([1, 0], [1e4, -1e4])
    assert float(metric.result()) == 0
    metric.update_state([1, 1], [-1e4, 20.0])
    assert float(metric.result()) == 2500


def test_is_undefined_without_rows():
    metric = LogLoss()
    assert np.isnan(float(metric.result()))
    metric.update_state([np.nan, 1], [0.5, np.nan], sample_weight=[1, 0])
    assert np.isnan(float(metric.result()))


def test_rows_of_weight_zero_do_not_count():
    metric = LogLoss(from_logits=True)
    metric.update_state([1, 0, np.nan], [np.nan, 0.0, np.inf], sample_weight=[0, 1, 1])
    close(float(metric.result()), np.log(2))


def test_what_is_no_probability_is_no_number():
    metric = LogLoss(from_logits=False)
    metric.update_state([0, 1], [0.5, 1.5])
    assert np.isnan(float(metric.result()))


def test_reset_forgets():
    metric = LogLoss(from_logits=True)
    metric.update_state([0], [5.0])
    metric.reset_state()
    metric.update_state([0], [0.0])
    close(float(metric.result()), np.log(2))


def test_config_round_trip():
    metric = LogLoss(from_logits=True, name="nll")
    config = keras.saving.serialize_keras_object(metric)
    assert config["registered_name"] == "recsys>LogLoss"
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == metric.get_config()
    assert copy.from_logits is True


def test_in_a_plain_model():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(503, 4)).astype("float32")
    y = (x.sum(axis=1) > 1).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=[LogLoss()])
    model.fit(x, y, batch_size=100, verbose=0)
    values = model.evaluate(x, y, batch_size=100, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    close(values["log_loss"], log_loss(y, p), terms=100)
