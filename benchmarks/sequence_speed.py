"""Training speed of the models of histories, against the length of the history.

    python benchmarks/sequence_speed.py [model ...] [--batch 256] [--steps 6]

One history of items and categories, full, of 50, 200 and 1000 behaviours; tables of
100 thousand items and a thousand categories, dim 16 each, so a behaviour is 32 wide.
SIM and ETA attend to 50 behaviours. Adagrad on tables, Adam on the rest.

The first table has the milliseconds of a step at each length, and the last over the
first. The second is DIN's activation unit by itself, forward and backward, beside the
matrix products in it: how long they take alone, at the shapes they have, and how long
they would take at the rate of a large square product measured in the same run.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import zoo_speed
from embedding_scaling import Clock
from rich.console import Console
from rich.progress import track
from rich.table import Table

from recsys import Field, create_model
from recsys.layers.aggregation import AttentionLayer

MODELS = ("din", "dien", "dsin", "tin", "bst", "sim", "eta", "sdim", "can", "hstu_rank")
LENGTHS = (50, 200, 1000)
ITEMS, CATEGORIES, DIM = 100_000, 1_000, 16
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


def activation_unit(length: int, batch: int) -> list[str]:
    """A row of the second table."""
    layer = AttentionLayer((80, 40))
    query = tf.random.normal((batch, 2 * DIM))
    history = tf.random.normal((batch, length, 2 * DIM))
    valid = tf.ones((batch, length), tf.bool)
    layer([query, history], valid=valid)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function
    def unit():
        with tf.GradientTape() as tape:
            tape.watch([query, history])
            y = tf.reduce_sum(layer([query, history], valid=valid, training=True))
        return tape.gradient(y, [query, history, *weights])

    shapes = zoo_speed.product_shapes(unit.get_concrete_function().graph)
    products = tf.function(
        lambda: [
            tf.linalg.matmul(tf.ones(a), tf.ones(b), transpose_a=ta, transpose_b=tb)
            for a, b, ta, tb in shapes
        ]
    )
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="timed ones of a model")
    args = parser.parse_args()
