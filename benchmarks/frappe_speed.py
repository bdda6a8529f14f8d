"""Seconds until DeepFM's validation AUC is 0.984 on Frappe, ours and FuxiCTR's.

    python benchmarks/frappe_speed.py FOLDER [--seeds 3] [--target 0.984]

FOLDER and settings are those of `frappe.py`. Both libraries read the ids that our
pipeline makes of the files, from memory: ours as arrays, FuxiCTR as npz files, its
default.

The clock runs from `fit` to the end of the validation that reaches the target,
compilation and all validations before included; the libraries take turns. A seed that
does not reach it in 40 epochs counts as one that needs forever.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import frappe
import keras
import numpy as np
from machine import claim
from training_speed import ENVIRONMENTS, HERE

MODEL, MOST_EPOCHS = "deepfm", 40


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


def ours(fields, train, valid, target: float, seed: int) -> dict:
    keras.utils.set_random_seed(seed)
    model = frappe.compiled(MODEL, fields, frappe.SETTINGS[MODEL])
    until = Until(target)
    model.fit(
        *train,
        batch_size=frappe.BATCH,
        epochs=MOST_EPOCHS,
        validation_data=valid,
        callbacks=[frappe.slower(), until],
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

    parts = ("train", "valid")
    pipeline, rows = frappe.read(args.folder, *parts)
    fields = frappe.with_settings(pipeline, frappe.SETTINGS[MODEL].l2)
    sizes = {field.name: field.vocabulary_size for field in fields}
    found: dict[str, list[dict]] = {"ours": [], "FuxiCTR": []}
    with tempfile.TemporaryDirectory() as folder:
        for part, (ids, label) in zip(parts, rows, strict=True):
            np.savez(Path(folder) / f"{part}.npz", **ids, label=label)
        for seed in range(args.seeds):
            found["ours"].append(ours(fields, *rows, args.target, seed))
            run = fuxictr(Path(folder), sizes, args.target, seed)
            found["FuxiCTR"].append(run)
            for name, runs in found.items():
                seconds, aucs = runs[-1]["seconds"], runs[-1]["aucs"]
                print(
                    f"{name}, seed {seed}: {seconds:.1f} s, {len(aucs)} epochs, "
                    f"{seconds / len(aucs):.2f} s each, AUC {aucs[-1]:.4f}",
                    flush=True,
                )
                if aucs[-1] < args.target:
                    print(f"  never {args.target}, at most {max(aucs):.4f}")
                    runs[-1]["seconds"] = np.inf
    medians = {n: np.median([r["seconds"] for r in runs]) for n, runs in found.items()}
    claim(
        "ours over FuxiCTR, seconds to the target:",
        float(medians["ours"] / medians["FuxiCTR"]),
        at_most=0.5,
    )


if __name__ == "__main__":
    main()
