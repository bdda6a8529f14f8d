"""`recsys compare`, `bench` and `backtest`: runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing
from recsys.cli.telling import tell
from recsys.cli.train import Settings, stoppable

Json = Annotated[Path | None, typer.Option("--json", help="Write all numbers here.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a report here.")]
Runs = Annotated[Path, typer.Option(help="Folder of all runs.")]


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs; all are compared with the first."),
    ],
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the bootstrap, behind the intervals.")
    ] = 200,
    as_json: Json = None,
    html: Html = None,
    runs: Runs = Path("runs"),
) -> None:
    """Compare the test rows of runs, seed by seed and user by user."""
    with refusing("compare"):
        from recsys.runs.comparing import compare
        from recsys.runs.finished import Run

        found = compare([Run(name, runs) for name in names], resamples)
        title = " against ".join(found.runs)
        tell(title, found.blocks(), found.plain(), as_json, html)


def bench(
    file: Annotated[Path, typer.Argument(help="A run's file, see `recsys init`.")],
    models: Annotated[
        str, typer.Option(help="Names with commas between them, the first to compare.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How often each is trained.")] = 3,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Of `tune` for each. Default: none is tuned."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the folder. Default: that of the file, -bench."),
    ] = None,
    settings: Settings = None,
    as_json: Json = None,
    html: Html = None,
    runs: Runs = Path("runs"),
) -> None:
    """Train several models on the same rows, and compare them."""
    with refusing("bench"), stoppable():
        from recsys.runs.bench import bench

        found = bench(
            file,
            [each.strip() for each in models.split(",")],
            seeds=seeds,
            trials=trials,
            name=name,
            settings=settings or [],
            runs=runs,
        )
        title = " against ".join(found.runs)
        tell(title, found.blocks(), found.plain(), as_json, html)


def backtest(
    file: Annotated[Path, typer.Argument(help="A run's file, split by time.")],
    folds: Annotated[int, typer.Option(min=2, help="How many runs.")] = 3,
    name: Annotated[
        str | None,
        typer.Option(help="Of the folder. Default: that of the file, -backtest."),
    ] = None,
    settings: Settings = None,
    as_json: Json = None,
    html: Html = None,
    runs: Runs = Path("runs"),
) -> None:
    """Train and test as if it were earlier, again and again: would it have held?"""
    with refusing("backtest"), stoppable():
        from recsys.runs.backtest import backtest

        found = backtest(file, folds, name=name, settings=settings or [], runs=runs)
        tell(f"{file.stem}, back-tests", found.blocks(), found.plain(), as_json, html)
