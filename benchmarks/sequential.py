"""Which item comes next: models of sequences and of several interests.

    python benchmarks/sequential.py beauty FOLDER [model ...] [--seeds 1] [--epochs 100]
    python benchmarks/sequential.py ml-1m FOLDER [model ...] [--seeds 3] [--epochs 30]

FOLDER holds, for `beauty`, `Beauty.txt.gz` of S3-Rec: `user item item ...`, oldest
first; for `ml-1m`, `sequences.txt.gz`, alike.

Protocol. A user's last item is the test, the one before it validates, both ranked among
all items but those in the user's history: all earlier ones, so that the validation item
is known at the test. Training stops when the validation metric has not risen for
PATIENCE epochs; the weights of the best epoch are tested. Settings were chosen by the
validation metric.

- beauty: models that learn each step of a sequence. HR@10 and NDCG@10 beside what the
  authors of S3-Rec publish for the same file and protocol.
- ml-1m: Recall@50 of models of pairs. The training rows of an epoch are ROWS_OF_USER
  random places of each user, with the LENGTH items before; the same for all models.

Prints mean and standard deviation over seeds of the weights.
"""

import argparse
import gzip
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from recsys import Field, create_model
from recsys.metrics import hit_rate, ndcg
from recsys.train.callbacks import CatalogueMetrics
from recsys.train.match_model import MatchModel

LENGTH, DIM, PATIENCE, ROWS_OF_USER = 50, 64, 5, 20
RATE, FAST = 1e-3, 1e-2  # of Adam; FAST for models of several interests
SEVERAL = ("mind", "comirec")
ALL: dict[str, Any] = {"num_negatives": None, "dropout": 0.5}  # softmax over all items
BEAUTY: dict[str, dict[str, Any]] = {
    "sasrec": {"loss": "softmax", "num_heads": 2, **ALL},
    "gru4rec": {"hidden_units": (DIM,), **ALL},
    "hstu": {"num_heads": 2, **ALL},
    "bert4rec": {**ALL, "mask_probability": 0.5},
}
PUBLISHED = {
    "most popular": (0.0152, 0.0068),
    "gru4rec": (0.0283, 0.0137),
    "bert4rec": (0.0347, 0.0170),
    "sasrec": (0.0605, 0.0318),
    "S3-Rec": (0.0647, 0.0327),
}
ML_1M: dict[str, dict[str, Any]] = {
    "two_tower": {"hidden_units": (128, DIM)},
    "youtube_dnn": {
        "hidden_units": (128, DIM),
        "normalize": True,
        "temperature": 0.1,
        "num_negatives": None,
    },
    "mind": {"num_negatives": None},
    "comirec sa": {"interests": "sa", "num_negatives": None},
    "comirec dr": {
        "interests": "dr",
        "share_positions": True,
        "num_negatives": None,
        "temperature": 0.1,
    },
}


def read(path: Path) -> list[np.ndarray]:
    """Items of each user, oldest first; ids from 1, by frequency."""
    with gzip.open(path, "rt") as file:
        users = [np.array(line.split()[1:], int) for line in file]
    items, count = np.unique(np.concatenate(users), return_counts=True)
    rank = np.empty(len(items), int)
    rank[np.argsort(-count, kind="stable")] = np.arange(1, len(items) + 1)
    return [rank[np.searchsorted(items, user)] for user in users]


def fields(num_items: int) -> list[Field]:
    history = {"belong": "history", "length": LENGTH, "emb": "item"}
    return [
        Field("item", vocabulary_size=num_items + 1, dim=DIM, belong="item"),
        Field("seen", **history),
    ]


def rows(pasts: list[np.ndarray], items: np.ndarray | None = None) -> dict:
    """Columns of histories, oldest item first, and of the items behind them."""
    seen = np.zeros((len(pasts), LENGTH), "int32")
    for row, past in zip(seen, pasts, strict=True):
        newest = past[-LENGTH:]
        row[: len(newest)] = newest
    return {"seen": seen} if items is None else {"seen": seen, "item": items}


def of_sequences(train: list[np.ndarray]) -> dict:
    """One row for each user: all steps of a history are trained."""
    return rows([items[:-1] for items in train], np.array([i[-1] for i in train]))


