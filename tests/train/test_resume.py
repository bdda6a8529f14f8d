"""Training that was stopped ends where training that was not ends, to the bit."""

import collections
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, load_model, metrics
from recsys.data import FeaturePipeline
from recsys.layers import Layer, predict
from recsys.multitask.mmoe import mmoe
from recsys.rank.deepfm import deepfm
from recsys.train.balance import DWA
from recsys.train.callbacks import Resume
from recsys.train.model import Model

ENDS = "ignore:Your input ran out of data"  # which Keras says where it has no length
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


def _model(
    pipeline: FeaturePipeline, seed: int = 1, dropout: float = 0.2
) -> keras.Model:
    keras.utils.set_random_seed(seed)
    names = [label.name for label in pipeline.schema.labels]
    if len(names) == 1:
        options = {"task": Task(names[0]), "hidden_units": (6,), "dropout": dropout}
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


def _run(kind, pipeline, *callbacks, seed=None, epochs=EPOCHS, begun=1, **options):
    """Trains a new model on new data, as a new process does, which draws by `begun`."""
    model = _model(pipeline, begun)
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


STOPS = [(0, 1), (0, 3), (1, 4)], [(0, None), (1, 5)]
SLOW = [pytest.param(STOPS[1], kind, marks=pytest.mark.all) for kind in KINDS[1:]]


@pytest.mark.parametrize(
    ("stops", "kind"), [*((STOPS[0], k) for k in KINDS), (STOPS[1], KINDS[0]), *SLOW]
)
def test_a_stopped_run_ends_as_one_that_was_not(kind, stops, tmp_path):
    pipeline = _pipeline()
    whole = _run(kind, pipeline)
    for begun, stop in enumerate(stops, 1):
        with pytest.raises(Stopped):
            resume = Resume(tmp_path, save_freq=2)
            begun = begun if os.listdir(tmp_path) else 1  # it begins anew
            _run(kind, pipeline, Stop(*stop), resume, begun=begun)
    resumed = _run(kind, pipeline, Resume(tmp_path, save_freq=2), begun=9)
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


def test_fewer_epochs_than_a_stopped_run_has_begun_are_refused(tmp_path):
    pipeline = _pipeline(["click"])
    with pytest.raises(Stopped):
        _run("memory", pipeline, Stop(1, 2), Resume(tmp_path, 2), seed=3)
    with pytest.raises(
        ValueError, match="in epoch 2 after 2 steps. Received: epochs=1"
    ):
        _run("memory", pipeline, Resume(tmp_path), seed=3, epochs=1)
    whole = _run("memory", pipeline, seed=3, epochs=2)
    _same(_run("memory", pipeline, Resume(tmp_path), seed=3, epochs=2), whole)


