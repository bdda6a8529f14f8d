"""What a pipeline learned from the data of `fit`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.feature.schema import (
    FIRST_ID,
    Bucketed,
    Column,
    Hashed,
    Numeric,
    Vocabulary,
)


@dataclass(frozen=True)
class Fitted:
    """Vocabularies and statistics.

    Args:
        families: Column -> type of its raw values: `integer`, `string`, `boolean` or
            `date`.
        vocabularies: Column -> Arrow table of `value` and `count`, the value of id 2
            first.
        unseen: Column -> how many values got the id of unseen ones.
        statistics: Column -> its `mean` and `std`, and its `edges`: of buckets in raw
            units, of bins in those of the model input.
    """

    families: Mapping[str, str]
    vocabularies: Mapping[str, pa.Table]
    unseen: Mapping[str, int]
    statistics: Mapping[str, Mapping[str, Any]]

    @cached_property
    def fingerprint(self) -> str:
        """What changes when ids or numbers of the model input change their meaning.

        How often values occur does not count, nor the last digits of statistics, which
        depend on the order of a sum.
        """
        statistics = {
            f"{name}/{key}": [f"{number:.6g}" for number in np.ravel(value)]
            for name, of in sorted(self.statistics.items())
            for key, value in sorted(of.items())
        }
        digest = hashlib.sha256(
            repr([sorted(self.families.items()), statistics]).encode()
        )
        for name, words in sorted(self.vocabularies.items()):
            digest.update(name.encode())
            for start in range(0, len(words), 2**16):
                values = words["value"].slice(start, 2**16).to_pylist()
                digest.update(repr(values).encode())
        return digest.hexdigest()

    def vocabulary_size(self, owner: Column) -> int:
        """Returns the number of ids of a table, 0 and 1 included; 1 for a number."""
        if isinstance(owner, Vocabulary):
            return FIRST_ID + len(self.vocabularies[owner.name])
        if isinstance(owner, Hashed):
            return FIRST_ID + owner.num_buckets
        if isinstance(owner, Bucketed):
            return FIRST_ID + len(self.statistics[owner.name]["edges"]) + 1
        return 1

    def bins(self, column: Column) -> Sequence[float] | None:
        """Returns the edges of the bins of a number that the model encodes, if any."""
        if isinstance(column, Numeric) and column.bins is not None:
            edges: Sequence[float] = self.statistics[column.name]["edges"]
            return edges
        return None

    def counts(self, owner: Column) -> np.ndarray | None:
        """Returns how often `fit` saw each id, `(vocabulary_size,)`, if it counted."""
        if not isinstance(owner, Vocabulary):
            return None
        counts = self.vocabularies[owner.name]["count"].to_numpy()
        return np.concatenate([[0, self.unseen[owner.name]], counts])
