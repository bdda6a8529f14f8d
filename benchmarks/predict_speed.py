"""How fast `predict` is: a million rows against its arithmetic, and one row.

    python benchmarks/predict_speed.py [--batches 244] [--rounds 5]

DeepFM on rows shaped like Criteo, see `criteo_like.py`, with tables of 840 thousand
rows and an MLP of 400-400-400; `model.predict(x)` of NumPy columns, as it comes.

`forward` is the compiled forward pass alone, on one batch that is at hand. `limit` is
what the matrix products of the MLP take at the rate of a large square product on this
machine, and the rows of the tables, read once and written once, at the rate of a plain
copy. What `forward` needs beyond that are the factorization machine, the additions
and activations, and products too small to reach the rate.

One row: `model.predict(x)`; `model(x)`, which Keras runs operation by operation; the
compiled forward pass on tensors; and `serve` of the exported SavedModel. All are
medians of rounds in which everything takes its turn.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from itertools import pairwise
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import criteo_like as criteo
import numpy as np
import tensorflow as tf
from machine import claim, copy_rate, gemm_rate, median_seconds, seconds

from recsys.rank.deepfm import deepfm
from recsys.train.feed import rows_at_once

SIZE = 840_000
CALLS = 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=244, help="of 4096 rows")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model = deepfm(criteo.fields(SIZE), hidden_units=criteo.UNITS)
    x, _ = criteo.rows(SIZE, options.batches)
    many(model, x, options.rounds)
    one(model, {name: column[:1] for name, column in x.items()}, options.rounds)


def many(model: Any, x: dict[str, np.ndarray], rounds: int) -> None:
    num, size = len(x["c0"]), rows_at_once(x)
    batch = {name: tf.constant(column[:size]) for name, column in x.items()}
    forward = tf.function(lambda inputs: model(inputs, training=False))
    forward(batch)
    model.predict(x, verbose=0)
    taken: dict[str, list[float]] = {"predict": [], "forward": [], "limit": []}
    for _ in range(rounds):
        taken["predict"].append(seconds(lambda: model.predict(x, verbose=0)))
        passes = median_seconds(lambda: forward(batch), 20)
        taken["forward"].append(passes * num / size)
        taken["limit"].append(num * (flops() / gemm_rate() + moved() / copy_rate()))
    median = {name: float(np.median(values)) for name, values in taken.items()}
    for name, value in median.items():
        print(f"{num:,} rows: {name:<10}{value:6.2f} s, {num / value:9,.0f} rows/s")
    for name, most in (("forward", 1.2), ("limit", 1.5)):
        ratio = median["predict"] / median[name]
        claim(f"predict of {num:,} rows over {name}", ratio, at_most=most)


def flops() -> float:
    """Of the products of a row."""
    width = (criteo.CATEGORICAL + criteo.NUMERIC) * criteo.DIM
    return sum(2.0 * a * b for a, b in pairwise((width, *criteo.UNITS, 1)))


def moved() -> float:
    """Bytes of a row of each table, in and out."""
    return 2.0 * 4 * criteo.CATEGORICAL * (criteo.DIM + 1)


def one(model: Any, x: dict[str, np.ndarray], rounds: int) -> None:
    tensors = {name: tf.constant(column) for name, column in x.items()}
    forward = tf.function(lambda inputs: model(inputs, training=False))
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        saved = tf.saved_model.load(folder)
    runs: dict[str, Callable[[], Any]] = {
        "model.predict(x)": lambda: model.predict(x, verbose=0),
        "model(x)": lambda: model(x),
        "compiled, of tensors": lambda: forward(tensors),
        "SavedModel": lambda: saved.serve(tensors),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            taken[name].append(median_seconds(run, CALLS))
    median = {name: 1e3 * float(np.median(values)) for name, values in taken.items()}
    for name, value in median.items():
        print(f"one row: {name:<22}{value:7.2f} ms")
    claim(
        "model.predict of one row over the SavedModel's serve",
        median["model.predict(x)"] / median["SavedModel"],
        at_most=2.5,
    )


if __name__ == "__main__":
    main()
