"""What a model must beat: the rate of each item in the rows that trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np

from recsys import metrics
from recsys.data.files.types import is_number
from recsys.data.layout import ROW
from recsys.data.raw import as_category
from recsys.feature.schema.columns import Label
from recsys.runs.building import group_of
from recsys.runs.matching.rows import scratch
from recsys.runs.reading import Read
from recsys.runs.samples.engine import Engine

PRIOR = 10  # rows of the mean rate that each item has beside its own
RATE, LABEL, WEIGHT, GROUP, ITEM = "//rate", "//label", "//weight", "//group", "//item"


def item_rates(read: Read, samples: Path) -> dict[str, float]:
    """Returns metrics of the test rows, each predicted by the rate of its item.

    An item of n rows with the sum s of their labels has the rate `(s + PRIOR * mean) /
    (n + PRIOR)`. Weights of rows count in rates and metrics. Where the rows that train
    lack negatives on purpose, rates are put right as those of the model are.

    Args:
        read: The configuration; without the item in `data` all items are one.
        samples: Folder of the rows.

    Returns:
        AUC, GAUC if the schema has groups, and log loss, called as in the logs:
        `auc`, of several tasks `TASK_auc`. Nothing of labels that are not binary.
    """
    found = {}
    labels = [each for each in read.schema.labels if each.belong == "binary"]
    with scratch() as (engine, _):
        for label in labels:
            before = f"{label.name}_" if len(read.schema.labels) > 1 else ""
            for name, value in _judged(read, samples, label, engine):
                found[before + name] = value
    return found


def _judged(
    read: Read, samples: Path, label: Label, engine: Engine
) -> Iterator[tuple[str, float]]:
    train, test = (_rows(read, samples, p, label, engine) for p in ("train", "test"))
    mean = (train[LABEL] * train[WEIGHT]).sum() / train[WEIGHT].sum()
    mean = engine.one(train, mean=mean)["mean"]
    rates = train.group_by(ITEM).aggregate(
        rows=train[WEIGHT].sum(), positives=(train[LABEL] * train[WEIGHT]).sum()
    )
    rate = (rates.positives + PRIOR * mean) / (rates.rows + PRIOR)
    rates = rates.select(ITEM, **{RATE: rate})
    test = test.left_join(rates, ITEM).order_by(ROW)
    table = engine.run(
        test.select(LABEL, WEIGHT, GROUP, **{RATE: test[RATE].fill_null(mean)})
    )
    scores = table[RATE].to_numpy()
    keep = read.config.training.keep_negatives
    scores = scores * keep / (scores * keep + 1 - scores)
    rows: Any = table[LABEL].to_numpy(), scores
    weights = {"sample_weight": table[WEIGHT].to_numpy()}
    yield "auc", metrics.auc(*rows, **weights)
    if group_of(read) is not None:
        groups = np.asarray(table[GROUP].combine_chunks().dictionary_encode().indices)
        yield "gauc", metrics.gauc(*rows, groups=groups, **weights)
    yield "log_loss", metrics.log_loss(*rows, **weights)


def _rows(read: Read, samples: Path, part: str, label: Label, engine: Engine) -> Any:
    """The rows of a part that have the label."""
    table = engine.connection.read_parquet(samples / f"{part}.parquet")
    schema, data = read.schema, read.config.data
    weight = ibis.literal(1.0)
    if schema.sample_weight is not None:
        weight = table[schema.sample_weight].cast("float64")
    item = group = ibis.literal("")
    if data.item is not None:
        item = as_category(table, "data.item", data.item)
    if (key := group_of(read)) is not None:
        group = as_category(table, f"Group {key!r}", schema.groups[key])
    made = {
        ROW: ibis.row_number(),
        LABEL: table[label.source].cast("float64"),
        WEIGHT: weight,
        ITEM: item,
        GROUP: group.cast("string").fill_null("missing"),
    }
    table = table.select(**made)
    return table.filter(is_number(table[LABEL]))
