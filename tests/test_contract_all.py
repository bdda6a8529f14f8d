"""The slow half of the contract: exports, compilers, precision, other backends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import zoo
from tests.close import close

pytestmark = pytest.mark.all
ROWS = 7


@pytest.fixture(scope="module", params=zoo.ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def model(entry):
    keras.utils.set_random_seed(1)
    model = entry.compiled()
    zoo.jitter(model)
    return model


@pytest.fixture(scope="module")
def feed(model):
    rows = zoo.rows(ROWS, seed=3)
    return {name: rows[name].astype(t.dtype) for name, t in model.input.items()}


def _predicted(model, batch):
    """What an export must give: every output under its name."""
    y = model.predict(batch, verbose=0)
    return y if isinstance(y, dict) else {model.output_names[0]: y}


def test_saved_model(model, feed, tmp_path):
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    for n in (ROWS, 1):
        batch = zoo.take(feed, slice(n))
        outputs = loaded.serve({k: tf.constant(v) for k, v in batch.items()})
        close(outputs, _predicted(model, batch), terms=100, scale=8)


def test_onnx(model, feed, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert {i.name for i in session.get_inputs()} == set(model.input)
    for n in (ROWS, 1):
        batch = zoo.take(feed, slice(n))
        outputs = session.run(None, batch)
        names = [output.name for output in session.get_outputs()]
        named = dict(zip(names, outputs, strict=True))
        close(named, _predicted(model, batch), terms=1_000, scale=3)


def test_litert(model, feed, tmp_path):
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", verbose=False)
    run = tf.lite.Interpreter(str(path)).get_signature_runner()
    for i in range(3):
        row = zoo.take(feed, slice(i, i + 1))
        outputs = run(**row)
        close(outputs, _predicted(model, row), terms=1_000, scale=3)


def test_compiled_training_equals_plain_training(entry):
    x, y = zoo.rows(64), entry.labels(64)
    losses = []
    for jit in (False, True):
        keras.utils.set_random_seed(1)
        model = entry.build(**entry.without_chance)
        zoo.jitter(model, scale=0.1)
        model.compile({"embedding": "adagrad", "default": "adam"}, entry.loss())
        model.jit_compile = jit
        assert model.jit_compile == jit
        fit = model.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0)
        losses.append(fit.history["loss"])
    # Adam turns the rounding of a gradient near 0 into a step of another sign.
    close(*losses, terms=10_000)


def test_mixed_precision_is_near_and_its_head_float32(entry):
    x, y = zoo.rows(64), entry.labels(64)
    found = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            keras.utils.set_random_seed(1)
            model = entry.compiled()
        finally:
            keras.config.set_dtype_policy("float32")
        zoo.jitter(model, scale=0.1)
        found.append(zoo.predictions(model, x))
        assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
        assert found[-1].dtype == np.float32
        loss = model.fit(x, y, batch_size=32, verbose=0).history["loss"]
        assert np.isfinite(loss).all()
    assert (np.abs(found[0] - found[1]) <= 0.05 + 0.1 * np.abs(found[1])).all()


def test_training_goes_on_in_a_graph_from_a_file(entry, tmp_path):
    from tests.test_contract import test_training_goes_on_in_a_graph_from_a_file as test

    if entry.name not in zoo.MECHANISMS:
        test(entry.name, tmp_path)


@pytest.fixture(scope="module")
def saved_models(tmp_path_factory):
    """All models, their predictions, and their weights after `entry.steps`."""
    folder = tmp_path_factory.mktemp("saved")
    for entry in zoo.ENTRIES:
        keras.utils.set_random_seed(1)
        model = entry.build(**entry.without_chance)
        zoo.jitter(model, scale=0.1)
        model.compile("adagrad", entry.loss())
        model.save(folder / f"{entry.name}.keras")
        np.savez(folder / f"{entry.name}.npz", zoo.predictions(model, zoo.rows(32)))
        model.fit(
            zoo.rows(32 * entry.steps),
            entry.labels(32 * entry.steps),
            batch_size=32,
            shuffle=False,
            verbose=0,
        )
        np.savez(folder / f"{entry.name}_trained.npz", *model.get_weights())
    return folder


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_predict_and_train_alike(backend, saved_models):
    """Predictions to 1e-5, and the weights after `entry.steps` of Adagrad to 1e-4."""
    pytest.importorskip(backend)
    run = subprocess.run(
        [sys.executable, "-m", "tests.other_backend", str(saved_models)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    report = json.loads(run.stdout.splitlines()[-1])
    assert set(report) == {entry.name for entry in zoo.ENTRIES}
    for name, found in report.items():
        assert found["backend"] == backend
        assert found["predictions"] < 1e-5, (name, found)
        assert found["weights"] < 1e-4, (name, found)
        # Half a pair of AUC is 8e-5: rounding orders rows of nearly equal scores.
        assert found["metrics"] < 2e-4, (name, found)
