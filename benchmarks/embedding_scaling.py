"""Training speed against the size of the tables, and against stock Keras.

    python benchmarks/embedding_scaling.py

DeepFM on rows shaped like Criteo: 26 fields of ids, 13 numbers, dim 16, MLP
400-400-400, batch 4096. Ids are drawn once from a skewed distribution and then spread
over tables of 84 thousand, 840 thousand and 8.4 million rows in all, so that a batch
has the same number of distinct rows at every size. Beside ours runs the same network
of `keras.layers.Embedding` with Keras' Adam.

Prints rows per second of every size and model, the median of interleaved rounds, and
what they must be seen against: ours at 8.4 M over ours at 84 k, ours over stock, and
the rows per second that the MLP's matrix products alone would allow here.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from recsys import Field
from recsys.layers.core import Tower
from recsys.layers.interaction.fm import FM
from recsys.rank.deepfm import deepfm
from recsys.train.feed import prompt

CATEGORICAL, NUMERIC, DIM, BATCH = 26, 13, 16, 4096
UNITS = (400, 400, 400)
SIZES = (84_000, 840_000, 8_400_000)


def rows(size: int, batches: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Batches whose ids are the same draw at every size, spread over each table."""
    rng = np.random.default_rng(0)
    n, per_table = batches * BATCH, size // CATEGORICAL
    small = SIZES[0] // CATEGORICAL
    x = {}
    for i in range(CATEGORICAL):
        draw = (rng.zipf(1.2, n) - 1) % small
        spread = np.random.default_rng(i).permutation(per_table)[:small]
        x[f"c{i}"] = spread[draw].astype("int32")
    for i in range(NUMERIC):
        x[f"n{i}"] = rng.normal(size=n).astype("float32")
    return x, rng.integers(0, 2, n).astype("float32")


def batches(x: dict[str, np.ndarray], y: np.ndarray) -> tf.data.Dataset:
    columns = {name: tf.constant(column) for name, column in x.items()}
    labels = tf.constant(y)
    data = tf.data.Dataset.range(0, len(y), BATCH).map(
        lambda i: (
            {k: v[i : i + BATCH] for k, v in columns.items()},
            labels[i : i + BATCH],
        )
    )
    return prompt(data.prefetch(1))  # stock Keras, too, ends on time


def ours(size: int) -> keras.Model:
    fields = [
        Field(f"c{i}", vocabulary_size=size // CATEGORICAL, dim=DIM)
        for i in range(CATEGORICAL)
    ]
    fields += [Field(f"n{i}", dim=DIM, dtype="float32") for i in range(NUMERIC)]
    return deepfm(fields, hidden_units=UNITS)


def stock(size: int) -> keras.Model:
    """The same network of layers that Keras ships."""
    inputs, embedded, linear = {}, [], []
    for i in range(CATEGORICAL):
        x = inputs[f"c{i}"] = keras.Input((), dtype="int32", name=f"c{i}")
        embedded.append(keras.layers.Embedding(size // CATEGORICAL, DIM)(x))
        linear.append(keras.layers.Embedding(size // CATEGORICAL, 1)(x))
    for i in range(NUMERIC):
        x = inputs[f"n{i}"] = keras.Input((1,), name=f"n{i}")
        embedded.append(keras.layers.Dense(DIM, use_bias=False)(x))
        linear.append(keras.layers.Dense(1, use_bias=False)(x))
    deep = Tower(UNITS)(keras.layers.Concatenate()(embedded))
    logit = keras.layers.Add()([*linear, FM()(embedded), deep])
    return keras.Model(inputs, keras.layers.Activation("sigmoid")(logit))


class Contender:
    """A compiled model and its batches, ready to be timed."""

    def __init__(self, build, optimizer, size: int, steps: int) -> None:
        x, y = rows(size, steps)
        self.model = build(size)
        self.model.compile(optimizer, "binary_crossentropy")
        self.data = batches(x, y)
        self.distinct = sum(
            len(np.unique(column[:BATCH]))
            for name, column in x.items()
            if name[0] == "c"
        )
        self.model.fit(self.data.take(2), verbose=0)  # compiles

    def speed(self, steps: int) -> float:
        """Rows per second over some steps, those of the start of `fit` left out."""
        clock = Clock()
        self.model.fit(
            self.data.take(steps), verbose=0, shuffle=False, callbacks=[clock]
        )
        return BATCH / float(np.median(np.diff(clock.ends)))


class Clock(keras.callbacks.Callback):
    """When each step ended."""

    def on_train_begin(self, logs=None) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.ends.append(time.perf_counter())


def product_limit() -> float:
    """Rows per second if a step were nothing but the products of its MLP."""
    widths = ((CATEGORICAL + NUMERIC) * DIM, *UNITS)
    pairs = [
        (
            tf.random.normal((BATCH, i)),
            tf.random.normal((i, o)),
            tf.random.normal((BATCH, o)),
        )
        for i, o in zip(widths[:-1], widths[1:], strict=True)
    ]

    @tf.function
    def products():
        return [
            product
            for x, w, g in pairs
            for product in (
                x @ w,
                tf.matmul(x, g, transpose_a=True),
                tf.matmul(g, w, transpose_b=True),
            )
        ]

    products()
    times = []
    for _ in range(20):
        start = time.perf_counter()
        products()
        times.append(time.perf_counter() - start)
    return BATCH / float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=25, help="of a round")
    args = parser.parse_args()

    contenders = {}
    for size in SIZES:
        contenders["ours, adagrad + adam", size] = Contender(
            ours, {"embedding": "adagrad", "default": "adam"}, size, args.steps
        )
        contenders["ours, adam", size] = Contender(ours, "adam", size, args.steps)
    contenders["stock Keras, adam", SIZES[-1]] = Contender(
        stock, keras.optimizers.Adam(), SIZES[-1], args.steps
    )
    limits = []
    speeds: dict[tuple[str, int], list[float]] = {key: [] for key in contenders}
    for _ in range(args.rounds):
        limits.append(product_limit())
        for key, contender in contenders.items():
            speeds[key].append(contender.speed(args.steps))

    median = {key: float(np.median(values)) for key, values in speeds.items()}
    table = Table("model", "table rows", "distinct a batch", "rows/s", "min", "max")
    for key, values in speeds.items():
        table.add_row(
            key[0],
            f"{key[1]:,}",
            f"{contenders[key].distinct:,}",
            f"{median[key]:,.0f}",
            f"{min(values):,.0f}",
            f"{max(values):,.0f}",
        )
    console = Console()
    console.print(table)
    stock_speed = median["stock Keras, adam", SIZES[-1]]
    for name in ("ours, adagrad + adam", "ours, adam"):
        flat = median[name, SIZES[-1]] / median[name, SIZES[0]]
        ahead = median[name, SIZES[-1]] / stock_speed
        console.print(
            f"{name}: {flat:.2f} of its speed at {SIZES[0]:,} rows is left at "
            f"{SIZES[-1]:,}, {ahead:.1f} times stock Keras there"
        )
    limit = float(np.median(limits))
    console.print(
        f"The products of the MLP alone: {limit:,.0f} rows/s, "
        f"{limit / stock_speed:.1f} times stock Keras at {SIZES[-1]:,} rows"
    )


if __name__ == "__main__":
    main()
