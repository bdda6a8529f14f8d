"""What all models of a run share: its rows, and the pipeline fitted to them."""

from pathlib import Path

from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.data.progress import working
from recsys.runs import folder as places
from recsys.runs.reading import Read
from recsys.runs.samples.checks import check_samples
from recsys.runs.samples.write import write_samples


def prepare(read: Read, samples: Path, here: Path, console: Console) -> list[str]:
    """Makes rows and pipeline, as far as they are not there.

    Args:
        read: The configuration.
        samples: Folder of the rows.
        here: Folder of the pipeline's.
        console: Where to tell what goes on.

    Returns:
        What was found in the rows.
    """
    if not samples.is_dir():
        with working("Making the rows"):
            written = write_samples(read.config, Path(), samples)
        for part, rows in written.rows.items():
            console.print(f"{part}: {rows:,} rows", highlight=False)
        for note in written.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
    warnings = check_samples(read.config, samples)
    for warning in warnings:
        text = f"Warning: {warning}"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    if not (here / places.PIPELINE).is_dir():
        schema = read.schema
        pipeline = FeaturePipeline(
            schema.columns, schema.labels, schema.sample_weight, schema.groups
        )
        pipeline.fit(str(samples / "train.parquet")).save(here / places.PIPELINE)
    return warnings
