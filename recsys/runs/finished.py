"""A run that has ended, as Python has it."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from recsys.data.pipeline import FeaturePipeline
from recsys.registry import load_model
from recsys.runs import folder as places
from recsys.runs.page import in_notebook
from recsys.runs.reading import Read, read_config

if TYPE_CHECKING:
    import pyarrow as pa

    from recsys.train.model import Model


class Run:
    """What training left in a folder.

    Args:
        name: The folder, its name in `runs`, or `latest`.
        runs: Folder of all runs.

    Raises:
        ValueError: If there is no such run, or it has not ended.
    """

    def __init__(self, name: str | Path, runs: str | Path = places.RUNS) -> None:
        self.folder = places.find_run(name, Path(runs))

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        return in_notebook((self.folder / places.REPORT).read_text(encoding="utf-8"))

    @cached_property
    def read(self) -> Read:
        """The configuration as used."""
        return read_config(self.folder / places.CONFIG)

    @cached_property
    def pipeline(self) -> FeaturePipeline:
        """The fitted pipeline."""
        return FeaturePipeline.load(self.folder / places.PIPELINE)

    @cached_property
    def model(self) -> "Model":
        """The best model of the first seed."""
        return cast("Model", load_model(self.folder / places.MODEL))

    @cached_property
    def match(self) -> "Run":
        """The run that chooses items: of two stages the first, else this one."""
        if self.read.config.match is None:
            return self
        return Run(self.folder / places.MATCH)

    @property
    def metrics(self) -> dict[str, Any]:
        """What is known of the test rows, the best epoch, parameters and seconds."""
        found: dict[str, Any] = json.loads((self.folder / places.METRICS).read_text())
        return found

    @property
    def events(self) -> str | None:
        """The file of the events that histories are taken from, if there are any."""
        path = self.folder / places.EVENTS
        return str(path) if path.exists() else None

    def recommend(
        self,
        users: Sequence[Any] | None = None,
        k: int = 10,
        *,
        include_seen: bool = False,
    ) -> "pa.Table":
        """Returns the best items for users, of a run of a match model.

        Of two stages, the second puts the candidates of the first in order. Histories
        end with the last event that they may hold: of a split by ratio those
        that trained, else all.

        Args:
            users: Raw ids; default: all that have rows.
            k: Most items of each.
            include_seen: Whether items of a user's own rows may be among them.

        Returns:
            Table of `user`, `rank` from 1, `item`, `title`, if items have any, and
            `score`; raw ids, users in their order.

        Raises:
            ValueError: If the run is of no match model or has no rows of a user,
                `users` is no list of one or more, or `k` is less than 1, or of two
                stages more than there are candidates.
        """
        from recsys.runs.matching.recommending import recommend

        return recommend(self, users, k, include_seen)
