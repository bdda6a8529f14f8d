"""Kills training, saving and indexing at random moments, and looks at what is left.

python -m tests.kill --kills 5 --seed 0

A child trains a model with `Resume`, and after each step saves the model, its pipeline
or its index. It is killed, what it left must load, and it is started again until it
ends: with the weights of a child that nobody killed.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

READY, ROWS, BATCH, EPOCHS = "ready", 400, 32, 6


def child(folder: Path) -> None:
    """Trains, and saves all the time."""
    import keras

    import recsys
    from recsys.data import Categorical, FeaturePipeline, Numeric
    from recsys.rank.deepfm import deepfm
    from recsys.serving.exact_index import ExactIndex
    from recsys.train.callbacks import Resume

    rng = np.random.default_rng(0)
    rows = {
        "user": rng.integers(0, 40, ROWS),
        "item": rng.integers(0, 90, ROWS),
        "price": rng.normal(size=ROWS),
        "click": rng.integers(0, 2, ROWS),
    }
    columns = [Categorical("user"), Categorical("item"), Numeric("price")]
    pipeline = FeaturePipeline(columns, ["click"]).fit(rows)
    keras.utils.set_random_seed(1)
    task = recsys.Task("click")
    model = deepfm(pipeline.fields(4), task=task, hidden_units=(8,), dropout=0.2)
    model.compile(
        "adam",
        "binary_crossentropy",
        metrics=[keras.metrics.AUC(num_thresholds=20, name="auc")],
    )
    index = ExactIndex(rng.normal(size=(300, 8)))
    saves = [
        lambda: model.save(folder / "model.keras"),
        lambda: model.save_weights(folder / "model.weights.h5"),
        lambda: pipeline.save(folder / "pipeline"),
        lambda: index.save(folder / "index"),
    ]

    class Saves(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            saves[batch % len(saves)]()

    print(READY, flush=True)
    history = model.fit(
        pipeline.dataset(rows, BATCH, shuffle=True),
        epochs=EPOCHS,
        verbose=0,
        callbacks=[Saves(), Resume(folder / "state", save_freq=3)],
    )
    weights = {f"w{i}": each for i, each in enumerate(model.variables)}
    np.savez(folder / "end", loss=history.history["loss"], **weights)


def run(folder: Path, after: float | None) -> float:
    """Runs a child, kills it some seconds after its start; returns how long it ran."""
    command = [sys.executable, "-m", "tests.kill", "--child", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        if READY not in process.stdout.readline():
            raise RuntimeError(process.stderr.read())
        start = time.monotonic()
        if after is None:
            _, errors = process.communicate()
            if process.returncode:
                raise RuntimeError(errors)
        else:
            time.sleep(after)
            process.send_signal(signal.SIGKILL)
        return time.monotonic() - start


def look(folder: Path) -> None:
    """Loads all that a killed child left."""
    import recsys
    from recsys.data import FeaturePipeline
    from recsys.serving.index import load_index

    for name, load in (
        ("model.keras", recsys.load_model),
        ("pipeline", FeaturePipeline.load),
        ("index", load_index),
    ):
        path = folder / name
        if path.is_file() or (path / "pipeline.yaml").exists():
            load(path)


def kill(kills: int, seed: int) -> int:
    """Kills children so many times; returns how many ended as one that was not."""
    rng = random.Random(seed)
    ends = 0
    with tempfile.TemporaryDirectory() as parent:
        whole = Path(parent) / "whole"
        whole.mkdir()
        seconds = run(whole, None)
        wanted = np.load(whole / "end.npz")
        while kills > 0:
            folder = Path(parent) / f"killed-{ends}"
            folder.mkdir()
            for _ in range(min(kills, 5)):
                kills -= 1
                run(folder, rng.uniform(0, seconds))
                look(folder)
                if (folder / "end.npz").exists():
                    break
            else:
                run(folder, None)
            found = np.load(folder / "end.npz")
            for name in wanted.files:
                np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
            left = [each.name for each in folder.glob(".*.recsys-*")]
            assert len(left) <= 1, left  # of the last kill, until the next save
            ends += 1
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.child)
        return
    start = time.monotonic()
    ends = kill(arguments.kills, arguments.seed)
    print(
        f"killed {arguments.kills} times (seed {arguments.seed}): all that was left "
        f"loads, and {ends} trainings ended as the one that nobody killed, to the "
        f"bit; {time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
