"""The main job on real input: MovieLens-100K, from raw log to recommended films.

The events of every user are cut in time: 80 % to train, 10 % to choose the epoch, 10 %
to test. `youtube_dnn` picks candidates out of the whole catalogue, `din` ranks them.
"""

import itertools
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import recsys
from recsys import metrics
from recsys.cli.demo_data import (
    CANDIDATES,
    CHOOSE,
    HISTORY,
    NEGATIVES,
    TEST,
    TRAIN,
    Events,
    Films,
    Ids,
    Watchers,
    queries,
)
from recsys.data import Categorical, FeaturePipeline, History, MultiValue, Numeric
from recsys.data.movielens import load_movielens_100k
from recsys.feature import Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.match.youtube_dnn import youtube_dnn
from recsys.rank.din import din
from recsys.runs.page import Block, Chart, Grid, Heading, Lists, Text, write_html
from recsys.train.callbacks import CatalogueMetrics
from recsys.train.evaluation import evaluate
from recsys.train.match_model import MatchModel
from recsys.train.model import Model

K = 50
SHOWN = 10
USERS_SHOWN = 3

console = Console()


def match(
    films: Films, pipeline: FeaturePipeline
) -> tuple[MatchModel, Any, dict[str, dict[str, float]], Watchers]:
    """Trains `youtube_dnn`; compares it with the most popular films."""
    train, choose = films.of(TRAIN), films.of(CHOOSE)
    fields = pipeline.fields(dim=32)
    model = youtube_dnn(
        [field for field in fields if field.name != "genres"],  # items have ids alone
        hidden_units=(256, 64),
        dropout=0.2,
        normalize=True,
        temperature=0.1,
    )
    model.compile(keras.optimizers.Adam(0.002))
    validation = queries(films, pipeline, train, choose)
    best = {"mode": "max", "patience": 2, "restore_best_weights": True}
    history = model.fit(
        pipeline.dataset(films.joined(train), 512, shuffle=True, seed=0),
        epochs=8,
        callbacks=[
            CatalogueMetrics(
                validation.columns, validation.relevant, exclude=validation.seen, k=K
            ),
            keras.callbacks.EarlyStopping(f"val_recall@{K}", **best),
        ],
    )
    test = queries(films, pipeline, films.of(TRAIN, CHOOSE), films.of(TEST))
    words = pipeline.vocabulary("item_id")
    counts = np.concatenate([[0, 0], words["count"].to_numpy()]).astype("float32")
    popular = np.ones((len(test.users), 1), "float32"), counts[:, None]
    shown = {f"recall@{K}": f"Recall@{K}", f"ndcg@{K}": f"NDCG@{K}"}
    scores = {}
    for name, of, users in (
        ("youtube_dnn", model, test.columns),
        ("most popular", popular, None),
    ):
        found = evaluate(
            of,
            test.relevant,
            users=users,
            exclude=test.seen,
            k=K,
            metrics=["recall", "ndcg"],
        )
        scores[name] = {title: found[key] for key, title in shown.items()}
    return model, history.history, scores, test


def rank(
    films: Films, pipeline: FeaturePipeline, seed: int
) -> tuple[Model, Any, dict[str, dict[str, float]]]:
    """Trains `din`; compares it with logistic regression on the two ids."""
    log = films.joined(films.events)
    train, choose, test = (
        pipeline.dataset(
            films.labelled(films.of(part), seed=seed + part),
            1024,
            events=log,  # of a user strictly earlier than the row, whatever its part
            shuffle=part == TRAIN,
            seed=seed,
        )
        for part in (TRAIN, CHOOSE, TEST)
    )
    task, fields = Task("watched"), pipeline.fields(dim=16)
    ids = [field for field in fields if field.name in ("user_id", "item_id")]
    embed = FieldEmbedder(ids)
    regression = Model(embed.inputs, predict(task, embed.linear(ids)), name="lr")
    model = din(fields, task, dropout=0.2)

    scores, histories = {}, {}
    for name, each, rate, epochs in (
        ("logistic regression", regression, 0.01, 3),
        ("din", model, 0.002, 3),
    ):
        console.print(f"[bold]{name}")
        each.compile(
            keras.optimizers.Adam(rate),
            "binary_crossentropy",
            metrics=[metrics.AUC(), metrics.GAUC("user"), metrics.LogLoss()],
        )
        best = keras.callbacks.EarlyStopping(
            "val_gauc", mode="max", patience=1, restore_best_weights=True
        )
        fit = each.fit(train, validation_data=choose, epochs=epochs, callbacks=[best])
        histories[name] = fit.history
        logs = each.evaluate(test, verbose=0, return_dict=True)
        shown = {"auc": "AUC", "gauc": "GAUC", "log_loss": "LogLoss"}
        scores[name] = {title: float(logs[key]) for key, title in shown.items()}
    return model, histories["din"], dict(reversed(scores.items()))


