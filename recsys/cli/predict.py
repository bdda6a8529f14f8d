"""`recsys predict`: scores of raw rows by a run's model."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing


def predict(
    run: Annotated[
        str, typer.Argument(help="A run: its folder, its name, or 'latest'.")
    ],
    files: Annotated[
        list[Path], typer.Argument(help="Raw rows, as those that trained; no labels.")
    ],
    output: Annotated[
        Path, typer.Option(help="Where the scores go: .parquet or .csv.")
    ],
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Write the predictions of each row of files, in their order."""
    with refusing("predict"):
        from recsys.runs.finished import Run
        from recsys.runs.predicting import predict_files

        made_by = Run(run, runs)
        predict_files(made_by, files, output)
        typer.echo(f"Wrote {output}, by {made_by.folder}")
