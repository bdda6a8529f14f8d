"""Which items a user takes: match models on MovieLens-1M, the published split "m1".

    python benchmarks/retrieval.py FOLDER [model ...] [--validate] [--seeds 1]

FOLDER holds `train.txt.gz` and `test.txt.gz`: `user item item ...` a line. All items
but those of the user's training are ranked; Recall@20 and NDCG@20 are means over the
users with test items. Beside them stand the numbers that the authors of UltraGCN and
SimpleX publish for this split, the most popular items, and EASE (Steck, WWW 2019,
https://arxiv.org/abs/1905.03375): a closed form of one matrix, which a model that
learns must be held against.

A row is a user and one of the training items, its history LENGTH random others of the
user's training items (the files tell no order), so that no history holds its target;
a tested user's history are random ones of all. `lightgcn` has its graph instead.

The published validation part is not in the files. Settings were chosen with
`--validate`: a tenth of each user's training items validates, the rest trains. The
learning rate falls to 0 over the epochs, as a cosine, and the last weights are tested:
nothing is chosen by the test part. (The numbers published for SimpleX are of the epoch
that was best on the test part; their log says so.)
"""

import argparse
import gzip
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from recsys import Field, create_model
from recsys.metrics import ndcg, recall
from recsys.train.callbacks import CatalogueMetrics

K, LENGTH = 20, 100
PUBLISHED = {
    "NGCF": (0.2513, 0.2511),
    "lightgcn": (0.2576, 0.2427),
    "UltraGCN": (0.2787, 0.2642),
    "simplex": (0.2802, 0.2670),
}


class Settings(NamedTuple):
    kwargs: dict[str, Any]
    dim: int = 64
    batch_size: int = 4096
    learning_rate: float = 1e-3
    epochs: int = 20
    l2_reg: float = 0.0  # of the tables


SETTINGS = {
    "youtube_dnn": Settings(
        {
            "hidden_units": (256,),
            "num_negatives": None,
            "normalize": True,
            "temperature": 0.14,
        },
        dim=128,
        learning_rate=3e-3,
        epochs=6,
    ),
    "two_tower": Settings(
        {"hidden_units": (256,), "num_negatives": 1000, "temperature": 0.14},
        dim=128,
        batch_size=2048,
        learning_rate=3e-3,
        epochs=5,
    ),
    # The authors' margin 0.9 and dropout 0.4 need their biases of users and items.
    "simplex": Settings(
        {
            "gamma": 0.8,
            "margin": 0.9,
            "negative_weight": 10.0,
            "num_negatives": None,
            "use_bias": True,
            "dropout": 0.4,
        },
        dim=128,
        learning_rate=2e-3,
        epochs=8,
    ),
    "lightgcn": Settings(
        {
            "num_layers": 2,
            "loss": "softmax",
            "num_negatives": None,
            "temperature": 0.14,
            "normalize": True,
            "l2_reg": 0.0,
        },
        dim=256,
        batch_size=16384,
        learning_rate=0.03,
        epochs=12,
    ),
}
EASE_L2 = 1000.0

Lists = list[np.ndarray]


def read(path: Path) -> Lists:
    """Items of each user; ids from 1."""
    with gzip.open(path, "rt") as file:
        return [np.array(line.split()[1:], int) + 1 for line in file]


