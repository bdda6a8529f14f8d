"""Batches: what Keras gets, in which order, in memory and from disk."""

import gc
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from recsys import Task, create_model
from recsys.data import (
    Categorical,
    FeaturePipeline,
    History,
    MultiValue,
    Numeric,
    dataset,
)
from recsys.data import pipeline as pipeline_module
from recsys.metrics.streaming.gauc import GAUC
from recsys.train import feed
from recsys.train.model import Model
from tests.close import close

ROWS = 1000


def rows(num: int = ROWS) -> pa.Table:
    """Each row has its own number, and every other column follows from it."""
    number = np.arange(num)
    return pa.table(
        {
            "number": number,
            "user": number % 7,
            "tags": [[i % 5, i % 3] for i in range(num)],
            "weights": [[i / 2, i / 4] for i in range(num)],
            "click": number % 2,
            "buy": np.where(number % 3 == 0, np.nan, number % 2),
            "weight": number / num,
        }
    )


COLUMNS = [
    Categorical("user"),
    Numeric("number"),
    MultiValue("tags", length=3, weight="weights"),
    History("past", of=["user"], length=2, user="user", time="number"),
]
PIPELINE = FeaturePipeline(
    COLUMNS, labels=["click", "buy"], sample_weight="weight", groups={"key": "user"}
).fit(rows())


def numbers(batches) -> list[int]:
    return [int(n) for x, *_ in batches for n in x["number"].numpy()]


@pytest.fixture(params=[False, True], ids=["in memory", "on disk"])
def streaming(request, monkeypatch) -> bool:
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 300)
    monkeypatch.setattr(dataset, "CHUNK_ROWS", 32)
    return request.param


def test_batches_are_the_transformed_rows(streaming: bool) -> None:
    table = PIPELINE.transform(rows())
    got = list(PIPELINE.dataset(rows(), 128, streaming=streaming))
    x = {name: np.concatenate([b[0][name] for b in got]) for name in got[0][0]}
    y = {name: np.concatenate([b[1][name] for b in got]) for name in got[0][1]}
    weight = np.concatenate([b[2] for b in got])
    inputs = [*(field.name for field in PIPELINE.fields()), "weights", "key"]
    assert {*x} == {*inputs}
    assert list(y) == ["click", "buy"]
    for name, values in {**x, **y, "sample_weight": weight}.items():
        wanted = np.stack(table[name].to_numpy(zero_copy_only=False))
        np.testing.assert_array_equal(values, wanted)
        assert values.dtype == wanted.dtype


def test_fields_describe_the_batches(streaming: bool) -> None:
    x, _, _ = PIPELINE.dataset(rows(), 64, streaming=streaming).element_spec
    for field in PIPELINE.fields():
        shape = (
            (None, field.length)
            if (field.belong == "history" or field.length > 1)
            else (None,)
        )
        assert x[field.name] == tf.TensorSpec(shape, field.dtype)
    assert x["key"] == tf.TensorSpec((None,), tf.int32)
    assert x["weights"] == tf.TensorSpec((None, 3), tf.float32)


@pytest.mark.parametrize("batch_size", [1, 64, 300, 301, 999, 1000, 5000])
@pytest.mark.parametrize("drop", [False, True])
def test_sizes_and_cardinality(streaming: bool, batch_size: int, drop: bool) -> None:
    options = {"streaming": streaming, "drop_remainder": drop, "shuffle": True}
    batches = PIPELINE.dataset(rows(), batch_size, **options)
    sizes = [len(weight) for _, _, weight in batches]
    full, rest = divmod(ROWS, batch_size)
    assert sizes == [batch_size] * full + ([rest] if rest and not drop else [])
    assert batches.cardinality() == len(sizes)


def test_order_without_shuffling(streaming: bool) -> None:
    batches = PIPELINE.dataset(rows(), 70, streaming=streaming)
    assert numbers(batches) == numbers(batches) == list(range(ROWS))


