"""`recsys explain`: what the predictions of a run rest on."""

import json
from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing


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
        from rich.console import Console

        from recsys.runs.evaluation.evaluating import print_block
        from recsys.runs.explaining.explain import explain
        from recsys.runs.finished import Run
        from recsys.runs.page import write_html

        found = explain(
            Run(run, runs), files, metric=metric, repeats=repeats, row=row, seed=seed
        )
        blocks = found.blocks()
        for block in blocks:
            print_block(block, Console())
        if as_json is not None:
            as_json.write_text(json.dumps(found.plain(), indent=2) + "\n")
        if html is not None:
            write_html(html, f"{run} explained", blocks)