def held_out(train: Lists) -> tuple[Lists, Lists]:
    """Cuts a random tenth of each user's items off."""
    random = np.random.default_rng(0)
    mixed = [random.permutation(items) for items in train]
    return [m[len(m) // 10 :] for m in mixed], [m[: len(m) // 10] for m in mixed]


def fields(num_users: int, num_items: int, settings: Settings) -> list[Field]:
    table: dict[str, Any] = {"dim": settings.dim, "l2_reg": settings.l2_reg}
    return [
        Field("user", vocabulary_size=num_users + 1, **table),
        Field("item", vocabulary_size=num_items + 1, belong="item", **table),
        Field("seen", belong="history", length=LENGTH, emb="item"),
    ]


def of_pairs(train: Lists) -> dict[str, np.ndarray]:
    """One row for each training item, with others of the same user."""
    random = np.random.default_rng(1)
    seen = np.zeros((sum(map(len, train)), LENGTH), "int32")
    end = 0
    for items in train:
        others = random.permutation(len(items) - 1)[:LENGTH] + 1
        place = (np.arange(len(items))[:, None] + others) % len(items)
        seen[end : end + len(items), : len(others)] = items[place]
        end += len(items)
    user = np.repeat(np.arange(1, len(train) + 1), [*map(len, train)])
    return {"user": user, "item": np.concatenate(train), "seen": seen}


def of_users(train: Lists) -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    seen = np.zeros((len(train), LENGTH), "int32")
    for row, items in zip(seen, train, strict=True):
        some = random.permutation(items)[:LENGTH]
        row[: len(some)] = some
    return {"user": np.arange(1, len(train) + 1), "seen": seen}


def quality(ids: np.ndarray, relevant: Lists) -> tuple[float, float]:
    csr = np.cumsum([0, *map(len, relevant)]), np.concatenate(relevant)
    return recall(csr, ids, k=K), ndcg(csr, ids, k=K)


def best_of(scores: np.ndarray, train: Lists) -> np.ndarray:
    """The K best ids of each row of scores by id, without the user's own and 0."""
    scores = scores.copy()
    scores[:, 0] = -np.inf
    for row, items in zip(scores, train, strict=True):
        row[items] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def as_matrix(train: Lists, num_items: int) -> np.ndarray:
    x = np.zeros((len(train), num_items + 1), "float32")
    for row, items in zip(x, train, strict=True):
        row[items] = 1
    return x


def ease(x: np.ndarray, l2: float) -> np.ndarray:
    """Scores x B of the B without diagonal nearest to x = x B (eq. 8)."""
    p = np.linalg.inv(x.T.astype(float) @ x + l2 * np.eye(x.shape[1]))
    b = p / -np.diag(p)
    np.fill_diagonal(b, 0)
    return x @ b


def run(
    name: str, train: Lists, relevant: Lists, num_items: int, seed: int, args
) -> tuple[float, float]:
    keras.utils.set_random_seed(seed)
    settings = SETTINGS[name]
    kwargs, batch_size = settings.kwargs, settings.batch_size
    epochs = args.epochs or settings.epochs
    x = of_pairs(train)
    if name == "lightgcn":
        kwargs = {**kwargs, "interactions": (x["user"], x["item"])}
    model = create_model(name, fields(len(train), num_items, settings), **kwargs)
    steps = epochs * -(-len(x["item"]) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    model.compile(keras.optimizers.Adam(schedule))
    users = of_users(train)
    seen = CatalogueMetrics(users, relevant, exclude=train, k=K)
    start = time.perf_counter()
    model.fit(
        x,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[seen] if args.validate else [],
        verbose=2,
    )
    seconds = time.perf_counter() - start
    found = quality(model.recommend(users, K, train)[0], relevant)
    print(
        f"{name}, seed {seed}: {seconds:.0f} s, "
        f"Recall@{K} {found[0]:.4f}, NDCG@{K} {found[1]:.4f}",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="default: of SETTINGS")
    args = parser.parse_args()
    train, relevant = (read(args.folder / f"{p}.txt.gz") for p in ("train", "test"))
    num_items = max(items.max() for items in (*train, *relevant) if len(items))
    if args.validate:
        train, relevant = held_out(train)
    x = as_matrix(train, num_items)
    popular = np.tile(x.sum(axis=0), (len(x), 1))
    results = {
        "most popular": [quality(best_of(popular, train), relevant)],
        "EASE": [quality(best_of(ease(x, EASE_L2), train), relevant)],
    }
    if args.validate:
        for l2 in (100, 200, 500, 1000, 2000):
            found = quality(best_of(ease(x, l2), train), relevant)
            print(f"EASE, l2 {l2}: Recall@{K} {found[0]:.4f}, NDCG@{K} {found[1]:.4f}")
    for name in args.models or SETTINGS:
        results[name] = [
            run(name, train, relevant, num_items, seed, args)
            for seed in range(args.seeds)
        ]
    table = Table(title="validation" if args.validate else "test")
    for column in ("model", f"Recall@{K}", f"NDCG@{K}", "published"):
        table.add_column(column)
    for name in {**results, **PUBLISHED}:
        cells = ["", ""]
        if name in results:
            mean, std = np.mean(results[name], axis=0), np.std(results[name], axis=0)
            cells = [f"{m:.4f} ± {s:.4f}" for m, s in zip(mean, std, strict=True)]
        known = PUBLISHED.get(name)
        cells.append(" / ".join(f"{v:.4f}" for v in known) if known else "")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