def test_every_epoch_is_a_new_permutation_of_whole_rows(streaming: bool) -> None:
    batches = PIPELINE.dataset(rows(), 70, shuffle=True, seed=3, streaming=streaming)
    first, second = numbers(batches), numbers(batches)
    assert sorted(first) == sorted(second) == list(range(ROWS))
    assert first != second
    assert first != list(range(ROWS))
    for x, y, weight in batches:
        number = x["number"].numpy()
        np.testing.assert_array_equal(y["click"], number % 2)
        np.testing.assert_array_equal(x["key"], number % 7)
        np.testing.assert_array_equal(x["weights"][:, 1], number / 4)
        close(weight, number / ROWS)


def test_seed_decides_the_epochs(streaming: bool) -> None:
    def epochs(seed: int | None) -> list[list[int]]:
        options = {"shuffle": True, "seed": seed, "streaming": streaming}
        batches = PIPELINE.dataset(rows(), 70, **options)
        return [numbers(batches), numbers(batches)]

    assert epochs(3) == epochs(3)
    assert epochs(3) != epochs(4)
    assert epochs(None) != epochs(None)


def test_numpy_integers_are_integers(streaming: bool) -> None:
    def epoch(of: type) -> list[int]:
        options = {"shuffle": True, "seed": of(3), "streaming": streaming}
        return numbers(PIPELINE.dataset(rows(), of(70), **options))

    assert epoch(int) == epoch(np.int64) == epoch(np.uint8)


def test_seed_decides_whatever_else_is_random(streaming: bool) -> None:
    def epochs(seed_of_keras: int) -> list[list[int]]:
        keras.utils.set_random_seed(seed_of_keras)
        options = {"shuffle": True, "seed": 0, "streaming": streaming}
        batches = PIPELINE.dataset(rows(), 70, **options)
        keras.utils.set_random_seed(seed_of_keras + 1)
        return [numbers(batches), numbers(batches)]

    assert epochs(0) == epochs(5)


def test_without_a_seed_that_of_keras_decides(streaming: bool) -> None:
    def epoch() -> list[int]:
        options = {"shuffle": True, "streaming": streaming}
        return numbers(PIPELINE.dataset(rows(), 70, **options))

    keras.utils.set_random_seed(5)
    first = epoch()
    assert epoch() != first
    keras.utils.set_random_seed(5)
    assert epoch() == first


