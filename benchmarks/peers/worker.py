"""How contenders are timed: each in a process and environment of its own.

A contender is started with a file of rows. For each line of its input it trains one
step more than the line says, and prints as JSON the seconds of each step but the first,
which is warming up, and the mean loss of all. Between lines it waits, so that one
contender at a time has the machine.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

BATCH, DIM, UNITS = 4096, 16, (400, 400, 400)
LEARNING_RATE = 0.001  # of Adam

Timed = tuple[list[float], float]


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Ids `(rows, fields)`, numbers `(rows, fields)`, labels, and sizes of tables."""
    with np.load(sys.argv[1]) as file:
        return file["ids"], file["numbers"], file["labels"], file["sizes"].tolist()


def columns(ids: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The fields by name, `c0` and on for ids, `n0` and on for numbers."""
    named = {f"c{i}": column.copy() for i, column in enumerate(ids.T)}
    return named | {f"n{i}": column.copy() for i, column in enumerate(numbers.T)}


def serve(run: Callable[[int], Timed]) -> None:
    """Answers the lines of the input; `run` trains as many steps as it is told."""
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, loss = run(int(line))
        print(json.dumps({"seconds": seconds, "loss": loss}), flush=True)


def in_steps(step: Callable[[int], float], num_rows: int) -> Callable[[int], Timed]:
    """Trains by a function of the number of the batch that returns its loss."""
    taken = 0

    def run(steps: int) -> Timed:
        nonlocal taken
        seconds, losses = [], []
        for _ in range(steps + 1):
            start = time.perf_counter()
            losses.append(step(taken % (num_rows // BATCH)))
            seconds.append(time.perf_counter() - start)
            taken += 1
        return seconds[1:], float(np.mean(losses))

    return run


def by_fit(model, x: dict[str, np.ndarray], y: np.ndarray) -> Callable[[int], Timed]:
    """Trains by the `fit` of a compiled Keras model, Keras 2 or 3, on TensorFlow."""
    import tensorflow as tf

    tensors, labels = {k: tf.constant(v) for k, v in x.items()}, tf.constant(y[:, None])
    data = tf.data.Dataset.range(0, len(y) - BATCH + 1, BATCH).repeat()
    data = data.map(
        lambda i: (
            {k: v[i : i + BATCH] for k, v in tensors.items()},
            labels[i : i + BATCH],
        )
    ).prefetch(1)
    skipped = 0
    ends: list[float] = []
    clock = tf.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )

    def run(steps: int) -> Timed:
        nonlocal skipped
        ends.clear()
        some = data.skip(skipped).take(steps + 1)
        history = model.fit(some, verbose=0, shuffle=False, callbacks=[clock]).history
        skipped = (skipped + steps + 1) % (len(y) // BATCH)
        return list(np.diff(ends)), float(history["loss"][0])

    return run
