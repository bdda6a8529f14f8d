"""From files to `tf.data`: features, vocabularies, histories."""

from recsys.data.pipeline import FeaturePipeline
from recsys.data.reader import as_columns
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
]