def recommend(
    films: Films,
    pipeline: FeaturePipeline,
    candidates: MatchModel,
    ranker: Model,
    test: Watchers,
) -> list[Lists]:
    """Match, then rank, for three users: what they watched and should watch next."""
    many = np.array([len(relevant) for relevant in test.relevant])
    chosen = np.sort(np.argsort(-many, kind="stable")[:USERS_SHOWN])
    columns = {name: column[chosen] for name, column in test.columns.items()}
    seen = [test.seen[i] for i in chosen]
    found, _ = candidates.recommend(columns, CANDIDATES, exclude=seen)
    words = pipeline.vocabulary("item_id")
    raw: Ids = np.concatenate([[0, 0], words["value"].to_numpy()])
    before, after = films.of(TRAIN, CHOOSE), films.of(TEST)
    shown = []
    for user, start, ids in zip(
        test.users[chosen], test.time[chosen], found, strict=True
    ):
        pairs = Events(np.full_like(ids, user), raw[ids], np.full_like(ids, start))
        rows = pipeline.transform(films.joined(pairs), events=films.joined(before))
        score = ranker.predict(rows, batch_size=1024, verbose=0)[:, 0]
        best = raw[ids[np.argsort(-score, kind="stable")[:SHOWN]]]
        past = before.where(before.user == user)
        recent = past.item[np.argsort(past.time, kind="stable")][-SHOWN:][::-1]
        later = np.isin(best, after.item[after.user == user])
        shown.append(
            Lists(
                f"User {user}",
                {
                    "Watched last": films.names(recent),
                    "Recommended (✓: watched later)": [
                        f"{name} ✓" if hit else name
                        for name, hit in zip(films.names(best), later, strict=True)
                    ],
                },
            )
        )
    return shown


def run(folder: Path, seed: int = 0) -> None:
    """Runs the job; `folder` appears when all of it is done.

    Args:
        folder: Gets `report.html`, `metrics.json`, both models and the pipeline.
        seed: Seed of weights, samples and orders.

    Raises:
        FileExistsError: If `folder` holds anything but an earlier run.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "metrics.json").exists():
            raise FileExistsError(
                f"{folder} must be new, empty or an earlier run. Received: a folder "
                f"with {sorted(path.name for path in folder.iterdir())[:5]}"
            )
    start = time.perf_counter()
    keras.utils.set_random_seed(seed)
    console.rule("Data")
    films = Films(load_movielens_100k())
    sizes = [len(films.of(part).user) for part in (TRAIN, CHOOSE, TEST)]
    data = (
        f"MovieLens-100K: {len(films.events.user):,} events of {len(films.user_ids):,} "
        f"people and {len(films.item_ids):,} films. Cut in time for each person: "
        f"{sizes[0]:,} events to train, {sizes[1]:,} to choose the epoch, "
        f"{sizes[2]:,} to test."
    )
    console.print(data)
    pipeline = FeaturePipeline(
        [
            Categorical("user_id"),
            Numeric("age", standardize=True),
            Categorical("gender"),
            Categorical("occupation"),
            Categorical("item_id", belong="item"),
            MultiValue("genres", belong="item", length=6),
            History(
                "seen", of=["item_id"], length=HISTORY, user="user_id", time="timestamp"
            ),
        ],
        labels=["watched"],
        groups={"user": "user_id"},
    )
    pipeline.fit(films.joined(films.of(TRAIN), watched=1.0))

    console.rule("Match: youtube_dnn")
    candidates, match_history, match_scores, test = match(films, pipeline)
    console.rule("Rank: din")
    ranker, rank_history, rank_scores = rank(films, pipeline, seed)
    console.rule("Recommend")
    lists = recommend(films, pipeline, candidates, ranker, test)

    catalogue = (
        f"Each of {len(test.users):,} people gets the {K} best of all films not yet "
        "watched; films that no training row has count as missed."
    )
    rows = (
        f"Each film that was watched stands against {NEGATIVES} that its user never "
        f"rated. The history is the last {HISTORY} strictly earlier events."
    )
    seconds = time.perf_counter() - start
    blocks: list[Block] = [
        Text(data),
        Heading("Match: youtube_dnn against the most popular films"),
        Text(catalogue),
        _grid(match_scores),
        Chart("Loss", {"training": match_history["loss"]}),
        Chart(
            f"Recall@{K} and NDCG@{K} on the whole catalogue",
            {
                m: match_history[f"val_{m.lower()}"]
                for m in (f"Recall@{K}", f"NDCG@{K}")
            },
        ),
        Heading("Rank: din against logistic regression on the ids"),
        Text(rows),
        _grid(rank_scores),
        Chart(
            "LogLoss",
            {
                "training": rank_history["log_loss"],
                "validation": rank_history["val_log_loss"],
            },
        ),
        Chart(
            "GAUC",
            {"training": rank_history["gauc"], "validation": rank_history["val_gauc"]},
        ),
        Heading("Match, then rank"),
        Text(f"{CANDIDATES} candidates of youtube_dnn, put in order by din."),
        *lists,
        Text(
            f"Made by `recsys demo` of deep-rec-kit {recsys.__version__} in "
            f"{seconds:.0f} seconds, seed {seed}."
        ),
    ]
    _print(match_scores, catalogue)
    _print(rank_scores, rows)
    for each in lists:
        console.print(f"[bold]{each.title}")
        table = Table(*each.lists, box=None)
        for pair in itertools.zip_longest(*each.lists.values(), fillvalue=""):
            table.add_row(*pair)
        console.print(table)

    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_html(new / "report.html", "MovieLens-100K: match, then rank", blocks)
        scores = {"match": match_scores, "rank": rank_scores}
        (new / "metrics.json").write_text(json.dumps(scores, indent=2) + "\n")
        candidates.save(new / "match.keras")
        ranker.save(new / "rank.keras")
        pipeline.save(new / "pipeline")
        new.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    console.print(f"{folder / 'report.html'} after {seconds:.0f} seconds")


def _grid(scores: dict[str, dict[str, float]]) -> Grid:
    titles = next(iter(scores.values()))
    rows = [
        [name, *(f"{value:.4f}" for value in values.values())]
        for name, values in scores.items()
    ]
    return Grid(["", *titles], rows)


def _print(scores: dict[str, dict[str, float]], note: str) -> None:
    grid = _grid(scores)
    table = Table(*grid.header)
    for row in grid.rows:
        table.add_row(*row)
    console.print(table)
    console.print(note)
