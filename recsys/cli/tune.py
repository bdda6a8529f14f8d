"""`recsys tune`: from a run's file to a better one."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing
from recsys.cli.train import Settings, stoppable


def tune(
    file: Annotated[Path, typer.Argument(help="A run's file, with `tuning.space`.")],
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many in all, earlier ones included. Default: the file's."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the folder. Default: that of the file, -tune."),
    ] = None,
    settings: Settings = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Try values on the validation rows; write a run's file with the best of them."""
    with refusing("tune"), stoppable():
        from recsys.runs.tuning.tune import tune

        tune(file, trials=trials, name=name, settings=settings or [], runs=runs)
