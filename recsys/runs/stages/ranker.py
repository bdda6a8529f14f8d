"""The second of two stages: a model that puts the candidates of each user in order."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.data.pipeline import FeaturePipeline
from recsys.data.reader import as_columns
from recsys.feature.schema.columns import FIRST_ID
from recsys.registry import load_model
from recsys.runs import folder as places
from recsys.runs.matching.columns import asked_columns
from recsys.runs.matching.items import Items
from recsys.runs.predicting import by_task
from recsys.runs.reading import Read
from recsys.train.model import Model

ROWS = 2**19  # pairs of a user and an item that are scored at a time


class Ranker:
    """Scores pairs of users and candidates; columns of each are made once.

    Several tasks rank by the first.

    Args:
        read: The configuration of the run.
        here: Its folder, with the trained model.
        items: What the ids of the match model stand for.
        catalogue: The file with the raw columns of the items.
    """

    def __init__(self, read: Read, here: Path, items: Items, catalogue: Path) -> None:
        self._read = read
        self._pipeline = FeaturePipeline.load(here / places.PIPELINE)
        self._model = cast(Model, load_model(here / places.MODEL))
        self._asked = [column.name for column in asked_columns(read.schema)]
        own = [c.name for c in read.schema.columns if c.name not in self._asked]
        table = pq.read_table(catalogue)
        ids = table[str(read.config.data.item)].cast(items.values.type)
        place = pc.index_in(items.values, ids)
        self._known = place.is_valid().to_numpy(zero_copy_only=False)
        table = table.take(place)
        self._items = as_columns(self._pipeline.transform(table, columns=own))

    def order(
        self, users: pa.Table, events: str | None, ids: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Returns candidates with the best first, and their scores.

        Args:
            users: Raw columns of the users.
            events: File of what histories are of.
            ids: Candidates by the ids of the match model, `(users, k)`, -1 for none.

        Returns:
            The same ids and their scores, `(users, k)`, -1 and -infinity for none, and
            for items of which the run has no row. Of equal scores the first candidate
            stays first.
        """
        columns = as_columns(
            self._pipeline.transform(users, events=events, columns=self._asked)
        )
        scores = np.full(ids.shape, -np.inf)
        block = max(ROWS // max(ids.shape[1], 1), 1)
        for start in range(0, len(ids), block):
            part = ids[start : start + block]
            has_row = self._known[np.maximum(part - FIRST_ID, 0)]
            user, place = np.nonzero((part >= 0) & has_row)
            if len(user):
                item = part[user, place] - FIRST_ID
                pairs: dict[str, Any] = {
                    name: of[start + user] for name, of in columns.items()
                }
                pairs |= {name: of[item] for name, of in self._items.items()}
                scores[start + user, place] = self._scores(pairs)
        best = np.argsort(-scores, axis=1, kind="stable")
        scores = np.take_along_axis(scores, best, axis=1)
        ids = np.take_along_axis(ids, best, axis=1)
        return np.where(np.isfinite(scores), ids, -1), scores

    def _scores(self, pairs: dict[str, Any]) -> NDArray[Any]:
        batch = self._read.config.training.batch_size
        found = by_task(self._read, self._model.predict(pairs, batch, verbose=0))
        return found[self._read.schema.labels[0].name]
