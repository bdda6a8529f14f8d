"""How long it takes until something happens: the command line, and the first step.

    python benchmarks/startup.py [--runs 11]

`recsys --help` and `recsys models` are processes of their own; so is `python -c pass`,
which is in both. Medians.

DeepFM on rows shaped like Criteo, see `criteo_like.py`, is trained for two epochs with
validation, both with a last batch that is not full, and used to predict, again with
such a batch: from arrays, and from datasets of a `FeaturePipeline`, in memory and
streamed. `traces` are the times that TensorFlow runs a step in Python to compile it,
once in all for each kind of step. The first step of `fit` is that trace and little
else; a step that traced again would show as the slowest of the others.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import claim, median_seconds

ROWS, BATCH = 20_000, 4096


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=11)
    options = parser.parse_args()
    taken = {}
    recsys = str(Path(sys.executable).with_name("recsys"))
    python = [sys.executable, "-c", "pass"]
    for command in (python, [recsys, "--help"], [recsys, "models"]):
        name = " ".join([Path(command[0]).name, *command[1:]])
        taken[name] = median_seconds(lambda c=command: run(c), options.runs)
        print(f"{name}: {taken[name]:.3f} s")
    claim("recsys --help", taken["recsys --help"], at_most=0.3, unit="s")
    training()


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def training() -> None:
    start = time.perf_counter()
    import criteo_like as criteo

    from recsys.data import Categorical, FeaturePipeline, Numeric
    from recsys.rank.deepfm import deepfm
    from recsys.train.model import Model

    print(f"importing TensorFlow and Keras: {time.perf_counter() - start:.2f} s")
    x, y = criteo.rows(criteo.SMALLEST, 1 + ROWS // BATCH)
    table = {name: column[:ROWS] for name, column in {**x, "ctr": y}.items()}
    columns = [(Numeric if name[0] == "n" else Categorical)(name) for name in x]
    pipeline = FeaturePipeline(columns, labels=["ctr"]).fit(table)

    traces: Counter[str] = Counter()
    for name in ("train_step", "test_step", "predict_step"):
        count(Model, name, traces)
    arrays = {name: table[name] for name in x}
    feeds: dict[str, tuple[Any, ...]] = {"arrays": (arrays, table["ctr"])}
    for streaming in (False, True):
        data = pipeline.dataset(table, BATCH, shuffle=True, streaming=streaming)
        feeds["streamed" if streaming else "dataset in memory"] = (data,)
    for feed, data in feeds.items():
        traces.clear()
        start = time.perf_counter()
        fields = criteo.fields() if feed == "arrays" else pipeline.fields(criteo.DIM)
        model = deepfm(fields, hidden_units=criteo.UNITS)
        model.compile(criteo.OPTIMIZER, "binary_crossentropy", metrics=["auc"])
        clock = criteo.Clock()
        built = time.perf_counter()
        size = {"batch_size": BATCH} if feed == "arrays" else {}
        valid = data if len(data) > 1 else data[0]
        model.fit(
            *data, **size, epochs=2, validation_data=valid, verbose=0, callbacks=[clock]
        )
        model.predict(data[0], BATCH, verbose=0)
        of_first_epoch = np.diff(clock.ends)[: ROWS // BATCH]
        print(
            f"{feed}: built in {built - start:.2f} s, first step after "
            f"{clock.ends[0] - built:.2f} s, then median "
            f"{np.median(of_first_epoch):.3f} s, slowest {of_first_epoch.max():.3f} s"
        )
        claim(f"most traces of a step, {feed}", max(traces.values()), at_most=1)


def count(model: Any, name: str, traces: Counter[str]) -> None:
    """Counts how often a method of a class is run in Python."""
    step = getattr(model, name)

    def counted(self: Any, *args: Any) -> Any:
        traces[name] += 1
        return step(self, *args)

    setattr(model, name, counted)


if __name__ == "__main__":
    main()
