"""What sharing between tasks gains or costs: AUC against single tasks, shared bottom.

    python benchmarks/multitask.py [FOLDER] [--models ...] [--seeds 3] [--epochs 30]

Planted rows. A user has one of 12 segments, an item one of 12 categories, neither of
which the models see; a pair of them is liked or not, at random, and a label says so in
about nine of ten cases. Two tasks are asked:

- identical: both of this, each with labels of its own;
- independent: the second of other segments and categories of the same users and items;
- conflicting: the second of this, but in half of 8 places turned round: what one task
  likes there, the other dislikes.

FOLDER holds `interactions.tsv.gz`: KuaiRand-27K, rows with explicit feedback, of which
click, long view and like (against hate) are asked. The first 80 % by time train, of
these the last eighth validates, the rest tests; user, video, hour and length of the
video are known.

All models get the same rows, batches of 512, Adam at 0.005, and stop where validation
has not risen for three epochs. They have about as many weights: tables of width 24 for
each id (STEM cuts it between its sets of tables, AME in 8 and 16), linear towers, and
dense layers of the sizes below. Single tasks are a shared bottom each: twice or three
times the weights. Prints mean and standard deviation of the AUC over seeds of the
weights.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow.csv
from rich.console import Console
from rich.table import Table

from recsys import Field, Task, create_model
from recsys.data import Categorical, FeaturePipeline
from recsys.metrics.auc import auc

SINGLE, BASELINE = "single tasks", "shared_bottom"
WIDTH, TOWER = 24, ()
ARGUMENTS = {
    "shared_bottom": {"bottom_units": (24,)},
    "mmoe": {"num_experts": 4, "experts_dim": 6},
    "ple": {"num_experts": 1, "num_shared_experts": 2, "experts_dim": 6},
    "stem": {"experts_dim": 18, "gate_units": ()},
    "ame": {"times": (1, 2), "num_experts": 2, "experts_dim": 9},
    "adatt": {"num_experts": 2, "experts_dim": 6},
    "home": {"experts_dim": 6},
}
ROWS, SPLIT = 45_000, (30_000, 35_000)
SEGMENTS, PLACES, IDS = 12, 8, 100
PATIENCE = 3


@dataclass
class Case:
    """Columns and labels to train, validate and test."""

    name: str
    fields: list[Field]
    tasks: list[Task]
    train: tuple[dict, dict]
    valid: tuple[dict, dict]
    test: tuple[dict, dict]


def planted(relation: str) -> Case:
    rng = np.random.default_rng(0)
    x = {
        "user": rng.integers(0, IDS, ROWS),
        "item": rng.integers(0, IDS, ROWS),
        "place": rng.integers(0, PLACES, ROWS),
    }

    def liking() -> np.ndarray:
        segment, category = rng.integers(0, SEGMENTS, (2, IDS))
        affinity = rng.choice([-1, 1], (SEGMENTS, SEGMENTS))
        return affinity[segment[x["user"]], category[x["item"]]]

    first = liking()
    second = {
        "identical": lambda: first,
        "independent": liking,
        "conflicting": lambda: first * np.where(x["place"] % 2, 1, -1),
    }[relation]()
    y = {
        name: (rng.random(ROWS) < 1 / (1 + np.exp(-2 * score))).astype("float32")
        for name, score in (("first", first), ("second", second))
    }
    fields = [
        Field("user", vocabulary_size=IDS),
        Field("item", vocabulary_size=IDS, belong="item"),
        Field("place", vocabulary_size=PLACES, belong="context"),
    ]
    parts = [
        tuple({name: v[part] for name, v in each.items()} for each in (x, y))
        for part in map(slice, (0, *SPLIT), (*SPLIT, ROWS))
    ]
    return Case(relation, fields, [Task("first"), Task("second")], *parts)


def kuairand(folder: Path) -> Case:
    options = pyarrow.csv.ParseOptions(delimiter="\t")
    table = pyarrow.csv.read_csv(
        folder / "interactions.tsv.gz", parse_options=options
    ).sort_by("time_ms")
    log = {name: table[name].to_numpy() for name in table.column_names[:-1]}
    columns = {
        "user_id": log["user_id"],
        "video_id": log["video_id"],
        "hour": log["hourmin"] // 100,
        "length": np.log2(log["duration_ms"] + 1).astype(int),
    }
    tasks = {"is_click": "click", "long_view": "long_view", "label": "like"}
    labels = {new: log[old].astype("float32") for old, new in tasks.items()}
    n = len(log["user_id"])
    cuts = (0, n * 7 // 10, n * 8 // 10, n)
    pipeline = FeaturePipeline(
        [
            Categorical("user_id"),
            Categorical("video_id", belong="item"),
            Categorical("hour", belong="context"),
            Categorical("length", belong="item"),
        ],
        labels=[],
    )
    pipeline.fit({name: column[: cuts[1]] for name, column in columns.items()})
    parts = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        part = {name: column[start:end] for name, column in columns.items()}
        batches = [*pipeline.dataset(part, 4096).as_numpy_iterator()]
        x = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
        parts.append((x, {name: y[start:end] for name, y in labels.items()}))
    return Case("kuairand", pipeline.fields(), [*map(Task, labels)], *parts)


def build(name: str, case: Case, tasks: list[Task]) -> keras.Model:
    parts = {"stem": len(case.tasks) + 1, "ame": 3}.get(name, 1)
    fields = [replace(f, dim=WIDTH // parts) for f in case.fields]
    arguments = {"hidden_units": TOWER, **ARGUMENTS[name]}
    return create_model(name, fields, task_list=tasks, **arguments)


def score(model: keras.Model, x: dict, y: dict) -> dict[str, float]:
    predicted = model.predict(x, batch_size=8192, verbose=0)
    return {name: auc(y[name], p[:, 0]) for name, p in predicted.items()}


def trained(
    make: Callable[[], keras.Model], case: Case, epochs: int, seed: int
) -> tuple[dict[str, float], int]:
    """Returns the test AUC of each task in the best epoch, and the weights' number."""
    keras.utils.set_random_seed(seed)
    model = make()
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy")
    best, at, weights = 0.0, 0, model.get_weights()
    x, y = case.train
    y = {name: y[name] for name in model.output}
    for epoch in range(epochs):
        model.fit(x, y, batch_size=512, verbose=0)
        found = np.mean([*score(model, *case.valid).values()])
        if found > best:
            best, at, weights = found, epoch, model.get_weights()
        elif epoch - at == PATIENCE:
            break
    model.set_weights(weights)
    return score(model, *case.test), model.count_params()


