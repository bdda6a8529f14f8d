"""`recsys config`: what a run's file may say."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing
from recsys.cli.train import Settings

app = typer.Typer(help="What a run's file may say.", no_args_is_help=True)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A run's file.")],
    settings: Settings = None,
) -> None:
    """Print a run's file with every key, what it means, and its default."""
    with refusing("config show"):
        from recsys.runs.reading import read_config
        from recsys.runs.shown import as_yaml

        typer.echo(as_yaml(read_config(file, settings or []).config), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of a run's file, with which editors complete it."""
    from recsys.runs.shown import json_schema

    typer.echo(json_schema())
