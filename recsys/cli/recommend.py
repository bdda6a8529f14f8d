"""`recsys recommend`: the best items for users that a run has seen."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing


def recommend(
    run: Annotated[
        str, typer.Argument(help="A run of a match model: folder, name, or 'latest'.")
    ],
    users: Annotated[
        list[str] | None,
        typer.Option("--user", help="A user's id, once for each. Default: all users."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Items of each user.")] = 10,
    output: Annotated[
        Path | None,
        typer.Option(help="Write a file instead of a table: .parquet or .csv."),
    ] = None,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also what a user has had before.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Recommend, out of all items that trained, what users should get next."""
    with refusing("recommend"):
        if output is None and users is None:
            raise ValueError(
                "--output must name a file for all users, or --user some of them. "
                "Received: neither"
            )
        from rich.console import Console

        from recsys.runs.evaluation.evaluating import print_block
        from recsys.runs.finished import Run
        from recsys.runs.matching.recommending import write_recommended
        from recsys.runs.page import Grid

        found = Run(run, runs)
        if output is not None:
            write_recommended(found, users, k, include_seen, output)
            return
        table = found.recommend(users, k, include_seen=include_seen)
        rows = [[*map(_cell, row.values())] for row in table.to_pylist()]
        print_block(Grid(table.column_names, rows), Console())


def _cell(value: object) -> str:
    if value is None:  # a title that is not known
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
