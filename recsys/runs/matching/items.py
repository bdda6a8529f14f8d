"""What the ids of items stand for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.columns import FIRST_ID
from recsys.runs.matching.checks import item_of
from recsys.runs.reading import Read
from recsys.runs.samples.titles import title_in


@dataclass(frozen=True)
class Items:
    """Raw ids and titles of items, by their ids from `FIRST_ID` on.

    Args:
        values: The raw ids.
        titles: The titles, null where there is none; `None` if no item has any.
    """

    values: pa.Array
    titles: pa.Array | None

    @classmethod
    def of(cls, read: Read, pipeline: FeaturePipeline, path: Path) -> "Items":
        """Returns those of a run.

        Args:
            read: Its configuration.
            pipeline: Its pipeline, fitted.
            path: The file of items.
        """
        words = pipeline.vocabulary(str(item_of(read.schema)))["value"]
        values = words.combine_chunks()
        item = str(read.config.data.item)
        title = title_in(pq.read_schema(path).names, item)
        if title is None:
            return cls(values, None)
        table = pq.read_table(path, columns=[item, title])
        place = pc.index_in(values, table[item].cast(values.type))
        return cls(values, table[title].take(place).combine_chunks().cast("string"))

    def values_of(self, ids: NDArray[np.integer]) -> pa.Array:
        """Returns the raw ids of items."""
        return self.values.take(pa.array(ids - FIRST_ID))

    def titles_of(self, ids: NDArray[np.integer]) -> pa.Array:
        """Returns their titles, if there are any."""
        return (
            None if self.titles is None else self.titles.take(pa.array(ids - FIRST_ID))
        )

    def names_of(self, ids: NDArray[np.integer]) -> list[str]:
        """Returns what people may know them by: titles, or else raw ids."""
        names = self.values_of(ids).cast("string")
        if self.titles is not None:
            names = pc.coalesce(self.titles_of(ids), names)
        found: list[str] = names.to_pylist()
        return found