class Seen(keras.callbacks.Callback):
    """The number of the first row of each batch of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: dict[int, list[float]] = {}

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self.of_epoch = self.epochs.setdefault(epoch, [])


def seen_by_runs(batches, *runs: dict) -> list[dict[int, list[float]]]:
    """What models that are trained one after another see of one dataset."""
    found = []
    for run in runs:
        seen = Seen()

        class Spy(Model):
            def train_step(self, data, seen=seen):
                seen.of_epoch.append(float(data[0]["number"][0]))
                return super().train_step(data)

        number = keras.Input((), name="number")
        out = keras.layers.Dense(1)(keras.layers.Reshape((1,))(number))
        model = Spy({"number": number}, {"click": out})
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(batches, verbose=0, callbacks=[seen], **run)
        found.append(seen.epochs)
    return found


def test_every_run_sees_the_same_epochs(streaming: bool) -> None:
    pipeline = FeaturePipeline([Numeric("number")], ["click"]).fit(rows())
    options = {"shuffle": True, "seed": 7, "streaming": streaming}
    batches = pipeline.dataset(rows(), 50, **options)
    numbers(batches)  # a pass of somebody's own
    one, again, late = seen_by_runs(
        batches, {"epochs": 3}, {"epochs": 3}, {"epochs": 3, "initial_epoch": 1}
    )
    assert one == again
    assert {epoch: one[epoch] for epoch in (1, 2)} == late
    assert len({tuple(epoch) for epoch in one.values()}) == 3


DERIVED = {
    "prefetch": lambda batches: batches.prefetch(1),
    "map": lambda batches: batches.map(lambda x, y: (x, y)),
    "take": lambda batches: batches.take(3),
    "repeat": lambda batches: batches.prefetch(1).repeat(),
}


@pytest.mark.parametrize("by", DERIVED)
def test_derived_datasets_begin_with_the_same_epochs(by: str, streaming: bool) -> None:
    pipeline = FeaturePipeline([Numeric("number")], ["click"]).fit(rows())
    options = {"shuffle": True, "seed": 7, "streaming": streaming}
    batches = pipeline.dataset(rows(), 50, **options)
    plain, late = seen_by_runs(
        batches, {"epochs": 2}, {"epochs": 2, "initial_epoch": 1}
    )
    derived, steps = DERIVED[by](batches), {}
    if by == "repeat":
        steps["steps_per_epoch"] = len(batches)
    one, again, checked, resumed = seen_by_runs(
        derived,
        {"epochs": 2, **steps},
        {"epochs": 2, **steps},
        {"epochs": 2, "validate": by != "repeat", **steps},
        {"epochs": 2, "initial_epoch": 1, **steps},
    )
    if by == "take":
        plain = {epoch: seen[:3] for epoch, seen in plain.items()}
        late = {epoch: seen[:3] for epoch, seen in late.items()}
    assert one == again == checked == plain
    assert resumed == late


def test_looking_at_a_derived_dataset_is_no_epoch() -> None:
    pipeline = FeaturePipeline([Numeric("number")], ["click"]).fit(rows())
    batches = pipeline.dataset(rows(), 50, shuffle=True, seed=7)
    zipped = tf.data.Dataset.zip((batches, batches)).map(lambda one, _: one)
    orders = feed.orders(zipped)
    with feed.looking(zipped):
        assert len([*zipped.take(1)]) == 1
        assert orders[0].epoch == 2
    assert orders[0].epoch == 0


def test_rows_travel_far_when_shuffled(streaming: bool) -> None:
    batches = PIPELINE.dataset(rows(), 100, shuffle=True, seed=0, streaming=streaming)
    first = np.array(numbers(batches.take(1)))
    assert first.min() < 250 and first.max() > 750
    assert len(first) == 100 and len({*np.diff(first)}) > 50  # no runs of neighbours


def test_without_labels(streaming: bool) -> None:
    table = rows().drop(["click", "buy"])
    x = next(iter(PIPELINE.dataset(table, 10, streaming=streaming)))
    assert isinstance(x, dict) and "sample_weight" not in x
    unlabelled = FeaturePipeline(COLUMNS, sample_weight="weight").fit(rows())
    x = next(iter(unlabelled.dataset(rows(), 10, streaming=streaming)))
    close(x["sample_weight"], np.arange(10) / ROWS)
    plain = FeaturePipeline(COLUMNS, labels=["click"]).fit(rows())
    x, y = next(iter(plain.dataset(rows(), 10, streaming=streaming)))
    assert list(y) == ["click"]


def test_only_integers_or_only_numbers(streaming: bool) -> None:
    for column, width in ((Categorical("user"), 1), (Numeric("number"), 1)):
        only = FeaturePipeline([column]).fit(rows())
        batches = list(only.dataset(rows(), 300, streaming=streaming))
        assert sum(len(x[column.name]) for x in batches) == ROWS * width


def test_keras_trains_and_predicts_in_order(streaming: bool) -> None:
    inputs = {
        "number": keras.Input((), name="number"),
        "user": keras.Input((), dtype="int32", name="user"),
    }
    number = keras.layers.Reshape((1,))(inputs["number"])
    once = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Model(inputs, once(number))
    model.compile(loss=None)
    narrow = FeaturePipeline([Categorical("user"), Numeric("number")], labels=["click"])
    narrow.fit(rows())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # "your input ran out of data"
        unlabelled = rows().drop(["click"])
        predicted = model.predict(
            narrow.dataset(unlabelled, 64, streaming=streaming), verbose=0
        )
        model.compile(optimizer="sgd", loss="mse")
        shuffled = narrow.dataset(rows(), 64, shuffle=True, streaming=streaming)
        shuffled = shuffled.map(lambda x, y: (x, y["click"]))  # stock Keras
        history = model.fit(shuffled, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_array_equal(predicted[:, 0], np.arange(ROWS))
    assert len(history.history["loss"]) == 2


def test_marked_as_checked(streaming: bool) -> None:
    assert PIPELINE.dataset(rows(), 64, streaming=streaming).recsys_checked is True


def test_auto_streams_large_files_only(monkeypatch, tmp_path: Path) -> None:
    used = []
    for name in ("in_memory", "on_disk"):
        real = getattr(dataset, name)

        def spy(*args, real=real, name=name, **options):
            used.append(name)
            return real(*args, **options)

        monkeypatch.setattr(dataset, name, spy)
    path = tmp_path / "rows.parquet"
    pq.write_table(rows(), path)
    PIPELINE.dataset(path, 10)
    # user, number, 3 tags, 3 weights, 2 events, key, 2 labels, sample weight
    monkeypatch.setattr(pipeline_module, "STREAM_ABOVE", 14 * 4 * ROWS)
    PIPELINE.dataset(path, 10)
    monkeypatch.setattr(pipeline_module, "STREAM_ABOVE", 14 * 4 * ROWS - 1)
    PIPELINE.dataset(path, 10)
    PIPELINE.dataset(rows(), 10)
    assert used == ["in_memory", "in_memory", "on_disk", "in_memory"]


def test_a_block_is_read_while_the_one_before_is_used(monkeypatch) -> None:
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 300)
    monkeypatch.setattr(dataset, "CHUNK_ROWS", 100)
    joined, blocks = dataset._joined, []

    def spy(chunks):
        blocks.append(len(chunks))
        return joined(chunks)

    monkeypatch.setattr(dataset, "_joined", spy)
    batches = iter(PIPELINE.dataset(rows(), 10, streaming=True))
    next(batches)  # the first of thirty
    start = time.monotonic()
    while len(blocks) < 2 and time.monotonic() < start + 30:
        time.sleep(0.01)
    assert len(blocks) >= 2


def test_files_on_disk_live_as_long_as_the_dataset(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = {*tmp_path.glob("recsys-*")}
    batches = PIPELINE.dataset(rows(), 100, streaming=True)
    (folder,) = {*tmp_path.glob("recsys-*")} - before
    assert sorted(file.name for file in folder.glob("[!.]*")) == ["ids", "numbers"]
    gc.collect()
    assert numbers(batches.map(lambda *batch: batch)) == list(range(ROWS))
    del batches
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"batch_size": 0},
            "batch_size must be an integer of at least 1. Received: bat",
        ),
        ({"batch_size": 2.0}, "batch_size must be an integer of at least 1"),
        ({"batch_size": True}, "batch_size must be an integer of at least 1"),
        ({"seed": 1.5}, "dataset: seed must be an integer. .*=1.5"),
        ({"seed": "a"}, "seed must be an integer. .*='a'"),
        ({"seed": True}, "dataset: seed must be an integer. "),
        (
            {"batch_size": 2, "streaming": "no"},
            "streaming must be True, False or 'auto'",
        ),
    ],
)
def test_bad_options(options, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PIPELINE.dataset(rows(), **{"batch_size": 2, **options})


def test_a_group_that_a_dataset_has_not_is_named():
    data = {"a": [1, 2, 3, 1], "y": [0, 1, 1, 0]}
    pipeline = FeaturePipeline([Categorical("a")], ["y"]).fit(data)
    model = create_model("lr", pipeline.fields(dim=2), task=Task("y"))
    model.compile("sgd", "binary_crossentropy", metrics=[GAUC("usr", capacity=9)])
    with pytest.raises(ValueError, match="Column 'usr' is missing, which a metric"):
        model.fit(pipeline.dataset(data, 2), verbose=0)
