"""Seconds until DeepFM's validation AUC is 0.984 on Frappe, ours and FuxiCTR's.

    python benchmarks/frappe.py FOLDER [--seeds 3] [--target 0.984]

FOLDER holds `train.csv.gz` and `valid.csv.gz` of Frappe_x1. Both libraries read the
ids that our pipeline makes of them, from memory and from parquet each as it does by
itself. Settings are those BARS publishes for DeepFM on this split: dim 10, MLP
400-400-400 with batch norm and dropout of 0.2, Adam at 0.001, batches of 4096, gradient
norm clipped at 10, L2 of 0.05 on embeddings, tables from normal(0, 0.0001); after an
epoch without gain of validation AUC the rate is cut by ten. FuxiCTR's L2 is on whole
tables, ours on the rows of the batch.

The clock runs from `fit` to the end of the validation that reaches the target,
compilation and all validations before included; the libraries take turns.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from machine import claim
from training_speed import ENVIRONMENTS, HERE

from recsys import Field, Task, metrics
from recsys.data import Categorical, FeaturePipeline
from recsys.rank.deepfm import deepfm

DIM, BATCH, L2, MOST_EPOCHS = 10, 4096, 0.05, 40


class Until(keras.callbacks.Callback):
    """Stops at the target and says when that was."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target = target

    def on_train_begin(self, logs=None) -> None:
        self.start, self.aucs = time.perf_counter(), []

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.aucs.append(logs["val_auc"])
        self.seconds = time.perf_counter() - self.start
        self.model.stop_training = logs["val_auc"] >= self.target


def ours(fields: list[Field], train, valid, target: float, seed: int) -> dict:
    keras.utils.set_random_seed(seed)
    model = deepfm(
        fields, None, Task("label"), (400, 400, 400), use_bn=True, dropout=0.2
    )
    model.compile(
        keras.optimizers.Adam(0.001, global_clipnorm=10.0),
        "binary_crossentropy",
        metrics=[metrics.AUC()],
    )
    slower = keras.callbacks.ReduceLROnPlateau(
        "val_auc", 0.1, patience=1, mode="max", min_delta=1e-6, min_lr=1e-6
    )
    until = Until(target)
    model.fit(
        *train,
        batch_size=BATCH,
        epochs=MOST_EPOCHS,
        validation_data=valid,
        callbacks=[slower, until],
        verbose=0,
    )
    return {"seconds": until.seconds, "aucs": until.aucs}


def fuxictr(folder: Path, sizes: dict[str, int], target: float, seed: int) -> dict:
    python = ENVIRONMENTS / "torch" / "bin" / "python"
    told = subprocess.run(
        [
            python,
            "fuxictr_frappe.py",
            folder,
            json.dumps(sizes),
            f"{target}",
            f"{seed}",
        ],
        cwd=HERE / "peers",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return json.loads(told.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target", type=float, default=0.984)
    args = parser.parse_args()

    read = {
        part: pa.csv.read_csv(args.folder / f"{part}.csv.gz")
        for part in ("train", "valid")
    }
    names = [name for name in read["train"].column_names if name != "label"]
    columns = [
        Categorical(name, belong="item" if name == "item" else "user") for name in names
    ]
    pipeline = FeaturePipeline(columns, labels=["label"]).fit(read["train"])
    start = keras.initializers.RandomNormal(stddev=1e-4)
    fields = [
        replace(field, l2_reg=L2, counts=None, initializer=start)
        for field in pipeline.fields(dim=DIM)
    ]
    sizes = {field.name: field.vocabulary_size for field in fields}
    parts = {}
    found: dict[str, list[dict]] = {"ours": [], "FuxiCTR": []}
    with tempfile.TemporaryDirectory() as folder:
        for part, table in read.items():
            x = pipeline.transform(table)
            pa.parquet.write_table(x, Path(folder) / f"{part}.parquet")
            ids = {name: x[name].to_numpy() for name in names}
            parts[part] = ids, x["label"].to_numpy().astype("float32")
        for seed in range(args.seeds):
            found["ours"].append(ours(fields, *parts.values(), args.target, seed))
            run = fuxictr(Path(folder), sizes, args.target, seed)
            found["FuxiCTR"].append(run)
            for name, runs in found.items():
                aucs = runs[-1]["aucs"]
                print(
                    f"{name}, seed {seed}: {runs[-1]['seconds']:.1f} s, "
                    f"{len(aucs)} epochs, AUC {aucs[-1]:.4f}",
                    flush=True,
                )
    medians = {n: np.median([r["seconds"] for r in runs]) for n, runs in found.items()}
    reached = all(r["aucs"][-1] >= args.target for runs in found.values() for r in runs)
    print(f"all reached {args.target}: {reached}")
    claim(
        "ours over FuxiCTR, seconds to the target:",
        float(medians["ours"] / medians["FuxiCTR"]),
        at_most=0.5,
    )


if __name__ == "__main__":
    main()
