"""The schema: which raw columns there are, and what becomes of each.

    columns:
    - {kind: categorical, name: user_id, min_count: 2}
    - {kind: categorical, name: item_id, belong: item}
    - {kind: multivalue, name: genres, belong: item, length: 4, separator: "|"}
    - {kind: numeric, name: price, belong: item, log1p: true, standardize: true}
    - kind: history
      name: watched
      of: [item_id]
      length: 50
      user: user_id
      time: timestamp
    - {kind: vector, name: image, length: 512, of: item_id, id_dropout: 0.2}
    labels: [label]
    groups: {user: user_id}

Ids are 0 for padding, 1 for unseen or missing values, and 2 and more for the rest.
"""

from recsys._face import public_face
from recsys.feature.schema.columns import (
    Bucketed,
    Categorical,
    Column,
    Hashed,
    Label,
    MultiValue,
    Numeric,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import KINDS, Schema
from recsys.feature.schema.vector import Vector

__all__ = [
    "KINDS",
    "Bucketed",
    "Categorical",
    "Column",
    "Hashed",
    "History",
    "Label",
    "MultiValue",
    "Numeric",
    "Schema",
    "Vector",
]

public_face(__name__)
