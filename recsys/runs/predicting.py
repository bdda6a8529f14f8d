"""Predictions of a run: of its test rows, and of other files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.files.paths import named
from recsys.data.writing import temporary_folder, whole_file
from recsys.feature.schema.columns import RawColumn
from recsys.runs.building import group_of
from recsys.runs.finished import Run
from recsys.runs.output import check_output, writing
from recsys.runs.reading import Read
from recsys.runs.samples.raw_rows import write_raw_rows
from recsys.train.model import Model


def write_test_predictions(
    read: Read, rows: Path, model: Model, dataset: Any, path: Path
) -> None:
    """Writes what `recsys evaluate` reads: label and score of each binary task.

    Args:
        read: The configuration.
        rows: The raw test rows.
        model: The model.
        dataset: The same rows as its input.
        path: The file; it has a column `task` if there are several, `group`, `weight`
            and `domain` if the schema has them.
    """
    labels = {
        each.name: each.source for each in read.schema.labels if each.belong == "binary"
    }
    if not labels:
        return
    scores = by_task(read, model.predict(dataset, verbose=0))
    group = group_of(read)
    others = {
        "group": None if group is None else read.schema.groups[group],
        "weight": read.schema.sample_weight,
        "domain": next(
            (
                each.source
                for each in read.schema.columns
                if isinstance(each, RawColumn) and each.belong == "domain"
            ),
            None,
        ),
    }
    kept = {name: source for name, source in others.items() if source is not None}
    names = sorted({*labels.values(), *kept.values()})
    table = pq.read_table(rows, columns=names)
    parts = []
    for task, source in labels.items():
        columns: dict[str, Any] = {
            "label": table[source].cast("float64"),
            "score": scores[task],
            **{name: table[of] for name, of in kept.items()},
        }
        for name in ("group", "domain"):
            if name in columns:
                columns[name] = columns[name].cast("string").fill_null("missing")
        if len(labels) > 1:
            columns["task"] = pa.array([task] * len(table))
        parts.append(pa.table(columns))
    with whole_file(path) as part:
        pq.write_table(pa.concat_tables(parts), part)


def by_task(read: Read, predicted: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Returns predictions by name of task, `(rows,)`, or `(rows, num_classes)`.

    That of a match model, which has no task, is called `score`.
    """
    if not read.schema.labels:
        return {"score": predicted[:, 0]}
    if not isinstance(predicted, Mapping):
        predicted = {read.schema.labels[0].name: predicted}
    return {
        label.name: predicted[label.name][:, 0]
        if label.belong != "multiclass"
        else predicted[label.name]
        for label in read.schema.labels
    }


def predict_files(run: Run, files: Sequence[str | Path], output: Path) -> None:
    """Writes the predictions of all rows of files, in their order.

    Histories are of the events that the run has seen.

    Args:
        run: The run.
        files: Raw rows, with the columns of those that trained but for the labels.
        output: A parquet or CSV file: user, item and time of each row, where the run
            has them, and `score`, of several tasks a `score_TASK` for each.

    Raises:
        FileNotFoundError, ValueError: If the rows are not as the run's schema says, or
            `output` is no such file.
    """
    check_output(output)
    for file in map(Path, files):
        if output.exists() and file.exists() and output.samefile(file):
            raise ValueError(
                "--output must not be a file that is read, as it would be lost. "
                f"Received: {output}"
            )
    data = run.read.config.data
    with _rows(run, files, labelled=False) as (rows, dataset):
        predicted = by_task(run.read, run.model.predict(dataset, verbose=0))
        there = pq.read_schema(rows).names
        named = (data.user, data.item, data.time)
        names = [name for name in named if name is not None and name in there]
        table = pq.read_table(rows, columns=names)
    for name, scores in predicted.items():
        column = f"score_{name}" if len(predicted) > 1 else "score"
        table = table.append_column(column, _column(scores))
    with writing(output) as write:
        write(table)


@contextmanager
def predicted_rows(run: Run, files: Sequence[str | Path]) -> Iterator[Path]:
    """Yields a file of predictions of labelled rows, as `recsys evaluate` reads it.

    Args:
        run: The run.
        files: Raw rows, labels included.

    Raises:
        FileNotFoundError, ValueError: If the rows are not as the run's schema says, or
            it has no binary task.
    """
    if not files:
        raise ValueError(
            f"A run must be given files of rows. Received: {run.folder} alone"
        )
    if all(label.belong != "binary" for label in run.read.schema.labels):
        raise ValueError(
            f"{run.folder} must have a binary task to be evaluated. Received: "
            f"{[(label.name, label.belong) for label in run.read.schema.labels]}"
        )
    negatives = run.read.config.samples.negatives
    with ExitStack() as stack:
        try:
            rows, dataset = stack.enter_context(_rows(run, files, labelled=True))
        except ValueError as error:
            if negatives is None or f"column {negatives.label!r}" not in str(error):
                raise
            raise ValueError(
                f"{error}. Rows to be evaluated must have labels of their own: those "
                "of the run are of samples.negatives, which draws for it alone"
            ) from error
        path = rows.with_name(f"{run.folder.name}.parquet")  # its title in tables
        write_test_predictions(run.read, rows, run.model, dataset, path)
        yield path


@contextmanager
def raw_rows(run: Run, files: Sequence[str | Path], labelled: bool) -> Iterator[Path]:
    """Yields the raw rows of files, joined as those of a run, in one file."""
    read = run.read
    with temporary_folder() as scratch:
        rows = Path(scratch) / "rows.parquet"
        paths = [str(file) for file in files]
        try:
            write_raw_rows(read.config, read.schema, paths, rows, labelled)
            yield rows
        except ValueError as error:  # of the pipeline, which reads what was written
            text = str(error).replace(str(rows), named(paths))
            raise ValueError(text) from error


@contextmanager
def _rows(
    run: Run, files: Sequence[str | Path], labelled: bool
) -> Iterator[tuple[Path, Any]]:
    """The raw rows of files in one file, and as input of the model."""
    with raw_rows(run, files, labelled) as rows:
        batch_size = run.read.config.training.batch_size
        yield rows, run.pipeline.dataset(str(rows), batch_size, events=run.events)


def _column(scores: np.ndarray[Any, Any]) -> pa.Array:
    if scores.ndim == 1:
        return pa.array(scores)
    return pa.FixedSizeListArray.from_arrays(scores.reshape(-1), scores.shape[1])