def of_places(train: list[np.ndarray]) -> dict:
    """Rows of random places in the sequences of users."""
    random = np.random.default_rng(0)
    chosen = [
        (items, place)
        for items in train
        for place in random.choice(
            np.arange(1, len(items)), min(ROWS_OF_USER, len(items) - 1), replace=False
        )
    ]
    return rows([i[:p] for i, p in chosen], np.array([i[p] for i, p in chosen]))


def tested(model: MatchModel, users: list[np.ndarray], k: int) -> tuple[float, float]:
    ids, _ = model.recommend(rows([u[:-1] for u in users]), k, [u[:-1] for u in users])
    relevant = np.arange(len(users) + 1), np.array([user[-1] for user in users])
    return hit_rate(relevant, ids, k=k), ndcg(relevant, ids, k=k)


def most_popular(users: list[np.ndarray], k: int) -> tuple[float, float]:
    count = np.bincount(np.concatenate([user[:-2] for user in users]))
    best = np.argsort(-count, kind="stable")
    ids = [best[~np.isin(best, u[:-1], kind="table")][:k] for u in users]
    relevant = np.arange(len(users) + 1), np.array([user[-1] for user in users])
    return hit_rate(relevant, np.array(ids), k=k), ndcg(relevant, np.array(ids), k=k)


def run(name: str, users: list[np.ndarray], k: int, seed: int, args) -> tuple:
    """Trains one model; returns its test metrics and what it took."""
    keras.utils.set_random_seed(seed)
    kind, *_ = name.split()
    kwargs = (BEAUTY if args.dataset == "beauty" else ML_1M)[name]
    model = create_model(kind, fields(max(map(max, users))), **kwargs)
    model.compile(keras.optimizers.Adam(FAST if kind in SEVERAL else RATE))
    train = [user[:-2] for user in users]
    x = of_sequences(train) if args.dataset == "beauty" else of_places(train)
    valid = CatalogueMetrics(
        rows(train), [user[-2:-1] for user in users], exclude=train, k=k
    )
    stop = keras.callbacks.EarlyStopping(
        f"val_{args.monitor}@{k}", 0, PATIENCE, 0, "max", restore_best_weights=True
    )
    start = time.perf_counter()
    history = model.fit(
        x,
        batch_size=args.batch_size,
        epochs=args.epochs,
        callbacks=[valid, stop],
        verbose=args.verbose,
    ).history
    seconds = time.perf_counter() - start
    best = stop.best_epoch
    reached = history[f"val_{args.monitor}@{k}"][best]
    print(
        f"{name}, seed {seed}: epoch {best + 1} of {len(history['loss'])}, validation "
        f"{reached:.4f}, {seconds:.0f} s",
        flush=True,
    )
    return tested(model, users, k)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=("beauty", "ml-1m"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--verbose", type=int, default=0)
    args = parser.parse_args()
    of_beauty = args.dataset == "beauty"
    args.seeds = args.seeds or (1 if of_beauty else 3)
    args.batch_size = args.batch_size or (256 if of_beauty else 512)
    args.monitor = "ndcg" if of_beauty else "recall"
    k = 10 if of_beauty else 50
    users = read(args.folder / ("Beauty.txt.gz" if of_beauty else "sequences.txt.gz"))
    names = args.models or [*(BEAUTY if of_beauty else ML_1M)]
    results = {"most popular": [most_popular(users, k)]}
    for name in names:
        results[name] = [run(name, users, k, s, args) for s in range(args.seeds)]
    # One item is relevant: the hit rate is the recall.
    table = Table(title=f"{args.dataset}, {len(users):,} users")
    for column in ("model", f"{'HR' if of_beauty else 'Recall'}@{k}", f"NDCG@{k}"):
        table.add_column(column)
    if of_beauty:
        table.add_column("published")
    for name, values in results.items():
        mean, deviation = np.mean(values, axis=0), np.std(values, axis=0)
        cells = [f"{m:.4f} ± {d:.4f}" for m, d in zip(mean, deviation, strict=True)]
        if of_beauty:
            known = PUBLISHED.get(name)
            cells.append(" / ".join(f"{v:.4f}" for v in known) if known else "")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
