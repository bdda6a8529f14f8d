"""A run's model explained on labelled rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import metrics
from recsys.data.reader import as_columns
from recsys.feature.schema.columns import FIRST_ID, Vocabulary
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.runs.building import group_of
from recsys.runs.explaining.collapse import TableShape, blocks_of_tables, tables_of
from recsys.runs.explaining.gates import blocks_of_gates, mean_gates
from recsys.runs.explaining.gradients import Attribution, integrated_gradients
from recsys.runs.explaining.importance import Importance, permutation_importance
from recsys.runs.finished import Run
from recsys.runs.measures import direction_of
from recsys.runs.page import Block, Grid, Heading, Text, in_notebook, page_of
from recsys.runs.predicting import by_task, raw_rows

MOST_ROWS = 20_000


@dataclass(frozen=True)
class Explanation:
    """What the predictions of a run rest on.

    Attributes:
        metric: Whose loss importances are.
        rows: How many were looked at, and of how many.
        base: Task -> the metric.
        importance: Task -> importance of each column of the schema.
        tables: The embedding tables.
        gates: Layer -> mean share of each expert.
        one: Task -> what one prediction is made of, if one was asked for.
        events: Task -> its events, each with the history, what it was, and what it adds
            to the logit; the oldest first.
    """

    metric: str
    rows: tuple[int, int]
    base: Mapping[str, float]
    importance: Mapping[str, Sequence[Importance]]
    tables: Sequence[TableShape]
    gates: Mapping[str, Sequence[float]]
    one: Mapping[str, Attribution]
    events: Mapping[str, Sequence[tuple[str, str, float]]]

    def _repr_html_(self) -> str:
        return in_notebook(page_of("Explained", self.blocks()))

    def blocks(self) -> list[Block]:
        """Returns it as tables."""
        looked, there = self.rows
        blocks: list[Block] = [
            Text(
                f"{looked:,} of {there:,} rows. Importance: how much worse "
                f"{self.metric} is where the rows of a column are in another order, "
                "mean ± deviation."
            )
        ]
        for task, found in self.importance.items():
            rows = [
                [each.name, f"{each.loss:+.4f} ± {each.deviation:.4f}"]
                for each in found
            ]
            blocks += [
                Heading(f"{task}: {self.metric} {self.base[task]:.4f}"),
                Grid(["column", "importance"], rows),
            ]
        for task, one in self.one.items():
            shares = sorted(one.columns.items(), key=lambda each: -abs(each[1]))
            blocks += [
                Heading(f"{task}: one prediction, logit {one.logit:.4f}"),
                Text(
                    f"From {one.start:.4f}, where all embeddings and numbers are 0 "
                    "(integrated gradients)."
                ),
                Grid(["column", "adds"], [[n, f"{v:+.4f}"] for n, v in shares]),
            ]
            events = [[of, name, f"{v:+.4f}"] for of, name, v in self.events[task]]
            if events:
                header = ["history", "event, the oldest first", "adds"]
                blocks.append(Grid(header, events))
        blocks += [*blocks_of_tables(self.tables), *blocks_of_gates(self.gates)]
        return blocks

    def plain(self) -> dict[str, Any]:
        """Returns it as JSON holds it."""
        return {
            "metric": self.metric,
            "rows": [*self.rows],
            "base": {**self.base},
            "importance": {
                task: [vars(each) for each in found]
                for task, found in self.importance.items()
            },
            "tables": [vars(each) for each in self.tables],
            "gates": {name: [*shares] for name, shares in self.gates.items()},
            "one": {
                task: {
                    "columns": {**one.columns},
                    "start": one.start,
                    "logit": one.logit,
                    "events": [[*event] for event in self.events[task]],
                }
                for task, one in self.one.items()
            },
        }


def explain(
    run: Run,
    files: Sequence[str | Path],
    *,
    metric: str = "auc",
    repeats: int = 5,
    row: int | None = None,
    seed: int = 0,
) -> Explanation:
    """Explains a run's model on labelled rows.

    Args:
        run: The run, of at least one binary task.
        files: Raw rows, labels included; of more than `MOST_ROWS` so many are drawn.
        metric: Name of a metric of binary tasks, such as `auc` or `gauc`.
        repeats: Orders for each column.
        row: Place of a row whose prediction is taken apart; default: none.
        seed: Of what is drawn.

    Raises:
        FileNotFoundError, ValueError: If the rows are not as the run's schema says, the
            run has no binary task, or there is no such metric or row.
    """
    named, read = metrics.NamedMetric(metric), run.read
    larger = direction_of(metric) == "max"
    tasks = [each for each in read.schema.labels if each.belong == "binary"]
    if not tasks:
        raise ValueError(
            f"{run.folder} must have a binary task to be explained. Received: "
            f"{[(label.name, label.belong) for label in read.schema.labels]}"
        )
    with raw_rows(run, files, labelled=True) as path:
        table = run.pipeline.transform(str(path), events=run.events)
    there = len(table)
    if row is not None and not 0 <= row < there:
        raise ValueError(f"--row must be in [0, {there}). Received: {row}")
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(there, min(there, MOST_ROWS), replace=False))
    every = as_columns(table.take(drawn))
    model, group = run.model, group_of(read)
    inputs = {name: every[name] for name in model.input}
    groups = {} if group is None else {"groups": every[group]}
    if named.grouped and not groups:
        raise ValueError(
            f"{metric} is a metric within groups: schema.groups must have one. "
            "Received: none"
        )
    options: dict[str, Any] = groups if named.grouped else {}
    base, importance = {}, {}
    for task in tasks:

        def predict(columns: Any, name: str = task.name) -> NDArray[np.float64]:
            found = model.predict(columns, batch_size=4096, verbose=0)
            scores: NDArray[np.float64] = by_task(read, found)[name]
            return scores

        def value(scores: Any, name: str = task.name) -> float:
            return float(named(every[name], scores, **options))

        base[task.name] = value(predict(inputs))
        importance[task.name] = permutation_importance(
            predict,
            value,
            inputs,
            _columns(read.schema, inputs),
            larger_is_better=larger,
            repeats=repeats,
            seed=seed,
        )
    gates = mean_gates(model, inputs)
    one, events = {}, {}
    if row is not None:
        of_row = as_columns(table.slice(row, 1))
        one = {
            task.name: integrated_gradients(
                model, task.name, {name: of_row[name] for name in model.input}
            )
            for task in tasks
        }
        events = {
            task: [*_events(run, of_row, found.places)] for task, found in one.items()
        }
    looked = (len(drawn), there)
    tables = tables_of(model)
    return Explanation(metric, looked, base, importance, tables, gates, one, events)


def _events(
    run: Run, row: Mapping[str, Any], places: Mapping[str, NDArray[np.float64]]
) -> Iterator[tuple[str, str, float]]:
    """What the events of a row's histories were, and what each adds."""
    schema = run.read.schema
    for history in schema.columns:
        if not isinstance(history, History):
            continue
        mine = [name for name in history.outputs if name in places]
        adds = sum((places[name] for name in mine), np.zeros(history.length))
        columns = [
            (row[output][0], run.pipeline.vocabulary(column)["value"])
            for output, column in history.attributes.items()
            if isinstance(schema.owner(schema.column(column)), Vocabulary)
        ]
        there = row[next(iter(history.attributes))][0]
        for place in np.flatnonzero(there.reshape(len(there), -1).any(axis=1)):
            names = [_named(ids[place], words) for ids, words in columns]
            yield history.name, ", ".join(names), float(adds[place])


def _named(ids: Any, words: pa.ChunkedArray) -> str:
    """What an id, or several, stands for; those that training has not seen are new."""
    known = [
        str(words[int(i) - FIRST_ID]) if i >= FIRST_ID else "new"
        for i in np.atleast_1d(ids)
        if i
    ]
    return " ".join(known)


def _columns(schema: Schema, inputs: Mapping[str, Any]) -> dict[str, list[str]]:
    """Columns of the schema -> columns of the model that are made of each."""
    made = {
        column.name: [name for name in column.outputs if name in inputs]
        for column in schema.columns
    }
    return {name: outputs for name, outputs in made.items() if outputs}
