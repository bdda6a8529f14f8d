"""From files to `tf.data`: features, vocabularies, histories."""

from recsys.data.pipeline import FeaturePipeline
from recsys.data.reader import as_columns
from recsys.data.splits import leave_one_out, split_by_ratio, split_by_time
from recsys.feature.schema import (
    Bucketed,
    Categorical,
    Hashed,
    History,
    Label,
    MultiValue,
    Numeric,
    Schema,
)

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
