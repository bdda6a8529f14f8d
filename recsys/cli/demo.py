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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import recsys
from recsys import metrics
from recsys.cli.report import Block, Chart, Grid, Heading, Lists, Text, write_html
from recsys.data import Categorical, FeaturePipeline, History, MultiValue, Numeric
from recsys.data.movielens import MovieLens, load_movielens_100k
from recsys.data.reader import as_columns
from recsys.data.splits import split_by_time
from recsys.feature import Task
from recsys.feature.schema.columns import UNSEEN
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.match.youtube_dnn import youtube_dnn
from recsys.rank.din import din
from recsys.train.callbacks import CatalogueMetrics
from recsys.train.evaluation import evaluate
from recsys.train.match_model import MatchModel
from recsys.train.model import Model

K = 50
HISTORY = 20
NEGATIVES = 2
CANDIDATES = 100
SHOWN = 10
USERS_SHOWN = 3
TRAIN, CHOOSE, TEST = 0, 1, 2
USER_COLUMNS = ["user_id", "age", "gender", "occupation", "seen"]

Ids = NDArray[np.int64]
console = Console()


@dataclass(frozen=True)
class Events:
    """Who watched what when, `(rows,)` each."""

    user: Ids
    item: Ids
    time: Ids

    def where(self, chosen: NDArray[Any]) -> "Events":
        """Some of them."""
        return Events(self.user[chosen], self.item[chosen], self.time[chosen])


class Films:
    """The log, cut in time, and the raw rows that the pipeline takes."""

    def __init__(self, data: MovieLens) -> None:
        ratings = as_columns(data.ratings)
        self.events = Events(*(ratings[c] for c in ("user_id", "item_id", "timestamp")))
        self.part = split_by_time(self.events.user, self.events.time)
        self.items = data.items.sort_by("item_id")
        self.users = data.users.sort_by("user_id")
        self.item_ids: Ids = self.items["item_id"].to_numpy()
        self.user_ids: Ids = self.users["user_id"].to_numpy()

    def of(self, *parts: int) -> Events:
        """The events of some parts."""
        return self.events.where(np.isin(self.part, parts))

    def rows(self, events: Events, watched: float | NDArray[Any] | None = None) -> Any:
        """Events joined with what is known of their users and films."""
        user = self.users.take(np.searchsorted(self.user_ids, events.user))
        item = self.items.take(np.searchsorted(self.item_ids, events.item))
        columns = {name: user[name] for name in user.column_names}
        columns |= {"item_id": item["item_id"], "genres": item["genres"]}
        columns["timestamp"] = pa.array(events.time)
        if watched is not None:
            columns["watched"] = np.broadcast_to(watched, events.user.shape)
        return pa.table(columns)

    def labelled(self, events: Events, seed: int) -> Any:
        """Watched films, and `NEGATIVES` times as many that their user never rated."""
        rng = np.random.default_rng(seed)
        rated = np.zeros((self.user_ids[-1] + 1, self.item_ids[-1] + 1), bool)
        rated[self.events.user, self.events.item] = True
        user = np.repeat(events.user, NEGATIVES)
        item = rng.choice(self.item_ids, len(user))
        while (again := rated[user, item]).any():
            item[again] = rng.choice(self.item_ids, again.sum())
        rows = Events(
            np.concatenate([events.user, user]),
            np.concatenate([events.item, item]),
            np.concatenate([events.time, np.repeat(events.time, NEGATIVES)]),
        )
        return self.rows(rows, np.repeat([1.0, 0.0], [len(events.user), len(user)]))

    def names(self, items: Ids) -> list[str]:
        """Titles and years."""
        chosen = self.items.take(np.searchsorted(self.item_ids, items))
        return [
            f"{title} ({year})" if year else title
            for title, year in zip(
                chosen["title"].to_pylist(), chosen["year"].to_pylist(), strict=True
            )
        ]


@dataclass(frozen=True)
class Queries:
    """Users at the end of some events, and what they watched next.

    Args:
        users: Raw ids.
        time: When the query is made, of each user.
        columns: Input of the user model.
        relevant: Ids of what each user watched next.
        seen: Ids of what each user watched before.
    """

    users: Ids
    time: Ids
    columns: dict[str, Any]
    relevant: list[Ids]
    seen: list[Ids]


def queries(
    films: Films, pipeline: FeaturePipeline, before: Events, after: Events
) -> Queries:
    """One query for each user with events before and after the cut.

    Films that the vocabulary does not know have id 1: they are part of what should
    have been found, and no model can find them.
    """
    words = pipeline.vocabulary("item_id")
    ids = np.full(films.item_ids[-1] + 1, UNSEEN)
    ids[words["value"].to_numpy()] = words["id"].to_numpy()
    users = np.intersect1d(before.user, after.user)
    start = np.array([after.time[after.user == user].min() for user in users])
    rows = films.rows(Events(users, np.repeat(films.item_ids[0], len(users)), start))
    columns = pipeline.transform(rows, events=films.rows(before), columns=USER_COLUMNS)
    return Queries(
        users,
        start,
        as_columns(columns),
        [ids[after.item[after.user == user]] for user in users],
        [ids[before.item[before.user == user]] for user in users],
    )


def match(
    films: Films, pipeline: FeaturePipeline
) -> tuple[MatchModel, Any, dict[str, dict[str, float]], Queries]:
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
        pipeline.dataset(films.rows(train), 512, shuffle=True, seed=0),
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
    log = films.rows(films.events)
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
    test: Queries,
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
        rows = pipeline.transform(films.rows(pairs), events=films.rows(before))
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
    pipeline.fit(films.rows(films.of(TRAIN), watched=1.0))

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
