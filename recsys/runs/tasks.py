"""What a model that answers tasks is judged by: labelled rows."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.runs import folder as places
from recsys.runs.baseline import item_rates
from recsys.runs.building import build, metrics_of
from recsys.runs.explaining.gates import mean_gates
from recsys.runs.inputs import dataset_of
from recsys.runs.measures import direction_of
from recsys.runs.predicting import write_test_predictions
from recsys.runs.reading import Read
from recsys.train.model import Model


class TaskJudge:
    """Judges a model by labelled rows.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        console: Where to tell what goes on.

    Attributes:
        monitor: What chooses the epoch.
        callbacks: What adds to the logs.
    """

    callbacks: tuple[Any, ...] = ()

    def __init__(
        self, read: Read, pipeline: FeaturePipeline, samples: Path, console: Console
    ) -> None:
        self._read = read
        self._pipeline = pipeline
        self._samples = samples
        self.monitor = monitor_of(read)

    def model(self) -> Model:
        """Returns the model, not yet compiled."""
        return build(self._read, self._pipeline)

    @cached_property
    def validation(self) -> Any:
        """The rows that choose the epoch."""
        return dataset_of(self._read, self._pipeline, self._samples, "valid")

    def tested(self, model: Model, at: Path) -> dict[str, Any]:
        """Writes the predictions of the test rows, and returns their metrics.

        Beside them are those of the rates of items, and how gates share these rows.

        Args:
            model: The model.
            at: Folder of its seed.
        """
        test = dataset_of(self._read, self._pipeline, self._samples, "test")
        found = model.evaluate(test, verbose=0, return_dict=True)
        rows = self._samples / "test.parquet"
        write_test_predictions(self._read, rows, model, test, at / places.PREDICTIONS)
        return {
            "test": {name: float(value) for name, value in found.items()},
            "baseline": item_rates(self._read, self._samples),
            "gates": mean_gates(model, test),
        }


def monitor_of(read: Read) -> str:
    """Returns what chooses the epoch: as given, or the first metric of all tasks.

    Raises:
        ValueError: If neither more nor less of it is better; with the line.
    """
    name, metrics = read.config.training.monitor, metrics_of(read)
    if name is None and isinstance(metrics, Mapping):
        name = "val_loss"
    if name is None:
        several = "_task_macro" if len(read.schema.labels) > 1 else ""
        name = f"val_{metrics[0].name}{several}"
    try:
        direction_of(name)
        return name
    except ValueError as error:
        where = read.origin.where("training", "monitor")
        raise ValueError(f"{where}: {error}") from error
