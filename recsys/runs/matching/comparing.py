"""Match runs beside each other: the metrics of their lists, seed by seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.runs import folder as places
from recsys.runs.finished import Run
from recsys.runs.matching.kind import is_match

TASK = "test users"
NOTE = (
    "Mean ± deviation over seeds of the test users; differences are those to {first}. "
    "What of them is chance is not told: users are not resampled."
)
SECTIONS = ("samples", "split", "candidates")


def check_lists(runs: Sequence[Run]) -> None:
    """Raises `ValueError` unless all are match runs of the same test users."""
    first = runs[0]
    for run in runs:
        if not is_match(run.read.config):
            raise ValueError(
                "Match runs must be compared with match runs. Received: "
                f"{run.folder}, of {run.read.config.model.name}"
            )
        for name, one, other in zip(
            ("data", *SECTIONS), _rows(run), _rows(first), strict=True
        ):
            if one != other:
                raise ValueError(
                    "Runs to compare must have the same test users. Received: "
                    f"{run.folder}, whose {name} is not that of {first.folder}"
                )


def metrics_of(folder: Path) -> Mapping[str, NDArray[np.float64]]:
    """Returns the metrics of a seed, as draws of a bootstrap without resamples."""
    found = json.loads((folder / places.METRICS).read_text())["test"]
    return {name: np.array([value]) for name, value in found.items()}


def _rows(run: Run) -> list[Any]:
    """What a run's test rows depend on."""
    config = run.read.config
    files = places.read_record(run.folder)["data"].values()
    keys = config.data.user, config.data.item, config.data.time
    return [([*files], keys), *(getattr(config, name) for name in SECTIONS)]
