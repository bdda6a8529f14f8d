"""Learns vocabularies and statistics from the data of `fit`."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.fitted import Fitted
from recsys.data.layout import Part
from recsys.data.preparation import Preparation, families, log1p
from recsys.data.vocabulary import count_values
from recsys.feature.schema import (
    Bucketed,
    MultiValue,
    Numeric,
    Schema,
    Vocabulary,
)


def learn(
    schema: Schema,
    table: Any,
    run: Callable[[Any], pa.Table],
    report: Callable[[str], None],
) -> Fitted:
    """Returns what a schema needs to know about a table.

    Args:
        schema: The columns, labels and groups.
        table: The raw rows.
        run: Evaluates an Ibis table.
        report: Called with what is going on.

    Raises:
        ValueError: If a column is missing, of a wrong type or has values that the
            schema does not allow.
    """
    part = Part.of(schema)
    table = Preparation(schema, Fitted({}, {}, {}, {}), part).settled(table, run)
    fitted = Fitted(families(table, schema), {}, {}, {})
    preparation = Preparation(schema, fitted, part)
    report("Checking the data")
    rows = preparation.rows(table)
    num_rows = preparation.check(rows, run)

    owners = [
        column
        for column in schema.columns
        if isinstance(column, Vocabulary) and column.emb == column.name
    ]
    vocabularies, unseen = {}, {}
    for column in owners:
        report(f"Counting the values of {column.name}")
        # An expression of one column, since Ibis takes its time for many.
        alone = Preparation(schema, fitted, Part(schema, [column]))
        values, total = alone.rows(table), num_rows
        if isinstance(column, MultiValue):
            values = alone.values(values, column)
            total = run(values.aggregate(total=values.count()))["total"][0].as_py()
        values = values.select(value=f"/{column.name}")
        counted = count_values(values, column.min_count, column.max_size)
        vocabularies[column.name] = words = run(counted)
        unseen[column.name] = total - (pc.sum(words["count"]).as_py() or 0)
    report("Measuring the numbers")
    return Fitted(fitted.families, vocabularies, unseen, _statistics(schema, rows, run))


def _statistics(
    schema: Schema, rows: Any, run: Callable[[Any], pa.Table]
) -> dict[str, dict[str, Any]]:
    wanted: dict[str, Any] = {}
    for column in schema.columns:
        if isinstance(column, Numeric) and (
            column.standardize or column.fill == "mean"
        ):
            value = rows[f"/{column.name}"]
            value = log1p(value) if column.log1p else value
            wanted[f"{column.name}/mean"] = value.mean()
            wanted[f"{column.name}/std"] = value.std(how="pop")
        elif isinstance(column, Bucketed):
            shares = [i / column.num_buckets for i in range(1, column.num_buckets)]
            wanted[f"{column.name}/edges"] = rows[f"/{column.name}"].quantile(shares)
    if not wanted:
        return {}
    statistics: dict[str, dict[str, Any]] = {}
    for key, found in run(rows.aggregate(**wanted)).to_pylist()[0].items():
        name, _, statistic = key.rpartition("/")
        if found is None:
            raise ValueError(
                f"Column {name!r}: the data must have finite values. Received: none"
            )
        found = sorted({*found}) if statistic == "edges" else found
        statistics.setdefault(name, {})[statistic] = found
    return statistics
