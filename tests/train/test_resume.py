"""Training that was stopped ends where training that was not ends, to the bit."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, load_model
from recsys.data import FeaturePipeline
from recsys.multitask.mmoe import mmoe
from recsys.rank.deepfm import deepfm
from recsys.train.callbacks import Resume

ROWS, BATCH, EPOCHS = 90, 16, 3
STEPS = -(-ROWS // BATCH)


class Stopped(Exception):
    """What kills a run."""


class Stop(keras.callbacks.Callback):
    """Stops a run behind a step of an epoch, or behind the epoch."""

    def __init__(self, epoch: int, step: int | None = None) -> None:
        super().__init__()
        self._epoch, self._step = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self._now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._now, batch) == (self._epoch, self._step):
            raise Stopped

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == (self._epoch, self._step):
            raise Stopped


def _rows(n: int = ROWS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 9, n), rng.integers(0, 20, n)
    click = (rng.random(n) < 0.3 + 0.4 * ((user + item) % 2)).astype(int)
    return {"user": user, "item": item, "click": click, "like": click * (user % 2)}


def _pipeline(labels=("click", "like")) -> FeaturePipeline:
    columns = [{"kind": "categorical", "name": n} for n in ("user", "item")]
    return FeaturePipeline(columns, labels).fit(_rows())


def _model(pipeline: FeaturePipeline) -> keras.Model:
    keras.utils.set_random_seed(1)
    names = [label.name for label in pipeline.schema.labels]
    if len(names) == 1:
        options = {"task": Task(names[0]), "hidden_units": (6,), "dropout": 0.2}
        model = deepfm(pipeline.fields(4), **options)
    else:
        tasks = [Task(name) for name in names]
        model = mmoe(pipeline.fields(4), tasks, num_experts=2)
    model.compile(
        {"embedding": "adagrad", "default": "adam"},
        "binary_crossentropy",
        metrics=[keras.metrics.AUC(num_thresholds=20, name="auc")],
    )
    return model


KINDS = ["arrays", "memory", "streamed", "derived"]


def _data(kind: str, pipeline: FeaturePipeline, seed: int | None = None):
    """`x`, `y` and options of `fit`, shuffled."""
    if kind == "arrays":
        table = pipeline.transform(_rows())
        columns = {n: table[n].to_numpy() for n in table.column_names}
        labels = {label.name: columns[label.name] for label in pipeline.schema.labels}
        return columns, labels, {"batch_size": BATCH}
    batches = pipeline.dataset(
        _rows(), BATCH, shuffle=True, seed=seed, streaming=kind == "streamed"
    )
    return (batches.prefetch(1) if kind == "derived" else batches), None, {}


def _run(kind, pipeline, *callbacks, seed=None, epochs=EPOCHS, **options):
    """Trains a new model on new data, as a new process does."""
    model = _model(pipeline)
    x, y, more = _data(kind, pipeline, seed)
    stop = keras.callbacks.EarlyStopping("loss", patience=9)
    history = model.fit(
        x,
        y,
        epochs=epochs,
        verbose=0,
        callbacks=[stop, *callbacks],
        validation_data=pipeline.dataset(_rows(), 50),
        **more,
        **options,
    )
    return model, history, stop


def _same(one, other):
    for mine, yours in zip(one[0].variables, other[0].variables, strict=True):
        np.testing.assert_array_equal(mine, yours, err_msg=mine.path)
    slots = one[0].optimizer.variables, other[0].optimizer.variables
    for mine, yours in zip(*slots, strict=True):
        np.testing.assert_array_equal(mine, yours, err_msg=mine.path)
    assert one[1].history == other[1].history
    assert one[1].epoch == other[1].epoch
    assert (one[2].wait, one[2].best) == (other[2].wait, other[2].best)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stops", [[(0, 1), (1, 4)], [(0, None), (1, STEPS - 1)]])
def test_a_stopped_run_ends_as_one_that_was_not(kind, stops, tmp_path):
    pipeline = _pipeline()
    whole = _run(kind, pipeline)
    for stop in stops:
        with pytest.raises(Stopped):
            _run(kind, pipeline, Stop(*stop), Resume(tmp_path, save_freq=2))
    resumed = _run(kind, pipeline, Resume(tmp_path, save_freq=2))
    _same(resumed, whole)
    assert len(os.listdir(tmp_path)) == 2


def test_a_run_that_has_ended_gives_its_results_and_goes_on_with_more_epochs(tmp_path):
    pipeline = _pipeline(["click"])
    whole = _run("memory", pipeline, seed=3)
    _run("memory", pipeline, Resume(tmp_path), seed=3, epochs=2)
    with pytest.warns(UserWarning, match="had ended after 2 epochs"):
        again = _run("memory", pipeline, Resume(tmp_path), seed=3, epochs=2)
    assert again[1].epoch == [0, 1]
    _same(_run("memory", pipeline, Resume(tmp_path), seed=3), whole)


def test_tasks_of_any_name_go_on(tmp_path):
    rows = {
        "user": _rows()["user"],
        "will buy": _rows()["click"],
        "好": _rows()["like"],
    }
    columns = [{"kind": "categorical", "name": "user"}]
    pipeline = FeaturePipeline(columns, ["will buy", "好"]).fit(rows)

    def run(*callbacks):
        model = _model(pipeline)
        data = pipeline.dataset(rows, BATCH, shuffle=True)
        fit = model.fit(data, epochs=2, verbose=0, callbacks=[*callbacks])
        return fit.history

    whole = run()
    with pytest.raises(Stopped):
        run(Stop(1, 3), Resume(tmp_path, save_freq=2))
    assert run(Resume(tmp_path, save_freq=2)) == whole
    assert "will buy_loss" in whole


def test_what_stopped_early_has_ended(tmp_path):
    pipeline = _pipeline(["click"])

    def run():
        early = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=9.0)
        return _run("arrays", pipeline, early, Resume(tmp_path))

    first = run()
    assert first[1].epoch == [0, 1]
    with pytest.warns(UserWarning, match="had ended after 2 epochs"):
        again = run()
    _same(again, first)


@pytest.mark.parametrize("kind", ["arrays", "memory", "streamed"])
def test_epoch_by_epoch_over_files_is_epoch_by_epoch(kind, tmp_path):
    """One epoch, save, load, go on: shuffled, with the seed that the file has."""
    pipeline = _pipeline(["click"])
    x, y, options = _data(kind, pipeline)
    whole = _model(pipeline)
    for _ in range(3):
        whole.fit(x, y, verbose=0, **options)
    x, y, options = _data(kind, pipeline)
    model = _model(pipeline)
    for turn in range(3):
        model.fit(x, y, verbose=0, **options)
        path = tmp_path / f"{turn}.keras"
        model.save(path)
        keras.utils.set_random_seed(turn + 100)
        model = load_model(path)
        x, y, options = _data(kind, pipeline)
    for mine, yours in zip(model.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(mine, yours, err_msg=mine.path)


def test_backup_and_restore_resumes_at_the_ends_of_epochs(tmp_path):
    pipeline = _pipeline(["click"])
    folder = tmp_path / "backup"
    whole = _run("arrays", pipeline)
    with pytest.raises(Stopped):
        backup = keras.callbacks.BackupAndRestore(folder)
        _run("arrays", pipeline, Stop(1, 3), backup)
    assert os.listdir(folder) == ["epoch-00001-step-000000000.npz"]
    _same(_run("arrays", pipeline, keras.callbacks.BackupAndRestore(folder)), whole)
    assert not folder.exists()
    with pytest.raises(ValueError, match="BackupAndRestore: save_freq must be 'epoch'"):
        backup = keras.callbacks.BackupAndRestore(folder, save_freq=2)
        _run("arrays", pipeline, backup)


def test_a_torn_state_is_passed_over(tmp_path):
    pipeline = _pipeline(["click"])
    whole = _run("arrays", pipeline)
    with pytest.raises(Stopped):
        _run("arrays", pipeline, Stop(1, 4), Resume(tmp_path, save_freq=2))
    newest = tmp_path / "epoch-00001-step-000000004.npz"
    newest.write_bytes(newest.read_bytes()[:-200])
    with pytest.warns(UserWarning, match="step-000000004.npz is passed over"):
        resumed = _run("arrays", pipeline, Resume(tmp_path, save_freq=2))
    _same(resumed, whole)
    for file in tmp_path.iterdir():
        file.write_bytes(b"text")
    with (
        pytest.warns(UserWarning, match="is passed over"),
        pytest.raises(ValueError, match="must have a file that is whole"),
    ):
        _run("arrays", pipeline, Resume(tmp_path))


def test_what_cannot_resume_is_refused(tmp_path):
    pipeline = _pipeline(["click"])
    _run("memory", pipeline, Resume(tmp_path), seed=3, epochs=1)
    with pytest.raises(ValueError, match="with orders of the seeds.*3.*Received.*4"):
        _run("memory", pipeline, Resume(tmp_path), seed=4)
    with pytest.raises(ValueError, match="with steps an epoch: 6. Received: 2"):
        _model(pipeline).fit(
            pipeline.dataset(_rows(), 50, seed=3), callbacks=[Resume(tmp_path)]
        )
    with pytest.raises(ValueError, match="with the variable .*Received"):
        other = _pipeline()
        _run("memory", other, Resume(tmp_path), seed=3)
    with pytest.raises(ValueError, match="fit needs no steps_per_epoch"):
        _run("memory", pipeline, Resume(tmp_path), seed=3, steps_per_epoch=2)
    with pytest.raises(ValueError, match="fit needs one callback that resumes"):
        _run("memory", pipeline, Resume(tmp_path), Resume(tmp_path), seed=3)
    with pytest.raises(ValueError, match="save_freq must be 'epoch' or an integer"):
        Resume(tmp_path, save_freq=0)
    plain = keras.Sequential([keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="fit needs a recsys model"):
        plain.fit(np.ones((2, 1)), np.ones(2), callbacks=[Resume(tmp_path)])


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_starts_where_it_is_told(streaming):
    pipeline = _pipeline(["click"])
    options = {"shuffle": True, "seed": 7, "streaming": streaming}

    def passes(**more):
        batches = pipeline.dataset(_rows(), BATCH, **options, **more)
        return [
            [x["item"].tolist() for x, _ in batches.as_numpy_iterator()]
            for _ in range(2)
        ]

    whole = pipeline.dataset(_rows(), BATCH, **options)
    epochs = [
        [x["item"].tolist() for x, _ in whole.as_numpy_iterator()] for _ in range(4)
    ]
    assert passes(start=(1, 0)) == epochs[1:3]
    assert passes(start=(1, 4)) == [epochs[1][4:], epochs[2]]
    for start in ((1, -1), (1,), 1, (1, 2.5), (True, 1)):
        with pytest.raises(ValueError, match=r"start must be \(epoch, step\)"):
            passes(start=start)


def test_fit_starts_where_the_dataset_does():
    pipeline = _pipeline(["click"])
    model = _model(pipeline)
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.now = epoch

        def on_train_batch_begin(self, batch, logs=None):
            seen.append((self.now, batch))

    def weights(start, **options):
        model.set_weights(first)
        data = pipeline.dataset(_rows(), BATCH, shuffle=True, seed=7, start=start)
        model.fit(data, verbose=0, callbacks=[Seen()], **options)
        return model.get_weights()

    model.compile("sgd", "binary_crossentropy")
    first = model.get_weights()
    model.fit(
        pipeline.dataset(_rows(), BATCH, shuffle=True, seed=7),
        epochs=1,
        verbose=0,
    )
    weights((1, 4), epochs=3)
    assert seen == [(1, 4), (1, 5), *((2, step) for step in range(STEPS))]


def test_saves_while_another_thread_trains_are_of_the_end_of_a_step(tmp_path):
    """Weights of a file after n steps are those of a run of n steps."""
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)
    model, counted = _model(pipeline), {}

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            counted[int(model.optimizer.iterations)] = model.get_weights()

    training = threading.Thread(
        target=model.fit,
        args=(x, y),
        kwargs={"epochs": 20, "verbose": 0, "callbacks": [Weights()], **options},
    )
    training.start()
    files = []
    while training.is_alive():
        files.append(tmp_path / f"{len(files)}.keras")
        model.save(files[-1])
    steps = set()
    for file in files:
        loaded = load_model(file)
        step = int(loaded.optimizer.iterations)
        for mine, yours in zip(
            loaded.get_weights(), counted.get(step, []), strict=False
        ):
            np.testing.assert_array_equal(mine, yours)
        steps.add(step)
    assert len(steps - {0}) > 1


def test_a_file_is_not_written_over_where_it_must_not(tmp_path):
    model = _model(_pipeline(["click"]))
    for save, name in ((model.save, "m.keras"), (model.save_weights, "m.weights.h5")):
        save(tmp_path / name, overwrite=False)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(FileExistsError, match=f"{name} must not exist"):
            save(tmp_path / name, overwrite=False)
        assert (tmp_path / name).read_bytes() == before
        save(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["m.keras", "m.weights.h5"]


FULL = """
import resource, signal, sys
from tests.train.test_resume import _model, _pipeline
model = _model(_pipeline(["click"]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    model.save(sys.argv[1])
except OSError as error:
    print("refused", type(error).__name__)
"""


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.keras"
    _model(_pipeline(["click"])).save(path)
    before = path.read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert "refused OSError" in run.stdout, run.stderr[-2000:]
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.keras"]


def test_tf_checkpoints_have_the_order(tmp_path: Path):
    pipeline = _pipeline(["click"])
    model, _, _ = _run("arrays", pipeline)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    other = _model(pipeline)
    status = tf.train.Checkpoint(model=other).restore(path)
    status.assert_existing_objects_matched()
    x, y, options = _data("arrays", pipeline)
    losses = [
        each.fit(x, y, verbose=0, **options).history["loss"] for each in (model, other)
    ]
    assert losses[0] == losses[1]
