"""Which runs are of match models."""

from recsys.registry import family_of
from recsys.runs.config import Config


def is_match(config: Config) -> bool:
    """Whether the model of a run is one that recommends out of all items."""
    return family_of(config.model.name) == "match"
