"""Hard negatives: what a match model recommends, and the user did not choose."""

from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.data.history import USER
from recsys.data.layout import ROW
from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.columns import FIRST_ID
from recsys.registry import load_model
from recsys.retrieval.search import top_k
from recsys.runs import folder as places
from recsys.runs.inputs import events_of
from recsys.runs.matching.columns import asked_columns, asked_sources
from recsys.runs.matching.items import Items
from recsys.runs.reading import Read
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.events import Events
from recsys.runs.samples.kept import ITEM
from recsys.runs.samples.negatives import NUMBER
from recsys.train.match_model import MatchModel

BLOCK = 2**17  # events at a time; histories sort the whole log for each


class Candidates:
    """Draws negatives out of the best items for the user of each event, at its time.

    What a user chose in any event, earlier or later, is none of them.

    Args:
        first: The configuration of the match model.
        at: The folder of its run, with the trained model.
        samples: Folder of its rows.
    """

    def __init__(self, first: Read, at: Path, samples: Path) -> None:
        self._read = first
        self._pipeline = FeaturePipeline.load(at / places.PIPELINE)
        self._model = cast(MatchModel, load_model(at / places.MODEL))
        self._items = Items.of(first, self._pipeline, samples / places.ITEMS)
        self._matrix = self._model.item_matrix()
        self._log = events_of(first, samples)

    def draw(
        self,
        events: Events,
        keys: Any,
        items: Any,
        chosen: Any,
        per_event: int,
        seed: int,
        engine: Engine,
    ) -> tuple[Any, list[str]]:
        """Returns what `samples.negatives.drawn` does.

        Args:
            events: All events.
            keys: Those for which items are drawn: `ROW`, `USER`.
            items: The items that may be: `ITEM`.
            chosen: Table of `USER` and `ITEM`, each pair once.
            per_event: How many are drawn for an event.
            seed: Of what is drawn.
            engine: What runs the steps.
        """
        path = engine.scratch / f"candidates-{uuid4().hex}.parquet"
        rows = engine.run(keys.select(ROW).order_by(ROW))[ROW].to_numpy()
        there = self._places_of(engine.run(items.select(ITEM))[ITEM])
        writer, short = None, 0
        for number, start in enumerate(range(0, len(rows), BLOCK)):
            some = rows[start : start + BLOCK]
            own = keys.filter(keys[ROW].between(int(some[0]), int(some[-1])))
            ids = self._best(events, own.select(ROW, USER), there, chosen, engine)
            rng = np.random.default_rng([seed, int(some[0]), number])
            order = np.where(ids >= 0, rng.random(ids.shape), np.inf)
            best = np.argsort(order, axis=1, kind="stable")[:, :per_event]
            ids = np.take_along_axis(ids, best, axis=1)
            row, place = np.nonzero(ids >= 0)
            enough = np.bincount(row, minlength=len(some)) == per_event
            short += int((~enough).sum())
            found = self._items.values_of(ids[row, place])
            table = pa.table({ROW: some[row], NUMBER: place + 1, ITEM: found})
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        notes = []
        if short:
            notes.append(
                f"{short:,} of {len(rows):,} events have less than {per_event} "
                "negatives, as their users chose almost all of the "
                f"{self._read.config.candidates.k} candidates, or there are no more."
            )
        drawn = engine.connection.read_parquet(path)
        types = {ROW: keys[ROW].type(), ITEM: chosen[ITEM].type(), NUMBER: "int64"}
        return engine.keep(drawn.cast(types).select(ROW, NUMBER, ITEM)), notes

    def _places_of(self, items: pa.ChunkedArray) -> NDArray[np.int64]:
        """The ids of items, rising, of those that have one."""
        place = pc.index_in(items.cast(self._items.values.type), self._items.values)
        return np.unique(place.drop_null().to_numpy()) + FIRST_ID

    def _best(
        self,
        events: Events,
        own: Any,
        there: NDArray[np.int64],
        chosen: Any,
        engine: Engine,
    ) -> NDArray[np.int64]:
        """The candidates of some events by their ids, `(events, k)`, -1 for none."""
        names = asked_sources(self._read.schema, self._read.config.data)
        raw = events.table.select(ROW, *names).inner_join(own, ROW).order_by(ROW)
        rows = engine.run(raw)
        columns = self._pipeline.transform(
            rows.select(names),
            events=self._log,
            columns=[column.name for column in asked_columns(self._read.schema)],
        )
        vectors, interests = self._model.user_vectors(columns)
        offsets, had = self._had(rows[USER], own, chosen, engine)
        place = np.searchsorted(
            there, had
        )  # all of them are there but for other parts'
        known = np.isin(had, there)
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[known]
        offsets = np.cumsum([0, *np.bincount(owner, minlength=len(rows))])
        found, _ = top_k(
            vectors,
            self._matrix[there],
            self._read.config.candidates.k,
            interest_mask=interests,
            exclude=(offsets, place[known]),
            reserved=0,
        )
        return np.where(found >= 0, there[found], -1)

    def _had(
        self, users: pa.ChunkedArray, own: Any, chosen: Any, engine: Engine
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What the user of each event has chosen, as `(offsets, ids)`."""
        pairs = engine.run(chosen.semi_join(own, USER).order_by(USER))
        items = pairs[ITEM].cast(self._items.values.type)
        place = pc.index_in(items, self._items.values)
        pairs = pairs.append_column("id", place).filter(place.is_valid())
        known = pairs[USER].combine_chunks().dictionary_encode()
        sizes = np.bincount(known.indices, minlength=len(known.dictionary))
        begins = np.cumsum([0, *sizes])
        ids = pairs["id"].to_numpy() + FIRST_ID
        user = pc.index_in(users, known.dictionary)
        each = [
            ids[begins[u] : begins[u + 1]] if u is not None else ids[:0]
            for u in user.to_pylist()
        ]
        offsets = np.cumsum([0, *map(len, each)])
        return offsets, np.concatenate(each).astype(np.int64)
