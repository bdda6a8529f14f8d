"""The command line: `recsys --help`. Heavy imports wait for their command."""

import os
from pathlib import Path
from typing import Annotated

import typer

import recsys

app = typer.Typer(
    help="Recommender models on Keras: train, evaluate, recommend.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Recommender models on Keras: train, evaluate, recommend."""
    if version:
        typer.echo(recsys.__version__)
        raise typer.Exit


@app.command()
def models(
    family: Annotated[
        str | None,
        typer.Argument(help="rank, multitask, multidomain or match; default: all."),
    ] = None,
) -> None:
    """List the models by name."""
    try:
        typer.echo("\n".join(recsys.list_models(family)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option(help="Where models and report go; replaced if there.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = 0,
) -> None:
    """Train a match and a rank model on MovieLens-100K, and write a report."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from recsys.cli.demo import run

    run(folder, seed)
