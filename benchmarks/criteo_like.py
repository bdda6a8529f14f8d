"""Rows shaped like Criteo: 26 fields of ids, 13 numbers, a label that they explain.

Ids are drawn once, from a skewed distribution, and then spread over tables of any size:
a batch has the same number of distinct rows whatever the tables hold.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from recsys import Field

CATEGORICAL, NUMERIC, DIM, BATCH = 26, 13, 16, 4096
UNITS = (400, 400, 400)
SMALLEST = 84_000  # rows of all tables, from which ids are drawn
OPTIMIZER = {"embedding": "adagrad", "default": "adam"}


def rows(size: int, batches: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns `c0` to `c25` and `n0` to `n12`, and labels, of tables of `size` rows."""
    rng = np.random.default_rng(0)
    n, per_table, drawn_from = batches * BATCH, size // CATEGORICAL, SMALLEST // 26
    x, logit = {}, np.zeros(n)
    for i in range(CATEGORICAL):
        draw = (rng.zipf(1.2, n) - 1) % drawn_from
        logit += rng.normal(0, 0.4, drawn_from)[draw]
        spread = np.random.default_rng(i).permutation(per_table)[:drawn_from]
        x[f"c{i}"] = spread[draw].astype("int32")
    for i in range(NUMERIC):
        x[f"n{i}"] = rng.normal(size=n).astype("float32")
        logit += rng.normal(0, 0.2) * x[f"n{i}"]
    return x, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype("float32")


def batches(size: int, number: int) -> tf.data.Dataset:
    """The rows as a dataset of batches, which slicing makes at no cost to speak of."""
    x, y = rows(size, number)
    columns, labels = {k: tf.constant(v) for k, v in x.items()}, tf.constant(y)
    return (
        tf.data.Dataset.range(0, len(y), BATCH)
        .map(
            lambda i: (
                {k: v[i : i + BATCH] for k, v in columns.items()},
                labels[i : i + BATCH],
            )
        )
        .prefetch(1)
    )


def fields(size: int = SMALLEST) -> list[Field]:
    """The fields of these columns; every other field of ids is of the item."""
    ids = [
        Field(
            f"c{i}",
            vocabulary_size=size // CATEGORICAL,
            dim=DIM,
            belong="item" if i % 2 else "user",
        )
        for i in range(CATEGORICAL)
    ]
    return ids + [Field(f"n{i}", dim=DIM, dtype="float32") for i in range(NUMERIC)]


class Clock(keras.callbacks.Callback):
    """When each step ended."""

    def on_train_begin(self, logs=None) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Median time of a step; that of the start of `fit` is not in it."""
        return float(np.median(np.diff(self.ends)))
