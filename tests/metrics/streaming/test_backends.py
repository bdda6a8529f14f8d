"""The same metrics on other backends, and on several replicas."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest


@pytest.mark.all
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="run from there")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on(backend):
    folder = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *map(str, folder.glob("test_[rs]*.py"))],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=folder.parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


REPLICAS = """
import keras
import numpy as np
import tensorflow as tf

from recsys import metrics as m
from recsys.metrics import AUC, GAUC, LogLoss, auc, gauc, log_loss

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)


class ModelWithGroups(keras.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.gauc.update_state(y, y_pred, sample_weight, groups=x["user"])
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def metrics(self):
        return [*super().metrics, self.gauc]


rng = np.random.default_rng(0)
x = rng.normal(size=(301, 4)).astype("float32")  # the last batch has one row
user = rng.integers(0, 20, 301) + 2**40
y = (x.sum(axis=1) + rng.normal(size=301) > 1).astype("float32")
weight = rng.choice([0, 0.5, 1], 301).astype("float32")
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    inputs = {
        "x": keras.Input((4,), name="x"),
        "user": keras.Input((), dtype="int64", name="user"),
    }
    outputs = keras.layers.Dense(1, activation="sigmoid")(inputs["x"])
    model = ModelWithGroups(inputs, outputs)
    model.gauc = GAUC("user", capacity=301)
    metrics = [
        AUC(301),
        LogLoss(from_logits=False),
        m.BrierScore(),
        m.PCOC(),
        m.F1Score(0.5),
        m.ECE(capacity=301),
        m.BinnedAUC(),
    ]
    model.compile("sgd", "binary_crossentropy", weighted_metrics=metrics)
inputs = {"x": x, "user": user}
model.fit(inputs, y, sample_weight=weight, batch_size=50, epochs=2, verbose=0)
values = model.evaluate(
    inputs, y, sample_weight=weight, batch_size=50, verbose=0, return_dict=True
)
p = model.predict(inputs, batch_size=50, verbose=0)
assert len(model.gauc.rows()["groups"]) == (weight > 0).sum()
for name, wanted, error in (
    ("auc", auc(y, p, sample_weight=weight), 1e-9),
    ("gauc", gauc(y, p, groups=user, sample_weight=weight), 1e-9),
    ("log_loss", log_loss(y, p, sample_weight=weight), 1e-6),
    ("brier_score", m.brier_score(y, p, sample_weight=weight), 1e-6),
    ("pcoc", m.pcoc(y, p, sample_weight=weight), 1e-6),
    ("f1_score", m.f1_score(y, p, threshold=0.5, sample_weight=weight), 1e-6),
    ("ece", m.ece(y, p, sample_weight=weight), 1e-6),
    ("binned_auc", m.binned_auc(y, p, sample_weight=weight).auc, 1e-6),
):
    assert abs(values[name] - wanted) <= error * wanted, (name, values[name], wanted)
model.gauc.update_state([0, 1], [0.1, 0.2], groups=[1, 2])  # outside of replicas
assert len(model.gauc.rows()["groups"]) == (weight > 0).sum() + 2
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
def test_replicas_hold_the_rows_of_all():
    run = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
