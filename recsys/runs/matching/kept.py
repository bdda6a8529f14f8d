"""What a run keeps of users and items, to recommend when its rows are gone."""

import datetime
import math
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import ibis
import numpy as np

from recsys.data.history import USER
from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.columns import FIRST_ID
from recsys.feature.schema.history import History
from recsys.registry import load_model
from recsys.runs import folder as places
from recsys.runs.inputs import events_of
from recsys.runs.matching.columns import asked_sources
from recsys.runs.matching.items import Items
from recsys.runs.matching.queries import Queries, queries_of
from recsys.runs.matching.rows import one_of_each_user, pairs_of, rows_of, scratch
from recsys.runs.page import Block, Heading, Lists, Text
from recsys.runs.reading import Read
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.kept import ITEM
from recsys.runs.samples.split import PARTS
from recsys.train.match_model import MatchModel

SHOWN, USERS_SHOWN = 10, 3


def keep(read: Read, samples: Path, here: Path) -> list[Block]:
    """Writes the users, what they have seen, and the items, of a run that is trained.

    Of each user it keeps the raw columns of the last row, with the time at which the
    last event is over, so that histories have all of them.

    Args:
        read: The configuration.
        samples: Folder of the rows.
        here: Folder of the run.

    Returns:
        Some users, with what they had and what they should get.
    """
    data = read.config.data
    with scratch() as (engine, _):
        rows = rows_of(read, samples, PARTS, engine)
        users = one_of_each_user(rows, last=True)
        own = {str(data.user): users[USER], **_over(read, samples, users, engine)}
        users = users.mutate(**own).order_by(USER)
        names = asked_sources(read.schema, data)
        engine.write(users.select(*names), here / places.USERS)
        seen = pairs_of(rows).order_by(USER, ITEM)
        pairs = {str(data.user): USER, str(data.item): ITEM}
        engine.write(seen.select(**pairs), here / places.SEEN)
    shutil.copy(samples / places.ITEMS, here / places.ITEMS)
    return _examples(read, samples, here)


def _over(read: Read, samples: Path, users: Any, engine: Engine) -> dict[str, Any]:
    """The times of histories, at which all events are over."""
    file, found = events_of(read, samples), dict[str, Any]()
    for history in read.schema.columns if file is not None else ():
        if isinstance(history, History):
            events = engine.connection.read_parquet(file)
            time = events[history.time]
            if time.type().is_timestamp():  # Python has no nanoseconds
                time = time.cast(time.type().copy(scale=6))
            last = engine.one(events, last=time.max())["last"]
            dtype = users[history.time].type()
            found[history.time] = ibis.literal(_next(last)).cast(dtype)
    return found


def _next(time: Any) -> Any:
    """The next time there is, or a little later."""
    if isinstance(time, float):
        return math.nextafter(time, math.inf)
    if isinstance(time, Decimal):
        return time + Decimal(1).scaleb(int(time.as_tuple().exponent))
    if isinstance(time, datetime.datetime):
        return time + datetime.timedelta(microseconds=1)
    return time + (datetime.timedelta(days=1) if isinstance(time, datetime.date) else 1)


def _examples(read: Read, samples: Path, here: Path) -> list[Block]:
    """The test users with the most to find."""
    pipeline = FeaturePipeline.load(here / places.PIPELINE)
    asked = queries_of(read, pipeline, samples, "test")
    items = Items.of(read, pipeline, here / places.ITEMS)
    chosen = most_to_find(asked)
    model = cast(MatchModel, load_model(here / places.MODEL))
    seen = [asked.seen_by(user) for user in chosen]
    found, _ = model.recommend(asked.columns.take(chosen), SHOWN, exclude=seen)
    return [
        Heading("Test users"),
        Text(
            f"Each of {len(asked.users):,} gets, at the time of the first test row, "
            f"the {read.config.candidates.k} best of all items that trained and that "
            "the user did not have before; wanted are those of the test rows. "
            + " ".join(asked.notes)
        ),
        Text("Of those with the most to find (✓: was in their test rows):"),
        *lists_of(asked, items, chosen, found),
    ]


def most_to_find(asked: Queries) -> Any:
    """Returns the places of the users with the most to find, in order."""
    offsets, relevant = asked.relevant
    many = np.add.reduceat(np.append(relevant >= FIRST_ID, False), offsets[:-1])
    many = np.where(np.diff(offsets) > 0, many, 0)
    return np.sort(np.argsort(-many, kind="stable")[:USERS_SHOWN])


def lists_of(asked: Queries, items: Items, chosen: Any, found: Any) -> list[Lists]:
    """Returns what users had last, and what they should get.

    Args:
        asked: All users.
        items: What ids stand for.
        chosen: Places of the users, `(users,)`.
        found: Ids of what they should get, `(users, k)`.
    """
    offsets, relevant = asked.relevant
    lists = []
    for user, ids in zip(chosen, found, strict=True):
        best, seen = ids[ids >= 0], asked.seen_by(user)
        hits = np.isin(best, relevant[offsets[user] : offsets[user + 1]])
        last = seen[seen >= FIRST_ID][-SHOWN:][::-1]
        names = zip(items.names_of(best), hits, strict=True)
        lists.append(
            Lists(
                f"User {asked.users[int(user)]}",
                {
                    "Had last": items.names_of(last),
                    "Recommended": [f"{n} ✓" if hit else n for n, hit in names],
                },
            )
        )
    return lists
