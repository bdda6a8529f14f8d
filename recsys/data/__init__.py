"""From files to `tf.data`: features, vocabularies, histories."""

from recsys.data.pipeline import FeaturePipeline
from recsys.data.reader import as_columns
from recsys.data.splits import leave_one_out, split_by_ratio, split_by_time
from recsys.feature.schema.columns import (
    Bucketed,
    Categorical,
    Hashed,
    Label,
    MultiValue,
    Numeric,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema

__all__ = [
    "Bucketed",
    "Categorical",
    "FeaturePipeline",
    "Hashed",
    "History",
    "Label",
    "MultiValue",
    "Numeric",
    "Schema",
    "as_columns",
    "leave_one_out",
    "split_by_ratio",
    "split_by_time",
]
