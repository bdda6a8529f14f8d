"""From files to `tf.data`: features, vocabularies, histories."""

from recsys._face import public_face
from recsys.data.pipeline import FeaturePipeline
from recsys.data.reader import as_columns
from recsys.data.splits import leave_one_out, split_by_ratio, split_by_time
from recsys.data.synthetic import click_log
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
from recsys.feature.schema.vector import Vector

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
    "Vector",
    "as_columns",
    "click_log",
    "leave_one_out",
    "split_by_ratio",
    "split_by_time",
]

public_face(__name__)
