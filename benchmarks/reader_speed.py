"""How fast batches are read, and how fast `fit` is when it has little else to do.

    python benchmarks/reader_speed.py [--rows 1000000] [--batch 4096] [--history 0]

26 categorical columns, 13 numbers and a label are written to a parquet file and read by
a `FeaturePipeline`: in memory and streamed, in order and shuffled. Streaming prepares
the file once, into packed temporary files that each epoch reads; `dataset()` is that
preparation, in memory or not. `arrays` are the prepared columns as NumPy arrays.

`read` iterates over a dataset and does nothing; `fit` trains one Dense unit on all 39
columns, batches of 4096, an epoch. Both are medians of rounds in which everything takes
its turn. Beside them `pyarrow.parquet.read_table` of the raw file, and
`tf.data.Dataset.from_tensor_slices(...).batch(...)`, on a tenth of the rows.

Wanted of `fit`: a million rows a second in memory and 0.7 million streamed, or 0.8
times the rate of the bare reader, `read`, if that is less. `derived` is the dataset in
memory through `map`, of which nobody knows any more that its batches are right: each is
checked, which may take three tenths of the rate of a model that does nothing, ten
epochs of it (the limit is to read every number twice; a third of a millisecond a batch
are the operations, and each epoch sets them up anew).

`--history 50` adds two histories of 50 events, which the raw file does not hold.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from machine import claim, seconds  # noqa: E402

from recsys import Task  # noqa: E402
from recsys.data import Categorical, FeaturePipeline, History, Numeric  # noqa: E402
from recsys.feature.schema.columns import Column
from recsys.layers.heads import predict
from recsys.train.model import Model  # noqa: E402

ROUNDS, EPOCHS, WHETHER = 5, 10, (True, False)
WANTED = {"memory": 1.0, "streamed": 0.7}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--history", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(raw_rows(options.rows), path)
        measure(path, options.rows, options.batch, options.history)


def raw_rows(num_rows: int) -> pa.Table:
    """Skewed ids in vocabularies of 100 to a million values, and log-normal numbers."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    for i in range(26):
        ids = random.zipf(1.2, num_rows) % 10 ** (2 + i % 5)
        columns[f"c{i}"] = ids.astype("int64") * 7919
    for i in range(13):
        columns[f"n{i}"] = random.lognormal(size=num_rows)
    columns["time"] = np.arange(num_rows)
    columns["label"] = random.integers(2, size=num_rows)
    return pa.table(columns)


def measure(path: Path, num_rows: int, batch: int, history: int) -> None:
    def report(what: str, taken: float, rows: int = num_rows) -> float:
        rate = rows / taken / 1e6
        print(f"{what:<44}{rate:8.3f} M rows/s", flush=True)
        return rate

    columns: list[Column] = [Categorical(f"c{i}", min_count=2) for i in range(26)]
    columns += [Numeric(f"n{i}", log1p=True, standardize=True) for i in range(13)]
    if history:
        of = ["c0", "c1"]
        columns += [History("past", of=of, length=history, user="c4", time="time")]
    pipeline = FeaturePipeline(columns, labels=["label"])
    report("pipeline.fit (once)", seconds(lambda: pipeline.fit(path)))
    sets: dict[str, tf.data.Dataset] = {}
    for place in WANTED:
        for shuffle in (False, True):
            name = f"{place}, shuffled" if shuffle else place
            how = {"shuffle": shuffle, "streaming": place == "streamed", "seed": 0}

            def prepare(name: str = name, how: dict[str, Any] = how) -> None:
                sets[name] = pipeline.dataset(path, batch, **how)

            report(f"{name}: dataset() (once)", seconds(prepare))
    x, y = next(iter(pipeline.dataset(path, num_rows, streaming=False)))
    arrays = {name: column.numpy() for name, column in x.items()}
    labels = y["label"].numpy()
    model = trivial(x)
    model.fit(sets["memory"].take(2), verbose=0)  # compiles

    runs = {"parquet, read_table": lambda: pq.read_table(path)}
    for name, dataset in sets.items():
        runs[f"{name}: read"] = lambda dataset=dataset: count(dataset)
        runs[f"{name}: fit"] = lambda dataset=dataset: model.fit(dataset, verbose=0)
    derived = sets["memory, shuffled"].map(lambda x, y: (x, y))
    for check in WHETHER:
        runs[f"derived, validate={check}: fit"] = lambda check=check: model.fit(
            derived, epochs=EPOCHS, verbose=0, validate=check
        )
    runs["arrays, shuffled: fit"] = lambda: model.fit(
        arrays, labels, batch_size=batch, verbose=0
    )
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            taken[name].append(seconds(run))
    rates = {
        name: report(
            name,
            float(np.median(times)),
            num_rows * (EPOCHS if name.startswith("derived") else 1),
        )
        for name, times in taken.items()
    }

    tenth = [column[: num_rows // 10] for column in (*arrays.values(), labels)]
    stock = tf.data.Dataset.from_tensor_slices(tuple(tenth)).batch(batch)
    report("from_tensor_slices: read", seconds(lambda: count(stock)), num_rows // 10)
    for place, wanted in WANTED.items():
        claim(
            f"fit, {place}, shuffled",
            rates[f"{place}, shuffled: fit"],
            at_least=min(wanted, 0.8 * rates[f"{place}, shuffled: read"]),
            unit="M rows/s",
        )
    checked, plain = (rates[f"derived, validate={check}: fit"] for check in WHETHER)
    claim("fit, derived, checked / not", checked / plain, at_least=0.7)


def trivial(x: dict[str, tf.Tensor]) -> Model:
    """One Dense unit on all columns."""
    inputs = {
        name: keras.Input(column.shape[1:], name=name, dtype=column.dtype.name)
        for name, column in x.items()
    }
    logit = keras.layers.Dense(1)(Join()(list(inputs.values())))
    model = Model(inputs, predict(Task("label"), logit))
    model.compile(keras.optimizers.SGD(1e-9), "binary_crossentropy")
    return model


class Join(keras.layers.Layer):
    """All columns of a row as one vector."""

    def call(self, columns: list[Any]) -> Any:
        flat = [keras.ops.cast(column, "float32") for column in columns]
        flat = [f if len(f.shape) > 1 else keras.ops.expand_dims(f, 1) for f in flat]
        return keras.ops.concatenate(flat, axis=1)


def count(dataset: tf.data.Dataset) -> int:
    """Reads all batches to the end."""
    return sum(1 for _ in dataset)


if __name__ == "__main__":
    main()
