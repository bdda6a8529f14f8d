"""The first of two stages, as a run of its own."""

from collections.abc import Mapping
from typing import Any

from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Config, Evaluation
from recsys.runs.matching.checks import check_match
from recsys.runs.matching.kind import is_match
from recsys.runs.reading import Keys, Origin, Read

_REPLACED = ("model", "training", "candidates", "evaluation")


def first_stage(read: Read) -> Read:
    """Returns the configuration of the match model of a run of two stages.

    Both have the same events, which are split alike; of these the match model learns
    from the positives, and draws its own negatives.

    Args:
        read: The configuration of the run; its section `match` is there.

    Raises:
        ValueError: If it is none of a match model, or the model that ranks is one; with
            the line.
    """
    config, origin = read.config, read.origin
    stage = config.match
    if stage is None:
        raise ValueError("The configuration must have a section match. Received: none")
    if is_match(config):
        raise ValueError(
            f"{origin.where('model', 'name')}: model must be one that answers tasks "
            "where there is a section match, whose items it ranks. Received: "
            f"{config.model.name}, a match model"
        )
    ranks = read.schema.labels[:1]
    if ranks and ranks[0].belong == "multiclass":
        raise ValueError(
            f"{origin.where('schema', 'labels', 0)}: the first label must be one to "
            f"rank items by, in a run of two stages. Received: {ranks[0].name!r}, "
            "multiclass"
        )
    declared = {
        key: value
        for key, value in config.declared.items()
        if key not in ("labels", "groups")
    }
    schema = Schema.from_dict(declared).of_rows
    made = config.model_copy(
        update={
            "declared": declared,
            "samples": config.samples.model_copy(
                update={"labels": _rules(config, schema), "negatives": None}
            ),
            "match": None,
            "model": stage.model,
            "training": stage.training,
            "evaluation": Evaluation(),
            "candidates": stage.candidates,
        }
    )
    first = Read(
        made,
        schema,
        Origin(origin.path, _moved(origin.lines), _moved(origin.settings)),
    )
    try:
        chosen = is_match(made)
    except ValueError as error:
        where = origin.where("match", "model", "name")
        raise ValueError(f"{where}: {error}") from error
    if not chosen:
        raise ValueError(
            f"{origin.where('match', 'model', 'name')}: match.model must be a match "
            f"model, as `recsys models match` lists them. Received: {stage.model.name}"
        )
    check_match(first)
    return first


def _rules(config: Config, schema: Schema) -> dict[str, str]:
    """The labels by a rule that are read without labels in the schema."""
    samples = config.samples
    read = {*samples.where, *samples.positives}
    for column in schema.columns:
        if isinstance(column, History):
            read |= {*column.where}
    return {name: rule for name, rule in samples.labels.items() if name in read}


def _moved(places: Mapping[Keys, Any]) -> dict[Keys, Any]:
    """Where the keys of the section `match` are those of the configuration."""
    own = {keys: at for keys, at in places.items() if keys[0] not in _REPLACED}
    return own | {keys[1:]: at for keys, at in places.items() if keys[:1] == ("match",)}
