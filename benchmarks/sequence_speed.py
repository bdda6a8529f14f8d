"""Training speed of the models of histories, against the length of the history.

    python benchmarks/sequence_speed.py [model ...] [--batch 128] [--steps 6]

One history of items and categories, full, of 50, 200 and 1000 behaviours; tables of
100 thousand items and a thousand categories, dim 16 each, so a behaviour is 32 wide.
SIM and ETA attend to 50 behaviours. Adagrad on tables, Adam on the rest.

The first table has the milliseconds of a step at each length, and the last over the
first. The second is DIN's activation unit by itself, forward and backward, with the
sigmoid of the authors' code and with the paper's Dice, beside the matrix products that
the paper draws: how long they take alone, in the shapes they have, and how long they
would take at the rate of a large square product measured in the same run.
"""

import argparse
import itertools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import zoo_speed
from criteo_like import Clock
from machine import gemm_rate
from rich.console import Console
from rich.progress import track
from rich.table import Table

from recsys import Field, create_model
from recsys.layers.activation_unit import AttentionLayer

LENGTHS = (50, 200, 1000)
ITEMS, CATEGORIES, DIM = 100_000, 1_000, 16
UNIT = (80, 40)
OPTIMIZER = {"embedding": "adagrad", "default": "adam"}


def fields(length: int) -> list[Field]:
    history = {"length": length, "belong": "history"}
    return [
        Field("user", vocabulary_size=10_000, dim=DIM),
        Field("item", vocabulary_size=ITEMS, dim=DIM, belong="item"),
        Field("category", vocabulary_size=CATEGORIES, dim=DIM, belong="item"),
        Field("seen", emb="item", **history),
        Field("seen_category", emb="category", **history),
    ]


def milliseconds(name: str, length: int, batch: int, steps: int) -> float:
    rng = np.random.default_rng(0)
    n = batch * steps
    item, seen = (
        (rng.zipf(1.2, shape) - 1) % (ITEMS - 1) + 1 for shape in (n, (n, length))
    )
    x = {
        "user": rng.integers(0, 10_000, n),
        "item": item,
        "category": item % CATEGORIES,
        "seen": seen,
        "seen_category": np.maximum(seen % CATEGORIES, 1),
    }
    model = create_model(name, fields(length))
    model.compile(OPTIMIZER, "binary_crossentropy")
    clock = Clock()
    y = rng.integers(0, 2, n)
    model.fit(x, y, batch_size=batch, epochs=2, verbose=0, callbacks=[clock])
    return 1e3 * float(np.median(np.diff(clock.ends[-steps:])))


def median_seconds(run, rounds: int = 10) -> float:
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def activation_unit(activation: str, length: int, batch: int) -> float:
    """Seconds of a step of the unit, forward and backward."""
    layer = AttentionLayer(UNIT, activation)
    query = tf.random.normal((batch, 2 * DIM))
    history = tf.random.normal((batch, length, 2 * DIM))
    valid = tf.ones((batch, length), tf.bool)
    layer([query, history], valid=valid)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([query, history])
            y = tf.reduce_sum(layer([query, history], valid=valid, training=True))
        return tape.gradient(y, [query, history, *weights])

    return median_seconds(step)


def unit_products(length: int, batch: int) -> float:
    """Seconds of the products in the unit as the paper draws it, and no more."""
    x = tf.random.normal((batch * length, 8 * DIM))
    widths = (8 * DIM, *UNIT, 1)
    kernels = [tf.random.normal(shape) for shape in itertools.pairwise(widths)]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([x, *kernels])
            y = x
            for kernel in kernels:
                y = tf.matmul(y, kernel)
        return tape.gradient(y, [x, *kernels])

    return median_seconds(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=zoo_speed.OF_HISTORIES)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=6, help="timed ones of a model")
    args = parser.parse_args()
    console = Console()

    table = Table("model", *(f"{n}: ms (steps/s)" for n in LENGTHS), "1000 / 50")
    for name in track(args.models, "models"):
        times = [milliseconds(name, n, args.batch, args.steps) for n in LENGTHS]
        cells = [f"{ms:.1f} ({1e3 / ms:.1f})" for ms in times]
        table.add_row(name, *cells, f"{times[-1] / times[0]:.1f}")
        print(name, *cells, flush=True)
    console.print(table)

    rate = gemm_rate()
    table = Table("unit", "length", "ms", "its products", "ratio", "at the GEMM rate")
    flops = 6 * sum(a * b for a, b in itertools.pairwise((8 * DIM, *UNIT, 1)))
    for activation, length in itertools.product(("sigmoid", "dice"), LENGTHS):
        unit = activation_unit(activation, length, args.batch)
        products = unit_products(length, args.batch)
        table.add_row(
            activation,
            str(length),
            f"{1e3 * unit:.1f}",
            f"{1e3 * products:.1f}",
            f"{unit / products:.2f}",
            f"{1e3 * flops * args.batch * length / rate:.1f}",
        )
    console.print(table)
    console.print(f"Square products: {rate / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
