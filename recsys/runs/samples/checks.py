"""What should be known of samples before a model is trained on them."""

from collections.abc import Mapping
from itertools import combinations
from math import log
from pathlib import Path
from typing import Any

from recsys.data.vocabulary import bucketed
from recsys.data.writing import temporary_folder
from recsys.feature.schema.columns import Label
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Config
from recsys.runs.samples.engine import Engine, embedded
from recsys.runs.samples.leaks import leaks
from recsys.runs.samples.looked import VALUE, Looked, held_in, label_of, looked_at
from recsys.runs.samples.split import PARTS

MOST_MISSING, MISSING_APART = 0.5, 0.1
DRIFT = 0.25  # a population that is another one, by the usual rule
DECILES = [place / 10 for place in range(1, 10)]
FREQUENT = 20
LEAST_UNSEEN = 0.01
RATES_APART = 2
OTHERS = "//others"


def check_samples(config: Config, folder: Path) -> list[str]:
    """Looks at what `write_samples` wrote.

    Histories that the pipeline makes cannot hold their target, whatever the split: they
    have strictly earlier events alone. Parts by users share none, by construction.

    Args:
        config: The run.
        folder: With the files of the parts.

    Returns:
        What is odd, in whole sentences with their numbers.

    Raises:
        ValueError: If a label has one value in all training rows, or none.
    """
    schema = Schema.from_dict(config.declared).of_rows
    columns = looked_at(schema, config.data)
    with temporary_folder() as scratch, embedded(Path(scratch) / "checks") as engine:
        parts = {
            name: engine.connection.read_parquet(folder / f"{name}.parquet")
            for name in PARTS
        }
        told = _labels(parts, schema, engine)
        told += _missing(parts, columns, engine)
        for column in columns:
            by_user = config.split.by == "users" and column.source == config.data.user
            if not column.is_list and not by_user:
                told += _drift(parts, column, engine)
                told += _unseen(parts, column, engine) if column.is_id else []
        for label in schema.labels:
            if label.belong == "binary":
                both = [*columns, *held_in(schema, config.data)]
                told += leaks(parts["train"], parts["test"], label, both, engine)
    return told


def _labels(parts: Mapping[str, Any], schema: Schema, engine: Engine) -> list[str]:
    told = []
    for label in schema.labels:
        found = {}
        for name, table in parts.items():
            known = label_of(table, label)
            aggregates = {"kinds": known.nunique(), "mean": known.mean()}
            found[name] = engine.one(table, **aggregates, rows=table.count())
            if found[name]["kinds"] < 2:
                mean, rows = found[name]["mean"], found[name]["rows"]
                values = "none is known" if mean is None else f"all are {mean:g}"
                text = (
                    f"Label {label.name!r} must have several values in {name}. "
                    f"Received: {values} in {rows:,} rows"
                )
                if name == "train":
                    raise ValueError(text)
                told.append(f"{text}.")
        if label.belong == "binary":
            told += _rates(label, {name: of["mean"] for name, of in found.items()})
    return told


def _rates(label: Label, means: Mapping[str, float | None]) -> list[str]:
    known = {name: mean for name, mean in means.items() if mean}
    return [
        f"Label {label.name!r}: its rate is {known[a]:.4f} in {a} and {known[b]:.4f} "
        f"in {b}, which differ by more than a factor of {RATES_APART}."
        for a, b in combinations(known, 2)
        if max(known[a], known[b]) > RATES_APART * min(known[a], known[b])
    ]


def _missing(
    parts: Mapping[str, Any], columns: list[Looked], engine: Engine
) -> list[str]:
    shares = {}
    for name, table in parts.items():
        wanted = {c.source: c.value(table).isnull().mean() for c in columns}
        shares[name] = engine.one(table, **wanted)
    told = []
    for column in columns:
        of = {name: shares[name][column.source] for name in parts}
        said = ", ".join(f"{share:.1%} in {name}" for name, share in of.items())
        if max(of.values()) > MOST_MISSING:
            told.append(
                f"Column {column.source!r}: most of its values are missing, {said}."
            )
        elif max(of.values()) - min(of.values()) > MISSING_APART:
            told.append(
                f"Column {column.source!r}: the share of missing values differs, "
                f"{said}."
            )
    return told


def _drift(parts: Mapping[str, Any], column: Looked, engine: Engine) -> list[str]:
    """A sentence if a column has other values in the test rows.

    They are counted within tenths of the training rows, or by frequent value.
    """
    values = {
        name: parts[name].select(**{VALUE: column.value(parts[name])})
        for name in ("train", "test")
    }
    train = values["train"]
    if column.is_number:
        found = engine.one(train, edges=train[VALUE].quantile(DECILES))["edges"]
        if found is None:
            return []
        edges = sorted({*found})
        values = {
            name: table.select(**{VALUE: bucketed(table[VALUE], edges)})
            for name, table in values.items()
        }
    counts = {}
    frequent: set[Any] | None = None
    for name, table in values.items():
        by_value = table.group_by(VALUE).aggregate(rows=table.count())
        if frequent is None:
            most = by_value.order_by([by_value.rows.desc(), VALUE]).limit(FREQUENT)
            frequent = {*engine.run(most)[VALUE].to_pylist()}
        value = by_value[VALUE]
        known = value.isin([v for v in frequent if v is not None])
        known = known.fill_null(None in frequent)
        kept = by_value.filter(known)
        counts[name] = {row[VALUE]: row["rows"] for row in engine.run(kept).to_pylist()}
        rest = engine.rows(table) - sum(counts[name].values())
        counts[name][OTHERS] = rest
    index, noise = stability(counts["train"], counts["test"])
    if index - noise <= DRIFT:
        return []
    return [
        f"Column {column.source!r}: its values in test are not those of train, with a "
        f"population stability index of {index:.2f} (above {DRIFT} is much)."
    ]


def stability(train: Mapping[Any, int], test: Mapping[Any, int]) -> tuple[float, float]:
    """Returns the population stability index, and what it is by chance.

    Args:
        train: Rows by value. Half a row is added to each, so that no value has none.
        test: Likewise.
    """
    values = [v for v in {*train, *test} if train.get(v) or test.get(v)]
    rows, others = sum(train.values()), sum(test.values())
    index = 0.0
    for value in values:
        p = (train.get(value, 0) + 0.5) / (rows + 0.5 * len(values))
        q = (test.get(value, 0) + 0.5) / (others + 0.5 * len(values))
        index += (p - q) * log(p / q)
    return index, (len(values) - 1) * (1 / rows + 1 / others)


def _unseen(parts: Mapping[str, Any], column: Looked, engine: Engine) -> list[str]:
    train, test = (
        parts[name].select(**{VALUE: column.value(parts[name])}).drop_null()
        for name in ("train", "test")
    )
    unseen = engine.rows(test.anti_join(train.distinct(), VALUE))
    rows = engine.rows(test)
    if unseen < LEAST_UNSEEN * rows:
        return []
    return [
        f"Column {column.source!r}: {unseen / rows:.1%} of the test rows have a value "
        f"that no training row has ({unseen:,} of {rows:,})."
    ]
