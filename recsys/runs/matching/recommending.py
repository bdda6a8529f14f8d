"""The best items of the whole catalogue, for users that a run has seen."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.feature._constraints import Integer, checked
from recsys.retrieval.search import top_k
from recsys.runs import folder as places
from recsys.runs.matching.checks import item_of
from recsys.runs.matching.columns import asked_columns
from recsys.runs.matching.items import Items
from recsys.runs.matching.kind import is_match
from recsys.runs.matching.queries import offsets_of
from recsys.runs.output import check_output, writing
from recsys.runs.stages.ranker import Ranker
from recsys.train.match_model import MatchModel

if TYPE_CHECKING:
    from recsys.runs.finished import Run

BATCH = 2**15
MOST_NAMED = 5


def recommend(
    run: "Run", users: Sequence[Any] | None, k: int, include_seen: bool
) -> pa.Table:
    """Returns what `Run.recommend` does."""
    return pa.concat_tables(_recommended(run, _users(run, users), k, include_seen))


def write_recommended(
    run: "Run",
    users: Sequence[Any] | None,
    k: int,
    include_seen: bool,
    output: Path,
) -> None:
    """Writes what `Run.recommend` returns, user by user, to a parquet or CSV file.

    Raises:
        ValueError: As `Run.recommend`, or `output` is no such file.
    """
    check_output(output)
    with writing(output) as write:
        for table in _recommended(run, _users(run, users), k, include_seen):
            write(table)


def _users(run: "Run", users: Sequence[Any] | None) -> pa.Table:
    """The columns of users, in the order in which they are asked for."""
    if not is_match(run.match.read.config):
        raise ValueError(
            f"{run.folder} must be a run of a match model, or of two stages, to "
            "recommend (`recsys models match` lists them). Received: one of "
            f"{run.read.config.model.name}"
        )
    run = run.match
    table = pq.read_table(run.folder / places.USERS)
    if users is None:
        return table
    if isinstance(users, str) or not len(users):
        raise ValueError(
            f"recommend: users must be a list of one id or more. Received: {users!r}"
        )
    known = table[str(run.read.config.data.user)]
    texts = pa.array([*dict.fromkeys(map(_text, users))], "string")
    place = pc.index_in(texts, known.cast("string"))
    if place.null_count:
        unknown = texts.filter(place.is_null()).to_pylist()
        more = f" and {len(unknown) - MOST_NAMED} more" if unknown[MOST_NAMED:] else ""
        raise ValueError(
            f"{run.folder} has no rows of these users, and must have some to recommend "
            f"to them. Received: {', '.join(map(repr, unknown[:MOST_NAMED]))}{more}"
        )
    return table.take(place)


def _text(user: Any) -> str:
    """An id as text; integers that a gap has made floating are integers."""
    whole = isinstance(user, float) and user.is_integer()
    return str(int(user) if whole else user)


def _recommended(
    run: "Run", users: pa.Table, k: int, include_seen: bool
) -> Iterator[pa.Table]:
    checked("recommend", {"k": k}, {"k": Integer(1)})
    ranked, run = run, run.match
    model = cast(MatchModel, run.model)
    items = Items.of(run.read, run.pipeline, run.folder / places.ITEMS)
    matrix = model.item_matrix()
    own = users[str(run.read.config.data.user)]
    ranker, wanted = None, k
    if ranked is not run:
        wanted = run.read.config.candidates.k
        if k > wanted:
            raise ValueError(
                f"recommend: k must be at most match.candidates.k, {wanted}, of a run "
                f"of two stages. Received: k={k}"
            )
        catalogue = run.folder / places.ITEMS
        ranker = Ranker(ranked.read, ranked.folder, items, catalogue)
    for start in range(0, len(users), BATCH):
        rows = users.slice(start, BATCH)
        columns = run.pipeline.transform(
            rows,
            events=run.events,
            columns=[column.name for column in asked_columns(run.read.schema)],
        )
        vectors, interests = model.user_vectors(columns)
        names = own.slice(start, BATCH)
        ids, scores = top_k(
            vectors,
            matrix,
            wanted,
            interest_mask=interests,
            exclude=None if include_seen else _seen(run, names),
            reserved=model.reserved,
        )
        if ranker is not None:
            ids, scores = ranker.order(rows, run.events, ids)
            ids, scores = ids[:, :k], scores[:, :k]
        there = ids >= 0  # few have less than k left
        user, rank = np.nonzero(there)
        found = ids[there]
        made = {
            "user": names.take(pa.array(user)),
            "rank": rank + 1,
            "item": items.values_of(found),
            "title": items.titles_of(found),
            "score": scores[there],
        }
        yield pa.table({name: of for name, of in made.items() if of is not None})


def _seen(run: "Run", users: pa.ChunkedArray) -> tuple[Any, Any]:
    """What each of some users has seen, as `(offsets, ids)`."""
    user = str(run.read.config.data.user)
    mine = pc.field(user).isin(users.combine_chunks())
    seen = pq.read_table(run.folder / places.SEEN, filters=mine)
    if not len(seen):
        return offsets_of(np.empty(0, np.int64), len(users)), np.empty(0, np.int64)
    place = pc.index_in(seen[user], users).to_numpy()
    item = str(item_of(run.read.schema))
    ids = run.pipeline.transform(seen, columns=[item])[item].to_numpy()
    order = np.argsort(place, kind="stable")
    return offsets_of(place, len(users)), ids[order].astype(np.int64)
