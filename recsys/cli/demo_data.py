"""MovieLens as events, films and queries."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data import FeaturePipeline
from recsys.data.movielens import MovieLens
from recsys.data.reader import as_columns
from recsys.data.splits import split_by_time
from recsys.feature.schema.columns import UNSEEN

HISTORY = 20


NEGATIVES = 2


CANDIDATES = 100


TRAIN, CHOOSE, TEST = 0, 1, 2


USER_COLUMNS = ["user_id", "age", "gender", "occupation", "seen"]


Ids = NDArray[np.int64]


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

    def joined(
        self, events: Events, watched: float | NDArray[Any] | None = None
    ) -> Any:
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
        return self.joined(rows, np.repeat([1.0, 0.0], [len(events.user), len(user)]))

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
class Watchers:
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
) -> Watchers:
    """One query for each user with events before and after the cut.

    Films that the vocabulary does not know have id 1: they are part of what should
    have been found, and no model can find them.
    """
    words = pipeline.vocabulary("item_id")
    ids = np.full(films.item_ids[-1] + 1, UNSEEN)
    ids[words["value"].to_numpy()] = words["id"].to_numpy()
    users = np.intersect1d(before.user, after.user)
    start = np.array([after.time[after.user == user].min() for user in users])
    rows = films.joined(Events(users, np.repeat(films.item_ids[0], len(users)), start))
    columns = pipeline.transform(
        rows, events=films.joined(before), columns=USER_COLUMNS
    )
    return Watchers(
        users,
        start,
        as_columns(columns),
        [ids[after.item[after.user == user]] for user in users],
        [ids[before.item[before.user == user]] for user in users],
    )
