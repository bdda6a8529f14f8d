"""The command line: `recsys --help`. Heavy imports wait for their command."""

import enum
from pathlib import Path
from typing import Annotated

import typer

import recsys
from recsys.cli import config
from recsys.cli.compare import backtest, bench, compare
from recsys.cli.demo import demo
from recsys.cli.explain import explain
from recsys.cli.predict import predict
from recsys.cli.recommend import recommend
from recsys.cli.refusing import refusing
from recsys.cli.train import train
from recsys.cli.tune import tune

app = typer.Typer(
    help="Recommender models on Keras: train, evaluate, recommend.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(config.app, name="config")
app.command()(train)
app.command()(tune)
app.command()(predict)
app.command()(recommend)
app.command()(compare)
app.command()(bench)
app.command()(backtest)
app.command()(explain)
app.command()(demo)


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
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="A model, for all about it; or for a table a family (rank, multitask, "
            "multidomain or match) or names like '*fm*'; default: all models."
        ),
    ] = None,
) -> None:
    """List models with year, paper and needs, or tell all about one."""
    try:
        names = recsys.list_models(pattern)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with refusing("models"):
        from recsys.about import about
        from recsys.cli.models import table

        one = pattern is not None and names == [pattern.lower()]
        typer.echo(about(names[0]).text() if one else table(names))


@app.command()
def init(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Events: CSV, TSV (also .gz), parquet, or a folder of parquet; beside "
            "them files of items and users, or the parts train, valid and test."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("run.yaml"),
) -> None:
    """Look at files, and write the commented file of a first run."""
    with refusing("init"):
        from recsys.cli.init import run

        run(files, output)


class Scale(enum.StrEnum):
    """What the scores of a file are."""

    PROBABILITY = "probability"
    LOGIT = "logit"
    ANY = "any"


@app.command()
def evaluate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES | RUN FILES",
            help="Predictions, CSV or parquet: columns label, score; optional group, "
            "weight, task, domain. Further ones have the same rows by other models, "
            "which are compared with the first. Or a run (folder, name or 'latest') "
            "and raw rows with labels, which its model predicts.",
        ),
    ],
    scale: Annotated[
        Scale, typer.Option(help="What the scores are; of 'any' only the order counts.")
    ] = Scale.PROBABILITY,
    k: Annotated[int, typer.Option(min=1, help="Where lists are cut.")] = 10,
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the bootstrap, behind the intervals.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write all numbers here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report here.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Compute the metrics of predictions, or of a run, with confidence intervals."""
    with refusing("evaluate"):
        from recsys.runs.evaluation.evaluating import run as evaluate_files
        from recsys.runs.folder import is_run

        if not is_run(files[0], runs):
            paths = [Path(file) for file in files]
            evaluate_files(paths, scale, k, resamples, seed, json, html)
            return
        from recsys.runs.finished import Run
        from recsys.runs.predicting import predicted_rows

        with predicted_rows(Run(files[0], runs), files[1:]) as path:
            evaluate_files([path], scale, k, resamples, seed, json, html)
