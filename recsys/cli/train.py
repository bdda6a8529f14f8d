"""`recsys train`: from a run's file to a run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing

STOPPED = 130  # as shells say of a process that Ctrl-C stopped

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A value instead of the file's: KEY.KEY=VALUE."),
]


@contextmanager
def stoppable() -> Iterator[None]:
    """Ends a run that Ctrl-C stopped with how to go on."""
    from recsys.runs.running import Stopped

    try:
        yield
    except Stopped as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(STOPPED) from stopped


def train(
    file: Annotated[Path, typer.Argument(help="A run's file, see `recsys init`.")],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run. Default: that of the file, and a number."),
    ] = None,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Make the rows, train, test, and write a report, into a folder of its own."""
    with refusing("train"), stoppable():
        from recsys.runs.running import run

        run(file, name=name, settings=settings or [], resume=resume, runs=runs)