def run(name: str, case: Case, epochs: int, seed: int) -> tuple[dict[str, float], int]:
    if name != SINGLE:
        return trained(lambda: build(name, case, case.tasks), case, epochs, seed)
    found, size = {}, 0
    for task in case.tasks:
        own, weights = trained(
            lambda task=task: build(BASELINE, case, [task]), case, epochs, seed
        )
        found, size = found | own, size + weights
    return found, size


def report(case: Case, args: argparse.Namespace) -> Table:
    names = [task.name for task in case.tasks]
    table = Table("model", "weights", *names, "mean", f"over {BASELINE}")
    table.title = case.name
    base = 0.0
    for name in dict.fromkeys([BASELINE, SINGLE, *args.models]):
        found = []
        for seed in range(args.seeds):
            scores, size = run(name, case, args.epochs, seed)
            found.append([scores[task] for task in names])
            print(f"{case.name}, {name}, seed {seed}: {found[-1]}", flush=True)
        values = np.array(found)
        mean = values.mean(1)
        base = mean.mean() if name == BASELINE else base
        cells = [
            f"{value.mean():.4f} ± {value.std():.4f}" for value in (*values.T, mean)
        ]
        table.add_row(name, f"{size:,}", *cells, f"{mean.mean() - base:+.4f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--models", nargs="*", default=[*ARGUMENTS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30, help="most")
    parser.add_argument(
        "--cases",
        nargs="*",
        default=["identical", "independent", "conflicting"],
        help="of the planted rows",
    )
    args = parser.parse_args()
    cases = [planted(relation) for relation in args.cases]
    if args.folder:
        cases.append(kuairand(args.folder))
    tables = [report(case, args) for case in cases]
    for table in tables:
        Console().print(table)


if __name__ == "__main__":
    main()
