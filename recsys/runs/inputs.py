"""The rows of a run as input of its model."""

from pathlib import Path
from typing import Any

from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.history import History
from recsys.runs import folder as places
from recsys.runs.reading import Read


def dataset_of(
    read: Read, pipeline: FeaturePipeline, samples: Path, part: str, seed: int = 0
) -> Any:
    """Returns the rows of a part as batches, shuffled if they train.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        part: Which of them.
        seed: Of the order.
    """
    return pipeline.dataset(
        str(samples / f"{part}.parquet"),
        read.config.training.batch_size,
        events=events_of(read, samples),
        shuffle=part == "train",
        seed=seed,
    )


def events_of(read: Read, samples: Path) -> str | None:
    """Returns the file of what histories are of, if there are any."""
    histories = any(isinstance(each, History) for each in read.schema.columns)
    return str(samples / places.EVENTS) if histories else None
