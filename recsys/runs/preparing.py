"""What all models of a run share: its rows, and the pipeline fitted to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.data.progress import working
from recsys.feature.schema.schema import Schema
from recsys.runs import folder as places
from recsys.runs.reading import Read
from recsys.runs.samples.checks import check_samples
from recsys.runs.samples.vectors import files_of_vectors
from recsys.runs.samples.write import write_samples

if TYPE_CHECKING:
    from recsys.runs.stages.hard import Candidates


def prepare(
    read: Read,
    samples: Path,
    here: Path,
    console: Console,
    hard: "Candidates | None" = None,
) -> Sequence[str]:
    """Makes rows and pipeline, as far as they are not there.

    Args:
        read: The configuration.
        samples: Folder of the rows.
        here: Folder of the pipeline's.
        console: Where to tell what goes on.
        hard: What draws negatives out of the lists of a match model.

    Returns:
        What was found in the rows.
    """
    if not samples.is_dir():
        with working("Making the rows"):
            written = write_samples(read.config, Path(), samples, hard)
        for part, rows in written.rows.items():
            console.print(f"{part}: {rows:,} rows", highlight=False)
        for note in written.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
    warnings = check_samples(read.config, samples)
    warn(warnings, console)
    if not (here / places.PIPELINE).is_dir():
        schema = Schema.from_dict(read.config.declared)
        pipeline = FeaturePipeline(
            schema.columns, schema.labels, schema.sample_weight, schema.groups
        )
        items = files_of_vectors(read, schema)
        pipeline.fit(str(samples / "train.parquet"), items).save(here / places.PIPELINE)
    return warnings


def warn(warnings: Sequence[str], console: Console) -> None:
    """Tells what looks odd."""
    for warning in warnings:
        text = f"Warning: {warning}"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
