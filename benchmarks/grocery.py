"""What histories add on grocery reviews: GAUC against a model without them.

    python benchmarks/grocery.py FOLDER [model ...] [--seeds 3] [--epochs 6]

FOLDER holds `train.csv.gz` (user_id, item_id, time) and `item_meta.csv.gz` (item_id,
i_category), tab-separated: Amazon Grocery and Gourmet Food as ReChorus prepares it.

Protocol. A user's last event (by time, then item) is the test positive, with 50 other
items drawn alike from those the user never touched; the event before it, of every
third user, is the validation positive, likewise. Each earlier event but the user's
first is a training positive, with one such negative. A row's history are the last 20
of the user's events, without the test event, with a strictly earlier time: item,
category, age and session (a week's gap). No history holds its target. GAUC is the mean
over users of the AUC of the positive among its negatives.

All models get the same fields (user, item, category, histories) of dim 16, the same
rows, Adam at 0.001, batches of 1024, and stop where validation GAUC does not rise any
more. BST's heads must divide the width and its MLP is that of the others; CAN's weights
of an item are as many as dim: with more of them it learns the rows by heart. The
baseline is a DeepFM without histories. Prints mean and standard deviation over seeds of
the weights.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow.csv
from rich.console import Console
from rich.table import Table
from zoo_speed import OF_HISTORIES

from recsys import Field, Task, create_model
from recsys.data import Categorical, FeaturePipeline, History
from recsys.metrics.gauc import gauc

BASELINE = "deepfm"
LENGTH, TEST_NEGATIVES, WEEK = 20, 50, 7 * 24 * 3600
KWARGS = {
    "bst": {"num_heads": 2, "hidden_units": (100, 64)},
    "can": {"units": (4, 4)},  # 16 weights of an item, as wide as the other tables
}


def read(path: Path) -> dict[str, np.ndarray]:
    options = pyarrow.csv.ParseOptions(delimiter="\t")
    table = pyarrow.csv.read_csv(path, parse_options=options)
    return {name: table[name].to_numpy() for name in table.column_names[:3]}


def with_negatives(
    positives: np.ndarray, touched: np.ndarray, num_items: int, num: int, seed: int
) -> np.ndarray:
    """Returns `(len(positives), num)` items that the row's user never touched."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, num_items, (len(positives), num))
    while (again := np.isin(positives[:, None] * num_items + drawn, touched)).any():
        drawn[again] = rng.integers(0, num_items, again.sum())
    return drawn


def split(folder: Path) -> tuple[dict, dict, dict, dict]:
    """Returns all events but the last ones, and rows to train, validate and test."""
    log, meta = read(folder / "train.csv.gz"), read(folder / "item_meta.csv.gz")
    order = np.lexsort((log["item_id"], log["time"], log["user_id"]))
    user, time = log["user_id"][order], log["time"][order]
    catalogue = np.unique(log["item_id"])
    item = np.searchsorted(catalogue, log["item_id"][order])
    by_item = dict(zip(meta["item_id"], meta["i_category"], strict=True))
    category = np.array([by_item[i] for i in catalogue])
    first = np.r_[True, user[1:] != user[:-1]]
    last = np.r_[first[1:], True]
    before = np.r_[last[1:], False]
    touched = np.unique(user * len(catalogue) + item)

    def columns(users, items, times):
        return {
            "user_id": users,
            "item_id": items,
            "category": category[items],
            "time": times,
        }

    def rows(chosen, num, seed):
        negatives = with_negatives(user[chosen], touched, len(catalogue), num, seed)
        items = np.concatenate([item[chosen][:, None], negatives], axis=1)
        users, times = (np.repeat(c[chosen], 1 + num) for c in (user, time))
        labels = np.zeros(items.shape)
        labels[:, 0] = 1
        return {**columns(users, items.ravel(), times), "label": labels.ravel()}

    events = columns(*(c[~last] for c in (user, item, time)))
    return (
        events,
        rows(~first & ~before & ~last, 1, 0),
        rows(before & (user % 3 == 0), TEST_NEGATIVES, 1),
        rows(last, TEST_NEGATIVES, 2),
    )


def build(name: str, fields: list[Field]) -> keras.Model:
    if name == BASELINE:
        plain = [field for field in fields if field.belong != "history"]
        return create_model(name, plain, task=Task("label"))
    return create_model(name, fields, task=Task("label"), **KWARGS.get(name, {}))


def score(model: keras.Model, dataset, rows: dict) -> float:
    predicted = model.predict(dataset, verbose=0)[:, 0]
    return gauc(rows["label"], predicted, groups=rows["user_id"])


def trained(model, fed, valid, test, args) -> tuple[float, int]:
    """Trains; returns the test GAUC of the best epoch by validation, and that epoch."""
    best, weights, epoch = 0.0, None, 0
    for i in range(1, args.epochs + 1):
        model.fit(fed, epochs=1, verbose=0)
        found = score(model, *valid)
        if found <= best:
            break
        best, weights, epoch = found, model.get_weights(), i
    model.set_weights(weights)
    return score(model, *test), epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=OF_HISTORIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="most")
    args = parser.parse_args()

    events, train, valid, test = split(args.folder)
    history = History(
        "bought",
        of=["item_id", "category"],
        length=LENGTH,
        user="user_id",
        time="time",
        ages=32,
        session_gap=WEEK,
    )
    pipeline = FeaturePipeline(
        [
            Categorical("user_id"),
            Categorical("item_id", belong="item"),
            Categorical("category", belong="item"),
            history,
        ],
        labels=["label"],
    ).fit(train)
    fields = pipeline.fields(dim=16)
    fed = pipeline.dataset(train, 1024, events=events, shuffle=True, seed=0)
    validated, tested = (
        pipeline.dataset(rows, 8192, events=events) for rows in (valid, test)
    )
    console = Console()
    console.print(
        f"{len(train['label']):,} training rows, {len(test['label']):,} test rows of "
        f"{len(test['label']) // (1 + TEST_NEGATIVES):,} users"
    )
    found = {}
    for name in (BASELINE, *args.models):
        for seed in range(args.seeds):
            keras.utils.set_random_seed(seed)
            model = build(name, fields)
            model.compile("adam", "binary_crossentropy")
            value, epoch = trained(model, fed, (validated, valid), (tested, test), args)
            found.setdefault(name, []).append(value)
            print(f"{name}, seed {seed}: GAUC {value:.4f} ({epoch})", flush=True)

    table = Table("model", "GAUC", "deviation", f"over {BASELINE} without histories")
    base = np.mean(found[BASELINE])
    for name, values in sorted(found.items(), key=lambda pair: -np.mean(pair[1])):
        gain = np.mean(values) - base
        table.add_row(
            name, f"{np.mean(values):.4f}", f"{np.std(values):.4f}", f"{gain:+.4f}"
        )
    console.print(table)


if __name__ == "__main__":
    main()
