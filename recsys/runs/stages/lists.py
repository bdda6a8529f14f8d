"""What two stages recommend to the users of the test rows, beside the first alone."""

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.columns import FIRST_ID
from recsys.registry import load_model
from recsys.runs import folder as places
from recsys.runs.inputs import events_of
from recsys.runs.matching.items import Items
from recsys.runs.matching.kept import SHOWN, lists_of, most_to_find
from recsys.runs.matching.queries import queries_of
from recsys.runs.page import Block, Grid, Heading, Text
from recsys.runs.reading import Read
from recsys.runs.stages.ranker import Ranker
from recsys.train.match_model import MatchModel

MOST_USERS = 10_000
UNSEEN = 2**40  # from here on are items that training has not seen: each is missed


def recommended(read: Read, here: Path, first: Read, samples: Path) -> list[Block]:
    """Writes the metrics of the lists of a run whose models are trained.

    Args:
        read: The configuration of the run.
        here: Its folder.
        first: The configuration of its match model.
        samples: Folder of the rows of that.

    Returns:
        What is told of them.
    """
    at = here / places.MATCH
    pipeline = FeaturePipeline.load(at / places.PIPELINE)
    asked = queries_of(first, pipeline, samples, "test")
    items = Items.of(first, pipeline, samples / places.ITEMS)
    users, note = np.arange(len(asked.users)), ""
    if len(users) > MOST_USERS:
        rng = np.random.default_rng(read.config.training.seeds[0])
        note = f" {MOST_USERS:,} of {len(users):,} users, drawn at random."
        users = np.sort(rng.choice(users, MOST_USERS, replace=False))
        users = np.union1d(users, most_to_find(asked))
    k = first.config.candidates.k
    model = cast(MatchModel, load_model(at / places.MODEL))
    seen = [asked.seen_by(int(user)) for user in users]
    matched, _ = model.recommend(asked.columns.take(users), k, exclude=seen)
    ranker = Ranker(read, here, items, samples / places.ITEMS)
    events = events_of(first, samples)
    ranked, _ = ranker.order(asked.rows.take(users), events, matched)
    wanted = _wanted(asked.relevant, users)
    names: dict[str, Any] = {
        f"recall@{SHOWN}": metrics.recall,
        f"ndcg@{SHOWN}": metrics.ndcg,
    }
    found = {
        name: {
            stage: of(wanted, ids, k=SHOWN)
            for stage, ids in (("match", matched), ("ranked", ranked))
        }
        for name, of in names.items()
    }
    places.write_json(here / places.LISTS, found)
    rows = [
        [name, *(f"{value:.4f}" for value in values.values())]
        for name, values in found.items()
    ]
    chosen = most_to_find(asked)
    best = ranked[np.searchsorted(users, chosen), :SHOWN]
    return [
        Heading("Match, then rank"),
        Text(
            f"Each user of the test rows gets the best {SHOWN} of the {k} candidates "
            f"of {first.config.model.name}, in its order, and in that of "
            f"{read.config.model.name}.{note}"
        ),
        Grid(["", first.config.model.name, "then " + read.config.model.name], rows),
        Text("Users with the most to find (✓: was in their test rows):"),
        *lists_of(asked, items, chosen, best),
    ]


def _wanted(
    relevant: tuple[NDArray[np.int64], NDArray[np.int64]], users: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What some users should get, as `(offsets, ids)`."""
    offsets, ids = relevant
    ids = np.where(ids < FIRST_ID, UNSEEN + np.arange(len(ids)), ids)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    many = np.diff(offsets)[users]
    return np.cumsum([0, *many]), ids[np.isin(owner, users)]
