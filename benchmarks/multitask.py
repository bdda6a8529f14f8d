"""What sharing between tasks gains or costs: AUC against single tasks, shared bottom.

    python benchmarks/multitask.py [FOLDER] [--models ...] [--cases ...] [--seeds 5]

Planted rows. A user has one of 12 segments, an item one of 12 categories, neither of
which the models see; a pair of them is liked or not, at random, and a label says so in
about nine of ten cases. Two tasks are asked:

- identical: both of this, each with labels of its own;
- independent: the second of other segments and categories of the same users and items;
- conflicting: the second of other segments and categories in half of 8 places, and in
  the rest of this turned round: what one task likes there, the other dislikes;
- funnel: as independent, but the second, a conversion, happens after the first, a
  click, only.

Each seed draws other rows of the same users and items, and other weights. FOLDER holds
`interactions.tsv.gz`: KuaiRand-27K, rows with explicit feedback, of which click, long
view and like (against hate) are asked, and, as a funnel, click and long view of what
was clicked. The first 70 % by time train, the next 10 % validate, the rest tests; user,
video, hour and length of the video are known; seeds draw weights.

All models get the same rows, batches of 512, tables of width 8 (AME of 4 and 8), linear
towers, and experts, bottoms and other dense layers of 16 units, as in the papers each
as wide as shared bottom's: narrow, since room is what tasks compete for. So models of
several experts have more weights, whose number is printed; `wide_bottom` is a shared
bottom three times as wide, to tell what the room alone brings. Single tasks are a
shared bottom each. Models train with Adam until validation AUC, the mean of the tasks,
has not risen for three epochs, and are tested with the weights of the best. The
learning rate of each model and case is the one of 0.003 and 0.01 with the better
validation AUC at seed 0. Nothing is chosen by the test rows.

Prints mean and standard deviation of the test AUC over seeds, and the difference of the
mean of the tasks from shared bottom's at the same seed, with the half-width of its 95 %
interval (Student, over seeds). A model `gains` or `loses` if that interval is all above
or below zero, else it is `level`.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow.csv
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from recsys import Field, Task, create_model
from recsys.data import Categorical, FeaturePipeline
from recsys.metrics.auc import auc

SINGLE, BASELINE = "single tasks", "shared_bottom"
RATES = (0.003, 0.01)
WIDE = "wide_bottom"
WIDTH, UNITS, PATIENCE = 8, 16, 3
ARGUMENTS = {
    BASELINE: {"bottom_units": (UNITS,)},
    WIDE: {"bottom_units": (3 * UNITS,)},
    "mmoe": {"num_experts": 3, "experts_dim": UNITS},
    "ple": {"num_experts": 1, "num_shared_experts": 1, "experts_dim": UNITS},
    "stem": {"experts_dim": UNITS, "gate_units": ()},
    "ame": {"times": (1, 2), "num_experts": 2, "experts_dim": UNITS},
    "adatt": {"num_experts": 1, "experts_dim": UNITS},
    "home": {"experts_dim": UNITS},
}
FUNNELS = {name: {"hidden_units": (UNITS,)} for name in ("esmm", "escm2", "aitm")}
CASES = ("identical", "independent", "conflicting", "funnel")
ROWS, SPLIT = 45_000, (20_000, 25_000)
SEGMENTS, PLACES, IDS = 12, 8, 60


@dataclass
class Case:
    """Columns and labels to train, validate and test."""

    name: str
    fields: list[Field]
    tasks: list[Task]
    train: tuple[dict, dict]
    valid: tuple[dict, dict]
    test: tuple[dict, dict]


def planted(relation: str, seed: int) -> Case:
    world, rng = np.random.default_rng(0), np.random.default_rng((1, seed))
    x = {
        "user": rng.integers(0, IDS, ROWS),
        "item": rng.integers(0, IDS, ROWS),
        "place": rng.integers(0, PLACES, ROWS),
    }

    def liking() -> np.ndarray:
        segment, category = world.integers(0, SEGMENTS, (2, IDS))
        affinity = world.choice([-1, 1], (SEGMENTS, SEGMENTS))
        return affinity[segment[x["user"]], category[x["item"]]]

    first = liking()
    second = {
        "identical": lambda: first,
        "independent": liking,
        "conflicting": lambda: np.where(x["place"] % 2, liking(), -first),
        "funnel": liking,
    }[relation]()
    y = {
        name: (rng.random(ROWS) < 1 / (1 + np.exp(-2 * score))).astype("float32")
        for name, score in (("first", first), ("second", second))
    }
    if relation == "funnel":
        y["second"] *= y["first"]
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


def kuairand(folder: Path) -> list[Case]:
    """Reads the three tasks, and the two of them that are a funnel."""
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
    for _, y in parts:
        y["long_view_of_click"] = y["click"] * y["long_view"]
    funnel = [Task("click"), Task("long_view_of_click")]
    return [
        Case(name, pipeline.fields(), some, *parts)
        for name, some in (
            ("kuairand", [*map(Task, labels)]),
            ("kuairand funnel", funnel),
        )
    ]


def build(name: str, case: Case, tasks: list[Task]) -> keras.Model:
    width = WIDTH // 2 if name == "ame" else WIDTH  # of its narrower tables
    fields = [replace(f, dim=width) for f in case.fields]
    arguments = {"hidden_units": (), **ARGUMENTS.get(name, FUNNELS.get(name, {}))}
    factory = BASELINE if name == WIDE else name
    return create_model(factory, fields, task_list=tasks, **arguments)


def score(model: keras.Model, x: dict, y: dict, tasks: list[Task]) -> dict[str, float]:
    predicted = model.predict(x, batch_size=8192, verbose=0)
    return {task.name: auc(y[task.name], predicted[task.name][:, 0]) for task in tasks}


@dataclass
class Run:
    """AUC of each task in the best epoch, its validation mean, and the weights."""

    test: dict[str, float]
    valid: float
    size: int


def trained(name: str, case: Case, tasks: list[Task], seed: int, rate: float) -> Run:
    keras.utils.set_random_seed(seed)
    model = build(name, case, tasks)
    model.compile(
        keras.optimizers.Adam(rate), "binary_crossentropy", steps_per_execution=20
    )
    best, waited, weights = 0.0, 0, model.get_weights()
    x, y = case.train
    y = {task.name: y[task.name] for task in tasks}
    while waited < PATIENCE:
        model.fit(x, y, batch_size=512, verbose=0)
        found = float(np.mean([*score(model, *case.valid, tasks).values()]))
        waited += 1
        if found > best:
            best, waited, weights = found, 0, model.get_weights()
    model.set_weights(weights)
    return Run(score(model, *case.test, tasks), best, model.count_params())


def run(name: str, case: Case, seed: int, rate: float) -> Run:
    if name != SINGLE:
        return trained(name, case, case.tasks, seed, rate)
    runs = [trained(BASELINE, case, [task], seed, rate) for task in case.tasks]
    return Run(
        {key: value for each in runs for key, value in each.test.items()},
        float(np.mean([each.valid for each in runs])),
        sum(each.size for each in runs),
    )


def report(cases: Sequence[Case], models: Sequence[str]) -> Table:
    """Compares the models on a case; each seed has its rows, or all have the same."""
    tasks = [task.name for task in cases[0].tasks]
    table = Table("model", "rate", "weights", *tasks, "mean", f"over {BASELINE}", "")
    table.title = cases[0].name
    base = np.zeros(len(cases))
    for name in dict.fromkeys([BASELINE, WIDE, SINGLE, *models]):
        tried = {rate: run(name, cases[0], 0, rate) for rate in RATES}
        rate = max(tried, key=lambda rate: tried[rate].valid)
        rest = [run(name, case, i, rate) for i, case in enumerate(cases) if i]
        runs = [tried[rate], *rest]
        values = np.array([[each.test[task] for task in tasks] for each in runs])
        mean = values.mean(1)
        base = mean if name == BASELINE else base
        over = mean - base
        half = student.ppf(0.975, len(over) - 1) * over.std(ddof=1) / len(over) ** 0.5
        cells = [f"{v.mean():.4f} ± {v.std(ddof=1):.4f}" for v in (*values.T, mean)]
        verdict = "level"
        if abs(over.mean()) > half:
            verdict = "gains" if over.mean() > 0 else "loses"
        verdict = "" if name == BASELINE else verdict
        sizes = (f"{rate}", f"{runs[0].size:,}")
        table.add_row(name, *sizes, *cells, f"{over.mean():+.4f} ± {half:.4f}", verdict)
        print(f"{cases[0].name}, {name}: {over.mean():+.4f} ± {half:.4f}", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--models", nargs="*", default=[*ARGUMENTS, *FUNNELS])
    parser.add_argument("--cases", nargs="*", default=CASES, help="of planted rows")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    args = parser.parse_args()

    seeds = range(args.seeds)
    cases = [[planted(relation, seed) for seed in seeds] for relation in args.cases]
    if args.folder:
        cases += [[case] * args.seeds for case in kuairand(args.folder)]
    for some in cases:
        funnel = "funnel" in some[0].name
        models = [name for name in args.models if (name in FUNNELS) == funnel]
        Console(width=160).print(report(some, models))


if __name__ == "__main__":
    main()
