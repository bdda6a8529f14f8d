"""What a match model is judged by: its lists for users, out of all items."""

from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.runs.matching.building import build_match
from recsys.runs.matching.checks import monitor_of
from recsys.runs.matching.queries import Queries, item_ids, queries_of
from recsys.runs.reading import Read
from recsys.train.callbacks import CatalogueMetrics
from recsys.train.evaluation import evaluate
from recsys.train.match_model import MatchModel
from recsys.train.model import Model


class ListJudge:
    """Judges a match model by its lists.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        console: Where to tell what was left out.

    Attributes:
        monitor: What chooses the epoch.
        validation: Rows for `fit`: there are none, as the queries take their place.
    """

    validation = None

    def __init__(
        self, read: Read, pipeline: FeaturePipeline, samples: Path, console: Console
    ) -> None:
        self._read = read
        self._pipeline = pipeline
        self._samples = samples
        self._console = console
        self.monitor = monitor_of(read.config)

    def model(self) -> MatchModel:
        """Returns the model, not yet compiled."""
        return build_match(self._read, self._pipeline, self._samples)

    @cached_property
    def callbacks(self) -> list[Any]:
        """What adds the metrics of the validation users to the logs."""
        asked = self._queries("valid")
        return [
            CatalogueMetrics(
                asked.columns,
                asked.relevant,
                exclude=asked.excluded,
                k=self._read.config.candidates.k,
            )
        ]

    def tested(self, model: Model, at: Path) -> dict[str, Any]:
        """Returns the metrics of the test users, and those of the most popular items.

        Args:
            model: The model.
            at: Folder of its seed.
        """
        asked = self._queries("test")
        lists = cast(MatchModel, model)
        train = item_ids(self._read, self._pipeline, self._samples / "train.parquet")
        counts = np.bincount(train, minlength=len(lists.item_matrix()))
        popular = np.ones((len(asked.users), 1)), counts[:, None].astype(float)
        common: dict[str, Any] = {
            "exclude": asked.excluded,
            "k": self._read.config.candidates.k,
            "metrics": ("recall", "ndcg"),
        }
        return {
            "test": evaluate(lists, asked.relevant, users=asked.columns, **common),
            "baseline": evaluate(popular, asked.relevant, **common),
        }

    def _queries(self, part: str) -> Queries:
        found = queries_of(self._read, self._pipeline, self._samples, part)
        for note in found.notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)
        return found
