"""From a configuration to a match model."""

from pathlib import Path
from typing import Any, cast

from recsys.about import about
from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.columns import RawColumn
from recsys.registry import create_model
from recsys.runs import folder as places
from recsys.runs.matching.checks import item_of, user_of
from recsys.runs.reading import Read
from recsys.train.match_model import MatchModel


def build_match(read: Read, pipeline: FeaturePipeline, samples: Path) -> MatchModel:
    """Returns the model of a configuration, not yet compiled.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows, and of the items.

    Raises:
        ValueError: If it cannot be built from these fields and arguments, or its scores
            are no dot products; with the line of the file.
    """
    chosen, schema = read.config.model, read.schema
    item, needs = str(item_of(schema)), about(chosen.name).needs
    asked: dict[str, Any] = {}
    if "catalogue" in needs and any(
        isinstance(column, RawColumn) and column.belong == "item"
        for column in schema.columns
        if column.name != item
    ):
        asked["catalogue"] = pipeline.catalogue(str(samples / places.ITEMS), item)
    if "graph" in needs:
        names = [str(user_of(schema)), item]
        pairs = pipeline.transform(str(samples / "train.parquet"), columns=names)
        users, items = (pairs[name].to_numpy() for name in names)
        known = items >= 2  # rare ones may have no id of their own
        asked["interactions"] = users[known], items[known]
    if schema.sample_weight is not None:
        asked["sample_weight"] = "sample_weight"
    try:
        fields = pipeline.fields(chosen.dim)
        model = create_model(chosen.name, fields, **{**asked, **chosen.arguments})
        made = cast(MatchModel, model)
        _ = made.user_model  # raises where nothing can be recommended
    except (TypeError, ValueError) as error:
        keys = ("model", "arguments") if "argument" in str(error) else ("model", "name")
        raise ValueError(f"{read.origin.where(*keys)}: {error}") from error
    return made
