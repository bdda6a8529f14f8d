"""What sharing between tasks gains or costs: AUC against single tasks, shared bottom.

    python benchmarks/multitask.py [FOLDER] [--models ...] [--cases ...] [--seeds 5]

Planted rows. Users and items have hidden vectors of length 8, which the models do not
see, and a score is twice the dot product over the root of 8. A label is 1 with the
sigmoid of the score as its probability. Two tasks are asked:

- identical: both of the same score, each with labels of its own;
- conflicting: the second of the same vectors, but with the item's turned by a right
  angle (in each plane of two directions). What tables have to hold serves both tasks,
  as long as it is the layers that tell them apart; products of user and item that one
  task needs are of no use to the other, and who is near in one is anywhere in the
  other. So tasks compete for the units that form products, or else for what it means
  in the tables to be near;
- independent: the second of other vectors of the same users and items;
- funnel: as independent, but the second, a conversion, happens after the first, a
  click, only.

There are 100 users and 100 items and 200,000 rows to train with, so 2,000 rows a value,
as in the logs these models are made for: weights of a task's own cost little there, and
what is measured is what they are for. (KuaiRand below is the other end: a video has
three rows.) Each seed is a world of its own, with its vectors, rows and first weights.

FOLDER holds `interactions.tsv.gz`: KuaiRand-27K, rows with explicit feedback, of which
click, long view and like (against hate) are asked, and, as a funnel, click and long
view of what was clicked. The first 70 % by time train, the next 10 % validate, the rest
tests; user, video, hour and length of the video are known; seeds draw weights.

All models have tables of width 16 (AME of 8 and 16), linear towers, and experts,
bottoms and other dense layers of 16 units, as in MMoE's experiment with planted tasks:
narrow, since room is what tasks compete for. Sixteen units are two for each product of
a planted task and so one where two tasks need different ones. Models of several experts
have more room, which is a part of what is compared; to tell how much of it, `wide
bottom` is a shared bottom of three times the units, as many as MMoE, PLE and STEM have
in their experts, and `wide` one of tables three times as wide, too, as STEM has. Single
tasks are a shared bottom each.

Adam's rate falls to zero in a half cosine over a fixed number of epochs; after each the
mean validation AUC of the tasks is taken, and the weights of the best epoch are tested.
Of two rates to start with, each model takes that with the better validation AUC in the
case, the mean of the first two seeds. Nothing is chosen by the test rows.

Prints mean and standard deviation of the test AUC over seeds, and the difference of the
mean of the tasks from that of shared bottom, and of the wide bottom, at the same seed,
with the half-width of its 95 % interval (Student, over seeds). A model `gains` or
`loses` if that interval is all above or below zero, else it is `level`. The best
possible AUC is that of the probabilities the labels were drawn from.
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
WIDE, WIDE_BOTTOM = "wide", "wide bottom"
REFERENCES = (BASELINE, WIDE_BOTTOM)
WIDTH, UNITS, TIMES = 16, 16, 3
ARGUMENTS = {
    BASELINE: {"bottom_units": (UNITS,)},
    WIDE_BOTTOM: {"bottom_units": (TIMES * UNITS,)},
    WIDE: {"bottom_units": (TIMES * UNITS,)},
    "mmoe": {"num_experts": 3, "experts_dim": UNITS},
    "ple": {"num_experts": 1, "num_shared_experts": 1, "experts_dim": UNITS},
    "stem": {"experts_dim": UNITS, "gate_units": (UNITS,)},
    "ame": {"times": (1, 2), "num_experts": 2, "experts_dim": UNITS},
    "adatt": {"num_experts": 1, "experts_dim": UNITS},
    "home": {"experts_dim": UNITS},
}
FUNNELS = {name: {"hidden_units": (UNITS,)} for name in ("esmm", "escm2", "aitm")}
CASES = ("identical", "conflicting", "independent", "funnel")
IDS, LENGTH, SCALE = 100, 8, 2.0
PARTS = (200_000, 50_000, 200_000)  # rows to train, validate, test


@dataclass
class Case:
    """Columns and labels to train, validate and test; the best possible test AUC."""

    name: str
    fields: list[Field]
    tasks: list[Task]
    train: tuple[dict, dict]
    valid: tuple[dict, dict]
    test: tuple[dict, dict]
    best: dict[str, float] | None = None
    epochs: int = 16
    batch: int = 1024
    rates: tuple[float, ...] = (0.01, 0.03)


def planted(relation: str, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    rows = sum(PARTS)
    x = {name: rng.integers(0, IDS, rows) for name in ("user", "item")}

    def vectors() -> tuple[np.ndarray, np.ndarray]:
        users, items = rng.normal(size=(2, IDS, LENGTH))
        return users[x["user"]], items[x["item"]]

    def probability(user: np.ndarray, item: np.ndarray) -> np.ndarray:
        score = SCALE * (user * item).sum(1) / LENGTH**0.5
        return 1 / (1 + np.exp(-score))

    user, item = vectors()
    turned = np.stack([-item[:, 1::2], item[:, ::2]], axis=-1).reshape(rows, LENGTH)
    other = {"identical": (user, item), "conflicting": (user, turned)}
    p = {
        "first": probability(user, item),
        "second": probability(*other.get(relation, vectors())),
    }
    y = {
        name: (rng.random(rows) < chance).astype("float32")
        for name, chance in p.items()
    }
    if relation == "funnel":
        y["second"] *= y["first"]
        p["second"] *= p["first"]
    fields = [
        Field("user", vocabulary_size=IDS),
        Field("item", vocabulary_size=IDS, belong="item"),
    ]
    ends = np.cumsum(PARTS)
    parts = [
        tuple({name: v[end - n : end] for name, v in each.items()} for each in (x, y))
        for n, end in zip(PARTS, ends, strict=True)
    ]
    start = ends[1]
    best = {name: auc(y[name][start:], p[name][start:]) for name in y}
    return Case(relation, fields, [Task("first"), Task("second")], *parts, best)


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
        Case(name, pipeline.fields(), some, *parts, None, 6, 512, (0.003, 0.01))
        for name, some in (
            ("kuairand", [*map(Task, labels)]),
            ("kuairand funnel", funnel),
        )
    ]


def build(name: str, case: Case, tasks: list[Task]) -> keras.Model:
    width = {"ame": WIDTH // 2, WIDE: TIMES * WIDTH}.get(name, WIDTH)
    fields = [replace(f, dim=width) for f in case.fields]
    arguments = {"hidden_units": (), **ARGUMENTS.get(name, FUNNELS.get(name, {}))}
    factory = BASELINE if name in (WIDE, WIDE_BOTTOM) else name
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
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build(name, case, tasks)
    x, y = case.train
    y = {task.name: y[task.name] for task in tasks}
    steps = -(-len(y[tasks[0].name]) // case.batch)
    falling = keras.optimizers.schedules.CosineDecay(rate, case.epochs * steps)
    model.compile(
        keras.optimizers.Adam(falling), "binary_crossentropy", steps_per_execution=20
    )
    best, weights = 0.0, model.get_weights()
    for _ in range(case.epochs):
        model.fit(x, y, batch_size=case.batch, verbose=0)
        found = float(np.mean([*score(model, *case.valid, tasks).values()]))
        if found > best:
            best, weights = found, model.get_weights()
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


def against(over: np.ndarray) -> tuple[str, str]:
    """Returns mean and half-width of differences, and what that says."""
    half = student.ppf(0.975, len(over) - 1) * over.std(ddof=1) / len(over) ** 0.5
    verdict = "gains" if over.mean() > 0 else "loses"
    if abs(over.mean()) <= half:
        verdict = "level"
    return f"{over.mean():+.4f} ± {half:.4f}", verdict


def report(cases: Sequence[Case], models: Sequence[str]) -> Table:
    """Compares the models on a case; each seed has its rows, or all have the same."""
    tasks = [task.name for task in cases[0].tasks]
    heads = [head for name in REFERENCES for head in (f"over {name}", "")]
    table = Table("model", "rate", "weights", *tasks, "mean", *heads)
    table.title = cases[0].name
    if cases[0].best is not None:
        best = np.mean([[case.best[task] for task in tasks] for case in cases], axis=0)
        figures = [f"{value:.4f}" for value in (*best, best.mean())]
        table.add_row("best possible", "", "", *figures)
    means: dict[str, np.ndarray] = {}
    for name in dict.fromkeys([*REFERENCES, SINGLE, WIDE, *models]):
        tried = {
            rate: [run(name, case, i, rate) for i, case in enumerate(cases[:2])]
            for rate in cases[0].rates
        }
        rate = max(tried, key=lambda rate: sum(each.valid for each in tried[rate]))
        rest = [run(name, case, i, rate) for i, case in enumerate(cases) if i > 1]
        runs = [*tried[rate], *rest]
        values = np.array([[each.test[task] for task in tasks] for each in runs])
        means[name] = values.mean(1)
        cells = [
            f"{v.mean():.4f} ± {v.std(ddof=1):.4f}" for v in (*values.T, means[name])
        ]
        for reference in REFERENCES:
            if reference in means and reference != name:
                cells += against(means[name] - means[reference])
            else:
                cells += ["", ""]
        table.add_row(name, f"{rate}", f"{runs[0].size:,}", *cells)
        print(cases[0].name, name, rate, *cells, flush=True)
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
        Console(width=180).print(report(some, models))


if __name__ == "__main__":
    main()
