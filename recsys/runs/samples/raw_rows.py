"""Rows of other files than those of the run, as its model's pipeline takes them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recsys.data.layout import ROW
from recsys.data.writing import temporary_folder
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Config, Samples, Split
from recsys.runs.samples.engine import embedded
from recsys.runs.samples.events import read_events
from recsys.runs.samples.wanted import Wanted


def write_raw_rows(
    config: Config, schema: Schema, files: Sequence[str], path: Path, labelled: bool
) -> None:
    """Writes the raw columns of all rows of files, in their order.

    Args:
        config: The run, whose files of items and users are joined.
        schema: Its schema.
        files: The files.
        path: The parquet file to write.
        labelled: Whether the rows have labels, or columns that rules make them of.

    Raises:
        FileNotFoundError, ValueError: As in `read_events`.
    """
    # Histories are of other events; of the rows they need the user and the time.
    columns = [
        replace(each, where={}) if isinstance(each, History) else each
        for each in schema.columns
    ]
    schema = replace(schema, columns=columns)
    if not labelled:
        schema = replace(schema, labels=(), groups={}, sample_weight=None)
    labels = config.samples.labels if labelled else {}
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update={"files": [*files]}),
            "samples": Samples(labels=labels),
            "split": Split(by="ratio"),
        }
    )
    scratch = temporary_folder()
    try:
        with embedded(Path(scratch.name) / "engine") as engine:
            events = read_events(Wanted(config, schema), Path(), engine)
            engine.connection.to_parquet(events.table.order_by(ROW).drop(ROW), path)
    finally:
        scratch.cleanup()
