"""The vectors of items that a pipeline has learned."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.feature._constraints import Integer, Number
from recsys.feature.content import Content
from recsys.feature.schema.columns import FIRST_ID
from recsys.feature.schema.vector import Vector


@dataclass(frozen=True)
class ItemVectors:
    """The vectors of the items of a table.

    Args:
        vectors: `(vocabulary_size, length)`, scaled; 0 where an id has none.
        num_rows: Ids from here on have no row in the table of ids.
        mean: What was subtracted, `(length,)`; empty if each was divided by its length.
        std: What they were divided by, if not.
    """

    vectors: np.ndarray
    num_rows: int
    mean: list[float]
    std: float

    def content(self, column: Vector) -> Content:
        """Returns them as fields have them."""
        return Content(self.vectors, column.fuse, column.id_dropout, self.num_rows)

    def check(self, column: Vector, vocabulary_size: int) -> None:
        """Raises `ValueError` unless `fit` may have learned this of a column."""
        shape, numbers = (vocabulary_size, column.length), self.vectors
        means = isinstance(self.mean, list) and len(self.mean) in (0, column.length)
        if not (
            numbers.shape == shape
            and numbers.dtype == column.dtype
            and np.isfinite(numbers).all()
            and Integer(FIRST_ID, vocabulary_size).accepts(self.num_rows)
            and means
            and all(map(Number().accepts, self.mean))
            and Number(above=0).accepts(self.std)
        ):
            raise ValueError(
                f"vectors of {column.name!r} must be such as `fit` learns with this "
                f"schema, {column.dtype} of shape {shape}. Received: {numbers.dtype} "
                f"of shape {numbers.shape}, num_rows={self.num_rows!r}"
            )

    def told(self) -> dict[str, Any]:
        """Returns all but the vectors, as a file of text holds it."""
        return {"num_rows": self.num_rows, "std": self.std, "mean": self.mean}

    def write(self, file: Path) -> None:
        """Writes the vectors of the ids from `FIRST_ID` on."""
        rows = np.ascontiguousarray(self.vectors[FIRST_ID:])
        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        pq.write_table(pa.table({"vector": lists}), file, write_page_checksum=True)


def read_vectors(file: Path, told: Any) -> ItemVectors:
    """Reads what `write` wrote, and adds what it `told`."""
    table = pq.read_table(file, page_checksum_verification=True)
    lists = table["vector"].combine_chunks()
    rows = lists.flatten().to_numpy().reshape(len(lists), lists.type.list_size)
    none = np.zeros((FIRST_ID, rows.shape[1]), rows.dtype)
    return ItemVectors(np.concatenate([none, rows]), **told)
