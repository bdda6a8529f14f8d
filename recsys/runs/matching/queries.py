"""What a match model is asked for the users of a part, and what they should get."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.data.history import USER
from recsys.data.pipeline import FeaturePipeline
from recsys.runs.inputs import events_of
from recsys.runs.matching.checks import item_of
from recsys.runs.matching.columns import asked_columns, asked_sources
from recsys.runs.matching.rows import (
    ORDER,
    one_of_each_user,
    pairs_of,
    rows_of,
    scratch,
)
from recsys.runs.reading import Read
from recsys.runs.samples.kept import ITEM
from recsys.runs.samples.split import PARTS

NUMBER = "//number"
Ids = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Queries:
    """Users at the time of their first row of a part, with strictly earlier histories.

    Args:
        users: Their raw ids.
        rows: Their raw columns.
        columns: Their columns, as the model takes them.
        relevant: Ids of the items that they had in this part and not before, as
            `(offsets, ids)`.
        excluded: Ids of those that they had in earlier parts, alike, the latest last.
        notes: What was left out, in whole sentences with numbers.
    """

    users: pa.ChunkedArray
    rows: pa.Table
    columns: pa.Table
    relevant: Ids
    excluded: Ids
    notes: Sequence[str]

    def seen_by(self, user: int) -> NDArray[np.int64]:
        """Returns what a user had in earlier parts, the latest last."""
        offsets, ids = self.excluded
        return ids[offsets[user] : offsets[user + 1]]


def queries_of(
    read: Read, pipeline: FeaturePipeline, samples: Path, part: str
) -> Queries:
    """Returns the queries of a part.

    What a user had in an earlier part is not recommended again, and not asked for.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        part: `"valid"` or `"test"`.

    Raises:
        ValueError: If no user has anything in it that is new.
    """
    before = PARTS[: PARTS.index(part)]
    with scratch() as (engine, folder):
        rows = rows_of(read, samples, [part], engine)
        users = one_of_each_user(rows, last=False)
        number = ibis.row_number().over(order_by=USER)
        users = engine.keep(users.mutate(**{NUMBER: number}))
        numbers = users.select(USER, NUMBER)
        pairs = engine.keep(pairs_of(rows))
        earlier = pairs_of(rows_of(read, samples, before, engine))
        earlier = engine.keep(earlier.inner_join(numbers, USER))
        new = pairs.anti_join(earlier, [USER, ITEM]).inner_join(numbers, USER)
        again = engine.rows(pairs) - engine.rows(new)
        notes = []
        if again:
            notes.append(
                f"{part}: {again:,} of {engine.rows(pairs):,} items that users had are "
                "of those that they had before, which are not recommended again, and "
                "not asked for."
            )
        if again == engine.rows(pairs):
            raise ValueError(
                f"{part}: users must have items that they did not have before. "
                f"Received: none. {' '.join(notes)}"
            )
        unknown = engine.rows(numbers.anti_join(earlier, USER))
        if unknown:
            notes.append(
                f"{part}: {unknown:,} of {engine.rows(numbers):,} users have no "
                "earlier row."
            )
        asked = folder / "asked.parquet"
        engine.write(users.order_by(NUMBER).drop(USER, ITEM, *ORDER), asked)
        ids = {}
        for name, table in (("new", new), ("earlier", earlier)):
            path = folder / f"{name}.parquet"
            item = {NUMBER: NUMBER, str(read.config.data.item): ITEM}
            engine.write(table.order_by(NUMBER, *ORDER).select(**item), path)
            ids[name] = _ids(read, pipeline, path, engine.rows(numbers))
        raw = pq.read_table(asked, columns=asked_sources(read.schema, read.config.data))
        return Queries(
            raw[str(read.config.data.user)],
            raw,
            pipeline.transform(
                str(asked),
                events=events_of(read, samples),
                columns=[column.name for column in asked_columns(read.schema)],
            ),
            ids["new"],
            ids["earlier"],
            notes,
        )


def item_ids(read: Read, pipeline: FeaturePipeline, path: Path) -> NDArray[np.int64]:
    """Returns the id of the item of each row of a file."""
    name = str(item_of(read.schema))
    ids = pipeline.transform(str(path), columns=[name])[name]
    return np.asarray(ids, np.int64)


def offsets_of(numbers: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Returns where the rows of each number begin, if they are in order."""
    return np.cumsum([0, *np.bincount(numbers, minlength=size)])


def _ids(read: Read, pipeline: FeaturePipeline, path: Path, num_users: int) -> Ids:
    numbers = pq.read_table(path, columns=[NUMBER])[0].to_numpy()
    if not len(numbers):
        return offsets_of(numbers, num_users), numbers
    return offsets_of(numbers, num_users), item_ids(read, pipeline, path)