class Enough(keras.callbacks.Callback):
    """Ends a training in the middle of an epoch, as `TerminateOnNaN` does."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training |= int(self.model.optimizer.iterations) == STEPS + 4


def test_a_run_killed_after_it_stopped_in_an_epoch_ends_there(tmp_path):
    pipeline = _pipeline(["click"])
    whole = _run("memory", pipeline, Enough(), seed=3)
    with pytest.raises(Stopped):  # before the epoch has ended
        _run("memory", pipeline, Enough(), Stop(1), Resume(tmp_path, 2), seed=3)
    newest = sorted(tmp_path.glob("*"))[-1]
    assert newest.name == "epoch-00001-step-000000004.npz"
    _same(_run("memory", pipeline, Enough(), Resume(tmp_path, 2), seed=3), whole)


@pytest.mark.parametrize("ends", ["stop", "error"])
def test_a_fit_after_one_that_ended_while_it_skipped_takes_all_steps(ends, tmp_path):
    pipeline = _pipeline(["click"])
    x, y, _ = _data("arrays", pipeline)
    rows = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)

    def fit(model, *callbacks, broken=-1, epochs=2):
        def whole(place, batch):
            there = tf.debugging.assert_none_equal(place, tf.cast(broken, tf.int64))
            with tf.control_dependencies([there]):
                return tf.nest.map_structure(tf.identity, batch)

        batches, given = rows.enumerate().map(whole), [*callbacks]
        model.fit(batches, epochs=epochs, verbose=0, callbacks=given)

    stops = [Enough(), Stop(1)] if ends == "stop" else [Stop(1, 4)]
    with pytest.raises(Stopped):
        fit(_model(pipeline), *stops, Resume(tmp_path, 2))
    model = _model(pipeline)
    if ends == "stop":
        fit(model, Enough(), Resume(tmp_path, 2))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            fit(model, Resume(tmp_path, 2), broken=2)
    assert int(model.optimizer.iterations) == STEPS + 4
    fit(model, epochs=1)
    assert int(model.optimizer.iterations) == STEPS + 4 + STEPS


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


def test_a_seeded_order_goes_on_with_the_epoch_that_is_next(tmp_path):
    pipeline = _pipeline(["click"])

    def data():
        return pipeline.dataset(_rows(), BATCH, shuffle=True, seed=3)

    whole, model = _model(pipeline), _model(pipeline)
    whole.fit(data(), epochs=2, verbose=0)
    model.fit(data(), verbose=0)
    model.save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    model.fit(data(), initial_epoch=1, epochs=2, verbose=0)
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


@pytest.mark.filterwarnings(ENDS)
def test_backup_and_restore_goes_on_with_what_a_generator_has_next(tmp_path):
    pipeline = _pipeline(["click"])
    batches = [*pipeline.dataset(_rows(), BATCH).as_numpy_iterator()]

    def run(*callbacks, first=0, **options):
        model = _model(pipeline)
        data = (batches[i % STEPS] for i in range(first, 3 * STEPS))
        model.fit(data, verbose=0, callbacks=[*callbacks], **options)
        return model.get_weights()

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    run(backup())
    options = {"epochs": 3, "steps_per_epoch": STEPS}
    whole = run(**options)
    with pytest.raises(Stopped):
        run(Stop(1, 3), backup(), **options)
    resumed = run(backup(), first=STEPS, **options)
    for mine, yours in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(mine, yours)


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


@pytest.mark.parametrize("text", ["5", "null", "[{}]", '"text"', "{}"])
def test_a_state_of_another_kind_is_passed_over(text, tmp_path):
    state = np.frombuffer(text.encode(), np.uint8)
    np.savez(tmp_path / "epoch-00001-step-000000000.npz", state=state)
    with (
        pytest.warns(UserWarning, match="is passed over: a state"),
        pytest.raises(ValueError, match="must have a file that is whole"),
    ):
        Resume(tmp_path).read()


def test_files_that_only_look_like_states_are_let_be(tmp_path):
    pipeline = _pipeline(["click"])
    whole = _run("arrays", pipeline)
    names = [f"epoch-{each}-step-1.npz" for each in ("best", "last", "9", "00009")]
    names.append("epoch-000009-step-000000001.npz")
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
    folder = tmp_path / "epoch-00009-step-000000001.npz"
    folder.mkdir()
    with pytest.raises(Stopped):
        _run("arrays", pipeline, Stop(1, 4), Resume(tmp_path, 2))
    torn = [f"epoch-0000{each}-step-000000000.npz" for each in (7, 8)]
    for name in torn:  # newer than what is written now
        (tmp_path / name).write_bytes(b"torn")
    with pytest.warns(UserWarning, match="is passed over") as told:
        _same(_run("arrays", pipeline, Resume(tmp_path, 2)), whole)
    assert sum("passed over" in str(each.message) for each in told) == len(torn)
    states = ["epoch-00002-step-000000006.npz", "epoch-00003-step-000000000.npz"]
    assert sorted(os.listdir(tmp_path)) == sorted([*names, folder.name, *torn, *states])


def test_a_folder_that_cannot_be_one_is_refused_before_the_first_step(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    model = _model(pipeline)
    for name in ("file", "file/folder", "link"):
        with pytest.raises(ValueError, match=f"Resume: {tmp_path / name} must be a fo"):
            model.fit(x, y, callbacks=[Resume(tmp_path / name)], **options)
    assert int(model.optimizer.iterations) == 0


class Best(keras.callbacks.Callback):
    """Keeps the best epoch in a tuple, and those that it has seen in a set."""

    def __init__(self) -> None:
        super().__init__()
        self.best, self.seen = (np.inf, -1), set()

    def on_epoch_end(self, epoch, logs=None):
        self.best = min(self.best, (logs["loss"], epoch))
        self.seen.add(epoch)


def test_callbacks_of_keras_and_of_ones_own_go_on(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)

    def run(name, *callbacks, begun=1, append=False):
        log = tmp_path / f"{name}.csv"
        kept = [
            keras.callbacks.EarlyStopping("loss", patience=2, min_delta=0.02),
            keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=0.02),
            keras.callbacks.CSVLogger(log, append=append),
            Best(),
        ]
        model = _model(pipeline, begun)
        model.compile("adam", "binary_crossentropy")
        try:
            fit = model.fit(
                x, y, epochs=9, verbose=0, callbacks=[*callbacks, *kept], **options
            )
        finally:
            kept[2].csv_file.close()  # as the end of a process does
        states = kept[0].wait, kept[1].cooldown_counter, kept[3].best, kept[3].seen
        return model.get_weights(), fit.history, states, log.read_text()

    whole = run("whole")
    assert 2 < len(whole[1]["loss"]) < 9  # it stops early
    for begun, stop in enumerate([(0, 3), (1, None), (2, 1)], 1):
        with pytest.raises(Stopped):
            run("log", Stop(*stop), Resume(tmp_path / "state", 2), begun=begun)
    resumed = run("log", Resume(tmp_path / "state", 2), begun=9)
    for mine, yours in zip(resumed[0], whole[0], strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert resumed[1:] == whole[1:]
    with pytest.warns(UserWarning, match="had ended"):
        again = run("log", Resume(tmp_path / "state", 2))
    assert again[1:] == whole[1:]
    # What others have logged in the file before stays.
    (tmp_path / "two.csv").write_text("# mine\n" + whole[3])
    for begun, stop in enumerate([(0, 1), (1, 3)]):
        with pytest.raises(Stopped):
            callbacks = Stop(*stop), Resume(tmp_path / "two", 2)
            run("two", *callbacks, begun=begun, append=True)
    both = run("two", Resume(tmp_path / "two", 2), begun=9, append=True)
    assert both[3] == "# mine\n" + whole[3] + whole[3].partition("\n")[2]


def test_another_learning_rate_is_told(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)

    def run(epochs, rate):
        model = _model(pipeline)
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        resume = [Resume(tmp_path)]
        model.fit(x, y, epochs=epochs, verbose=0, callbacks=resume, **options)
        return float(model.optimizer.learning_rate)

    run(1, 0.01)
    with pytest.warns(UserWarning, match="learning rates stay.*0.01.*0.02"):
        assert run(2, 0.02) == np.float32(0.01)


def test_a_state_has_no_empty_rows_of_metrics(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)

    def run(*callbacks):
        model = _model(pipeline)
        model.compile("adam", "binary_crossentropy", metrics=[metrics.AUC()])
        given = [*callbacks]
        fit = model.fit(x, y, epochs=2, verbose=0, callbacks=given, **options)
        return fit.history

    whole = run()
    with pytest.raises(Stopped):
        run(Stop(1, 4), Resume(tmp_path, 2))
    assert max(file.stat().st_size for file in tmp_path.iterdir()) < 100_000
    assert run(Resume(tmp_path, 2)) == whole


@pytest.mark.filterwarnings(ENDS)
def test_an_order_that_another_process_cannot_know_is_refused(tmp_path):
    pipeline = _pipeline(["click"])
    for change, found in (
        (lambda data: data.cache(), "CacheDataset"),
        (lambda data: data.unbatch().shuffle(9).batch(9), "ShuffleDataset"),
        (
            lambda data: tf.data.Dataset.sample_from_datasets([data, data], seed=1),
            "DirectedInterleaveDataset",
        ),
        (
            lambda data: tf.data.Dataset.range(2).interleave(lambda i: data),
            "InterleaveDataset",
        ),
    ):
        data = change(pipeline.dataset(_rows(), BATCH, shuffle=True))
        with pytest.raises(ValueError, match=f"whose order is known.*{found}"):
            _model(pipeline).fit(data, callbacks=[Resume(tmp_path)])
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        _model(pipeline).fit(data, verbose=0, callbacks=[backup])
    x, y, _ = _data("arrays", pipeline)

    class Halves(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, half):
            return {n: x[n][half::2] for n in ("user", "item")}, y["click"][half::2]

    with pytest.raises(ValueError, match="a PyDataset and shuffle=True"):
        _model(pipeline).fit(Halves(), callbacks=[Resume(tmp_path)])
    data = pipeline.dataset(_rows(), BATCH).cache()
    _model(pipeline).fit(data, verbose=0, callbacks=[Resume(tmp_path)])


@pytest.mark.all
def test_a_data_loader_that_draws_its_rows_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    pipeline = _pipeline(["click"])
    x, y, _ = _data("arrays", pipeline)
    names = [field.name for field in pipeline.fields(4)]
    rows = [({n: x[n][i] for n in names}, y["click"][i]) for i in range(ROWS)]
    resume = Resume(tmp_path)
    with pytest.raises(ValueError, match="Received: RandomSampler"):
        loader = torch.utils.data.DataLoader(rows, BATCH, shuffle=True)
        _model(pipeline).fit(loader, callbacks=[resume])
    loader = torch.utils.data.DataLoader(rows, BATCH)
    _model(pipeline).fit(loader, verbose=0, callbacks=[resume])


def test_two_fits_do_not_read_one_dataset_at_once():
    pipeline = _pipeline(["click"])
    data = pipeline.dataset(_rows(), BATCH, shuffle=True, seed=3)
    models = [_model(pipeline), _model(pipeline)]

    class Other(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            with pytest.raises(ValueError, match="must be read by one fit at a time"):
                models[1].fit(data, verbose=0)

    models[0].fit(data, verbose=0, callbacks=[Other()])
    models[1].fit(data, verbose=0)


def test_what_cannot_resume_is_refused(tmp_path):
    pipeline = _pipeline(["click"])
    _run("memory", pipeline, Resume(tmp_path), seed=3, epochs=1)
    with pytest.raises(ValueError, match="with orders, and .*3.*Received.*4"):
        _run("memory", pipeline, Resume(tmp_path), seed=4)
    with pytest.raises(ValueError, match="with steps an epoch: 6. Received: 2"):
        _model(pipeline).fit(
            pipeline.dataset(_rows(), BATCH, seed=3).take(2),
            callbacks=[Resume(tmp_path)],
        )
    with pytest.raises(ValueError, match="the data 1/like: none. Received: TensorS"):
        other = _pipeline()
        _run("memory", other, Resume(tmp_path), seed=3)
    x, y, _ = _data("arrays", pipeline)
    weights = np.ones(ROWS)
    for kind, what, change in (
        (
            "memory",
            "the data rows, and rows of a batch: 90, 16. .*: 90, 17$",
            {"batch_size": 17},
        ),
        ("memory", "the data .*90, 16.*89, 16", {"rows": ROWS - 1}),
        ("arrays", "the data .*90, 16.*90, 17", {"batch_size": 17}),
        (
            "arrays",
            "the data 2: none. Received: TensorSpec",
            {"sample_weight": weights},
        ),
        ("memory", "the data .*checksum of some rows", {"change": 3}),
        (
            "arrays",
            r"the layer \d+ \(Tower\) dropout: 0.2. Received: 0.3$",
            {"dropout": 0.3},
        ),
        ("arrays", "so far .*1 whole.*initial_epoch=2", {"initial_epoch": 2}),
    ):
        folder = tmp_path / kind
        if not folder.exists():
            _run(kind, pipeline, Resume(folder), seed=3, epochs=1)
        batch_size = change.pop("batch_size", BATCH)
        data = (x, y)
        if kind == "memory":
            rows = _rows(change.pop("rows", ROWS))
            rows["click"][change.pop("change", 0)] ^= 1
            options = {"shuffle": True, "seed": 3}
            data = (pipeline.dataset(rows, batch_size, **options),)
        else:
            change["batch_size"] = batch_size
        with pytest.raises(ValueError, match=f"with {what}"):
            _model(pipeline, dropout=change.pop("dropout", 0.2)).fit(
                *data, epochs=3, verbose=0, callbacks=[Resume(folder)], **change
            )
    _run("arrays", pipeline, Resume(tmp_path / "loss"), epochs=1)
    model = _model(pipeline)
    model.compile({"embedding": "adagrad", "default": "adam"}, "mse")
    with pytest.raises(
        ValueError, match="with the loss .*crossentropy.* Received: .*mse"
    ):
        x, y, options = _data("arrays", pipeline)
        model.fit(x, y, callbacks=[Resume(tmp_path / "loss")], epochs=2, **options)
    generated = ((x, y) for _ in range(100))
    with pytest.raises(ValueError, match="that can be read again. Received: a gene"):
        folder = Resume(tmp_path / "generated")
        _model(pipeline).fit(generated, steps_per_epoch=2, callbacks=[folder])
    with pytest.raises(ValueError, match="fit needs no steps_per_epoch"):
        _run("memory", pipeline, Resume(tmp_path), seed=3, steps_per_epoch=2)
    with pytest.raises(ValueError, match="fit needs one callback that resumes"):
        _run("memory", pipeline, Resume(tmp_path), Resume(tmp_path), seed=3)
    assert Resume(tmp_path, save_freq=np.int64(3)).save_freq == 3
    with pytest.raises(ValueError, match="save_freq must be 'epoch' or an integer"):
        Resume(tmp_path, save_freq=0)
    for folder in (None, "", 3):
        with pytest.raises(ValueError, match="Resume: folder must be a path"):
            Resume(folder)
    plain = keras.Sequential([keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="fit needs a recsys model"):
        plain.fit(np.ones((2, 1)), np.ones(2), callbacks=[Resume(tmp_path)])


def _times(factor):
    def squared(y, p):
        return factor * (y - p) ** 2

    return squared


def _by_keyword(factor):
    def squared(y, p, *, factor=factor):
        return factor * (y - p) ** 2

    return squared


class _Times:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, y, p):
        return self.factor * (y - p) ** 2


@pytest.mark.filterwarnings("ignore:You are using a softmax")  # DWA of one task
def test_another_loss_or_balance_is_refused(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)

    def run(name, loss, balance=None):
        model = _model(pipeline)
        model.compile("sgd", loss, balance=balance)
        folder = Resume(tmp_path / name)
        epochs = 2 if folder.folder.exists() else 1
        model.fit(x, y, epochs=epochs, callbacks=[folder], **options)

    for loss in (lambda y, p: (y - p) ** 2, _Times(1.0), _Times(1.0).__call__):
        name = f"goes on {type(loss).__name__}"
        run(name, loss)
        run(name, loss)
    for name, first, then in (
        ("closure", (_times(1.0),), (_times(2.0),)),
        ("keyword", (_by_keyword(1.0),), (_by_keyword(2.0),)),
        ("object", (_Times(1.0),), (_Times(2.0),)),
        ("lambda", (lambda y, p: (y - p) ** 2,), (lambda y, p: (y - p) ** 4,)),
        ("of Keras", (keras.losses.Huber(1.0),), (keras.losses.Huber(2.0),)),
        ("balance", ("mse",), ("mse", "pcgrad")),
        ("no balance", ("mse", "pcgrad"), ("mse",)),
        ("options", ("mse", DWA(2.0)), ("mse", DWA(50.0))),
    ):
        run(name, *first)
        with pytest.raises(ValueError, match=r"with the loss \[.*\. Received: \["):
            run(name, *then)


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / (1.0 + keras.ops.cast(step, "float32"))


def falling(start):
    return lambda: start


class Rate:
    def __init__(self, start):
        self.start = start

    def __call__(self):
        return self.start


def test_another_optimizer_class_weight_or_kind_of_order_is_refused(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, _ = _data("arrays", pipeline)

    def run(folder, adam=None, classes=None, data=None, optimizer=None):
        model = _model(pipeline)
        optimizer = optimizer or keras.optimizers.Adam(**adam or {})
        model.compile(optimizer, "binary_crossentropy")
        if data is None:
            data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
        callbacks = [Stop(0, 2), Resume(tmp_path / folder, 2)]
        options = {"class_weight": classes, "callbacks": callbacks, "verbose": 0}
        with pytest.raises(Stopped):
            model.fit(data, **options)

    def decay(rate, **more):
        schedule = keras.optimizers.schedules.ExponentialDecay(rate, 10, 0.9)
        return {"learning_rate": schedule, **more}

    def parts(rate):
        adagrad = keras.optimizers.Adagrad(**decay(rate))
        return {"optimizer": {"embedding": adagrad, "default": "adam"}}

    ordered = [pipeline.dataset(_rows(), BATCH, shuffle=s) for s in (False, True)]
    ordered.append(pipeline.dataset(_rows(), BATCH, shuffle=True, streaming=True))
    for name, first, then, what in (
        (
            "a",
            {},
            {"adam": {"beta_1": 0.5}},
            "optimizer's .*beta_1: 0.9. Received: 0.5$",
        ),
        (
            "b",
            {},
            {"adam": {"clipnorm": 0.5}},
            "optimizer's .*clipnorm: None. Received: 0.5$",
        ),
        (
            "c",
            {"classes": [1, 2]},
            {"classes": [1, 3]},
            "the data class_weight: {0: 1.0, 1: 2.0}. .*1: 3.0}$",
        ),
        ("d", {"classes": [1, 2]}, {}, "the data class_weight.*Received: none$"),
        ("e", {"data": ordered[0]}, {"data": ordered[1]}, "as they are.*shuffled"),
        ("f", {"data": ordered[1]}, {"data": ordered[0]}, "shuffled.*as they are"),
        ("g", {"data": ordered[1]}, {"data": ordered[2]}, "in memory.*on disk"),
        ("h", {}, {"optimizer": "sgd"}, "optimizer's class_name: Adam. Received: SGD$"),
        (
            "i",
            {"adam": decay(0.1)},
            {"adam": decay(0.2)},
            "learning_rate: Exponential.*: 0.1,.* Received: Exponential.*: 0.2,",
        ),
        (
            "j",
            {"adam": decay(0.1)},
            {"adam": {"learning_rate": 0.1}},
            "config learning_rate: ExponentialDecay .* Received: a number$",
        ),
        (
            "k",
            {},
            {"adam": decay(0.1)},
            "config learning_rate: a number. Received: ExponentialDecay ",
        ),
        ("l", parts(0.1), parts(0.2), "embedding config learning_rate: Exponential"),
    ):
        run(name, **first)
        with pytest.raises(ValueError, match=what):
            run(name, **then)
    run("i", adam=decay(0.1, name="another"))
    for name, maker in (("own", Falling), ("function", falling), ("object", Rate)):
        run(name, {"learning_rate": maker(0.1)})
        with pytest.raises(ValueError, match="learning_rate: .*Received: .*"):
            run(name, {"learning_rate": maker(0.2)})
        run(name, {"learning_rate": maker(0.1)})


calls = 0


def _counts(y, p):
    global calls
    calls += 1
    return (y - p) ** 2


class _Remembers(keras.losses.Loss):
    last = None

    def call(self, y, p):
        self.last = p
        return (y - p) ** 2


@pytest.mark.parametrize("loss", [_counts, _Remembers()])
def test_what_training_changes_in_a_loss_is_no_other_loss(loss, tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)
    model = _model(pipeline)
    model.compile("sgd", loss)
    model.fit(x, y, **options)
    for epochs in (1, 2):
        model.fit(x, y, epochs=epochs, callbacks=[Resume(tmp_path)], **options)


def test_a_schedule_without_a_config_goes_on_in_a_scaled_optimizer(tmp_path):
    pipeline = _pipeline(["click"])
    x, y, options = _data("arrays", pipeline)

    def run(start, epochs):
        model = _model(pipeline)
        adam = keras.optimizers.Adam(Falling(start))
        model.compile(keras.optimizers.LossScaleOptimizer(adam), "mse")
        model.fit(x, y, epochs=epochs, callbacks=[Resume(tmp_path)], **options)

    run(0.1, 1)
    run(0.1, 2)
    with pytest.raises(ValueError, match="learning_rate: Falling .*Received: Falling"):
        run(0.2, 3)


class _Holds(Layer):
    def __init__(self, of, **kwargs):
        super().__init__(**kwargs)
        self.of = of

    def call(self, inputs):
        return inputs


def test_a_layer_that_no_file_holds_is_trained(tmp_path):
    def run(*more):
        x = keras.Input((1,), name="x")
        hidden = keras.layers.Dense(3)(_Holds(object())(x))
        for layer in more:
            hidden = layer(hidden)
        model = Model({"x": x}, predict(Task("y"), keras.layers.Dense(1)(hidden)))
        model.compile("sgd", "mse")
        rows = {"x": np.ones(4)}, np.ones(4)
        model.fit(*rows, epochs=2, verbose=0, callbacks=[Resume(tmp_path)])

    run()
    with pytest.warns(UserWarning, match="had ended after 2 epochs"):
        run()
    with pytest.raises(ValueError, match="with the layer 4 .*Received: "):
        run(keras.layers.ReLU())


class Others(keras.callbacks.Callback):
    """Keeps what a state holds and what it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.flag, self.counts = np.bool_(False), collections.Counter()
        self.rng, self.steps = np.random.default_rng(0), collections.deque([1])

    def on_train_batch_end(self, batch, logs=None):
        self.flag = np.bool_(True)
        self.counts["steps"] += 1


