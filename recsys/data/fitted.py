"""What a pipeline learned from the data of `fit`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.feature.schema import FIRST_ID, Bucketed, Column, Hashed, Vocabulary


@dataclass(frozen=True)
class Fitted:
    """Vocabularies and statistics.

    Args:
        families: Column -> type of its raw values: `integer`, `string`, `boolean` or
            `date`.
        vocabularies: Column -> Arrow table of `value` and `count`, the value of id 2
            first.
        unseen: Column -> how many values got the id of unseen ones.
        statistics: Column -> its `mean` and `std`, or its `edges`.
    """

    families: Mapping[str, str]
    vocabularies: Mapping[str, pa.Table]
    unseen: Mapping[str, int]
    statistics: Mapping[str, Mapping[str, Any]]

    def vocabulary_size(self, owner: Column) -> int:
        """Returns the number of ids of a table, 0 and 1 included; 1 for a number."""
        if isinstance(owner, Vocabulary):
            return FIRST_ID + len(self.vocabularies[owner.name])
        if isinstance(owner, Hashed):
            return FIRST_ID + owner.num_buckets
        if isinstance(owner, Bucketed):
            return FIRST_ID + len(self.statistics[owner.name]["edges"]) + 1
        return 1

    def counts(self, owner: Column) -> np.ndarray | None:
        """Returns how often `fit` saw each id, `(vocabulary_size,)`, if it counted."""
        if not isinstance(owner, Vocabulary):
            return None
        counts = self.vocabularies[owner.name]["count"].to_numpy()
        return np.concatenate([[0, self.unseen[owner.name]], counts])
