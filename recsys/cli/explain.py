"""`recsys explain`: what the predictions of a run rest on."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing
from recsys.cli.telling import tell


def explain(
    run: Annotated[
        str, typer.Argument(help="A run: its folder, its name, or 'latest'.")
    ],
    files: Annotated[list[Path], typer.Argument(help="Raw rows, labels included.")],
    metric: Annotated[str, typer.Option(help="Such as auc, gauc or log_loss.")] = "auc",
    repeats: Annotated[int, typer.Option(min=1, help="Orders of each column.")] = 5,
    row: Annotated[
        int | None,
        typer.Option(min=0, help="Place of a row whose prediction is taken apart."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 0,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write all numbers here.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report here.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Tell how much each column matters, and how tables and gates are used."""
    with refusing("explain"):
        from recsys.runs.explaining.explain import explain
        from recsys.runs.finished import Run

        found = explain(
            Run(run, runs), files, metric=metric, repeats=repeats, row=row, seed=seed
        )
        tell(f"{run} explained", found.blocks(), found.plain(), as_json, html)