def test_what_a_state_does_not_hold_of_callbacks_is_told(tmp_path):
    pipeline = _pipeline(["click"])
    with pytest.warns(UserWarning, match="Resume") as told:
        _run("arrays", pipeline, Others(), Resume(tmp_path), epochs=1)
    text = "Resume: a state does not hold '{}' of Others, as it is a {}"
    kinds = {"counts": "Counter", "rng": "Generator", "steps": "deque"}
    wanted = sorted(text.format(*pair) for pair in kinds.items())
    found = [str(each.message) for each in told]
    assert sorted(each for each in found if each.startswith("Resume")) == wanted
    again = Others()
    with pytest.warns(UserWarning):
        _run("arrays", pipeline, again, Resume(tmp_path), epochs=1)
    assert bool(again.flag)


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


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("derived", [False, True])
def test_fit_starts_where_the_dataset_does(derived):
    pipeline = _pipeline(["click"])
    model = _model(pipeline)
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.now = epoch

        def on_train_batch_end(self, batch, logs=None):
            seen.append((self.now, batch))

    class Left(keras.callbacks.Callback):
        """Stops where the dataset starts, and keeps the weights."""

        def on_epoch_begin(self, epoch, logs=None):
            self.now = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.now, batch) == (1, 3):
                self.state = [each.numpy() for each in self.model.variables]

    def data(**more):
        batches = pipeline.dataset(_rows(), BATCH, shuffle=True, seed=7, **more)
        return batches.map(lambda x, y: (x, y)) if derived else batches

    model.compile("sgd", "binary_crossentropy")
    left = Left()
    model.fit(data(), epochs=3, verbose=0, callbacks=[left])
    wanted = model.get_weights()
    for variable, value in zip(model.variables, left.state, strict=True):
        variable.assign(value)
    rest = data(start=(1, 4))
    model.fit(rest, epochs=3, verbose=0, callbacks=[Seen()])
    assert seen == [(1, 4), (1, 5), *((2, step) for step in range(STEPS))]
    for mine, yours in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(mine, yours)
    seen.clear()
    model.fit(rest, epochs=2, verbose=0, callbacks=[Seen()])
    assert seen == [(1, step) for step in range(STEPS)]
    with pytest.raises(ValueError, match="fit needs callbacks that are a list"):
        listed = keras.callbacks.CallbackList([], model=model)
        model.fit(data(start=(1, 4)), callbacks=listed)


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
    with pytest.raises(ValueError, match="filepath must end in '.keras'"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="zipped must be True or None"):
        model.save(tmp_path / "folder", zipped=False)
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
