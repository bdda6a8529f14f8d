"""Test AUC of ranking models on Frappe, with the settings that BARS publishes.

    python benchmarks/frappe.py FOLDER [model ...] [--seeds 3]

FOLDER holds `train.csv.gz`, `valid.csv.gz` and `test.csv.gz` of Frappe_x1. Beside ours
stand the test AUC of FuxiCTR 2.3.10 on the same files and settings (one seed) and that
of BARS on the original split, both as the folder's REFERENCE.md has them.

Common to all: dim 10, batches of 4096, Adam at 0.001 with epsilon 1e-8, clipped at 10,
tables from normal(0, 0.0001), L2 on the whole tables, those of the first order too.
Validation by AUC after each epoch: without gain the rate is cut by ten, twice in a row
ends the training, and the weights of the best epoch are tested.
"""

import argparse
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
from rich.console import Console
from rich.table import Table

from recsys import Field, Task, create_model, metrics
from recsys.data import Categorical, FeaturePipeline

DIM, BATCH = 10, 4096

Rows = tuple[dict[str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """L2 of the tables, arguments, most epochs, and the AUC of FuxiCTR and BARS."""

    l2: float
    kwargs: dict[str, Any] = field(default_factory=dict)
    epochs: int = 100
    fuxictr: float | None = None
    bars: float | None = None


MLP = {"hidden_units": (400, 400, 400), "use_bn": True}
SETTINGS = {
    "lr": Settings(1e-5, {}, 100, 0.9354, 0.9356),
    "fm": Settings(5e-6, {}, 100, 0.9704, 0.9671),
    "fwfm": Settings(5e-6, {"linear": "feature"}, 100, 0.9791, 0.9776),
    "nfm": Settings(1e-4, {**MLP, "use_bn": False, "dropout": 0.4}, 200, None, 0.9804),
    "wide_deep": Settings(0.1, {**MLP, "dropout": 0.6}, 100, 0.9837, 0.9841),
    "deepfm": Settings(0.05, {**MLP, "dropout": 0.2}, 100, 0.9844, 0.9842),
    "dcn": Settings(0.05, {**MLP, "layer_num": 4, "dropout": 0.4}, 100, 0.9844, 0.9845),
    "xdeepfm": Settings(
        0.1, {**MLP, "cin_units": (64,), "dropout": 0.2}, 100, 0.9842, 0.9845
    ),
    "masknet": Settings(
        0.1,
        {**MLP, "use_bn": False, "block_units": (50, 50, 50), "dropout": 0.1},
        100,
        0.9826,
        0.9837,
    ),
    "finalmlp": Settings(
        0.05,
        {
            "hidden_units": (400,),
            "second_hidden_units": (100,),
            "use_bn": True,
            "dropout": 0.4,
            "gate_fields": (("user",), ("item",)),
            "gate_hidden_units": (400,),
            "num_heads": 5,
        },
        100,
        0.9854,
        0.9861,
    ),
    "autoint": Settings(
        0.1,
        {**MLP, "num_layers": 5, "num_heads": 4, "head_dim": 32, "dropout": 0.1},
        100,
        None,
        0.9848,
    ),
    "fibinet": Settings(
        0.05,
        {**MLP, "reduction_ratio": 2, "bilinear_type": "all", "dropout": 0.3},
        100,
        None,
        0.9832,
    ),
    "gdcn": Settings(0.05, {**MLP, "num_layers": 4, "dropout": 0.4}),
}


def read(folder: Path, *parts: str) -> tuple[FeaturePipeline, list[Rows]]:
    """Returns the pipeline fitted on the first part, and the parts it makes."""
    tables = [pa.csv.read_csv(folder / f"{part}.csv.gz") for part in parts]
    names = [name for name in tables[0].column_names if name != "label"]
    columns = [
        Categorical(name, belong="item" if name == "item" else "user") for name in names
    ]
    pipeline = FeaturePipeline(columns, labels=["label"]).fit(tables[0])
    rows = []
    for table in tables:
        x = pipeline.transform(table)
        ids = {name: x[name].to_numpy() for name in names}
        rows.append((ids, x["label"].to_numpy().astype("float32")))
    return pipeline, rows


def with_settings(pipeline: FeaturePipeline, l2: float) -> list[Field]:
    """The fields, with the initializer and the penalty of the settings."""
    start = keras.initializers.RandomNormal(stddev=1e-4)
    penalty = keras.regularizers.L2(l2 / 2)
    return [
        replace(field, regularizer=penalty, initializer=start)
        for field in pipeline.fields(dim=DIM)
    ]


def compiled(name: str, fields: list[Field], settings: Settings) -> keras.Model:
    model = create_model(name, fields, task=Task("label"), **settings.kwargs)
    optimizer = keras.optimizers.Adam(0.001, epsilon=1e-8, global_clipnorm=10.0)
    model.compile(optimizer, "binary_crossentropy", metrics=[metrics.AUC()])
    return model


def slower() -> keras.callbacks.Callback:
    """Cuts the rate by ten after an epoch without gain."""
    return keras.callbacks.ReduceLROnPlateau(
        "val_auc", 0.1, patience=1, mode="max", min_delta=1e-6, min_lr=1e-6
    )


def run(name: str, fields: list[Field], parts: list[Rows], seed: int) -> float:
    """Returns the test AUC."""
    keras.utils.set_random_seed(seed)
    settings = SETTINGS[name]
    model = compiled(name, fields, settings)
    stop = keras.callbacks.EarlyStopping(
        "val_auc", 1e-6, patience=2, mode="max", restore_best_weights=True
    )
    train, valid, test = parts
    start = time.perf_counter()
    seen = model.fit(
        *train,
        batch_size=BATCH,
        epochs=settings.epochs,
        validation_data=valid,
        callbacks=[slower(), stop],
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    auc = model.evaluate(*test, batch_size=BATCH, verbose=0, return_dict=True)["auc"]
    print(
        f"{name}, seed {seed}: {len(seen['val_auc'])} epochs in {seconds:.0f} s, "
        f"validation {max(seen['val_auc']):.4f}, test {auc:.4f}",
        flush=True,
    )
    return float(auc)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=[*SETTINGS])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()

    pipeline, parts = read(args.folder, "train", "valid", "test")
    table = Table(title="test AUC, mean and deviation of seeds")
    for column in ("model", "ours", "±", "FuxiCTR", "BARS", "within a deviation"):
        table.add_column(column)
    for name in args.models:
        settings = SETTINGS[name]
        fields = with_settings(pipeline, settings.l2)
        aucs = [run(name, fields, parts, seed) for seed in range(args.seeds)]
        mean, deviation = np.mean(aucs), np.std(aucs, ddof=1) if aucs[1:] else 0.0
        reached = ""
        if settings.fuxictr is not None:
            reached = "yes" if mean + deviation >= settings.fuxictr else "no"
        table.add_row(
            name,
            f"{mean:.4f}",
            f"{deviation:.4f}",
            *(
                "" if x is None else f"{x:.4f}"
                for x in (settings.fuxictr, settings.bars)
            ),
            reached,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
