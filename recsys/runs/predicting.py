"""Predictions of a run: of its test rows, and of other files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.writing import whole_file
from recsys.feature.schema.columns import RawColumn
from recsys.runs.building import group_of
from recsys.runs.reading import Read
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
    """Returns predictions by name of task, `(rows,)`, or `(rows, num_classes)`."""
    if not isinstance(predicted, Mapping):
        predicted = {read.schema.labels[0].name: predicted}
    return {
        label.name: predicted[label.name][:, 0]
        if label.belong != "multiclass"
        else predicted[label.name]
        for label in read.schema.labels
    }
