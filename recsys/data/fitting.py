"""Learns vocabularies and statistics from the data of `fit`."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, cast

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.fitted import Fitted
from recsys.data.layout import Selection
from recsys.data.preparation import Preparation
from recsys.data.raw import families, log1p
from recsys.data.rules import check
from recsys.data.settling import settled
from recsys.data.source import Source
from recsys.data.vectors import vectors_of, with_vectors
from recsys.data.vocabulary import count_values
from recsys.feature.schema.columns import (
    Bucketed,
    Categorical,
    MultiValue,
    Numeric,
    Vocabulary,
)
from recsys.feature.schema.schema import Schema

PART = 2**30  # a number between 0 and 1 is added as two integers below it


def learn(
    schema: Schema,
    source: Source,
    run: Callable[[Any], pa.Table],
    report: Callable[[str], None],
    items: Source,
) -> Fitted:
    """Returns what a schema needs to know about a table.

    Args:
        schema: The columns, labels and groups.
        source: The raw rows.
        run: Evaluates an Ibis table.
        report: Called with what is going on.
        items: Where the vectors of items are.

    Raises:
        ValueError: If a column is missing, of a wrong type or has values that the
            schema does not allow.
    """
    vectors = {str(each.of): each for each in schema.vectors}
    schema = schema.of_rows
    part = Selection.of(schema)
    table = settled(source.table, part, {}, run)
    fitted = Fitted(families(table, schema), {}, {}, {}, {})
    preparation = Preparation(schema, fitted, part)
    report("Checking the data")
    rows = preparation.typed_rows(table)
    num_rows = check(rows, preparation, run, source)

    owners = [
        column
        for column in schema.columns
        if isinstance(column, Vocabulary) and column.emb == column.name
    ]
    vocabularies, unseen, placed = {}, {}, {}
    for column in owners:
        report(f"Counting the values of {column.name}")
        # An expression of one column, since Ibis takes its time for many.
        alone = Preparation(schema, fitted, Selection(schema, [column]))
        values, total = alone.typed_rows(table), num_rows
        if isinstance(column, MultiValue):
            values = alone.values(values, column)
            total = run(values.aggregate(total=values.count()))["total"][0].as_py()
        values = values.select(value=f"/{column.name}")
        vector = vectors.get(column.name)
        if vector is None:
            words = run(count_values(values, column.min_count, column.max_size))
        else:
            report(f"Reading the vectors of {column.name}")
            words, item = run(count_values(values, 1, None)), cast(Categorical, column)
            with items.reading():
                kinds = fitted.families
                there = vectors_of(items.table, item, vector, kinds, run)
            words, placed[vector.name] = with_vectors(words, item, vector, *there)
        vocabularies[column.name] = words
        unseen[column.name] = total - (pc.sum(words["count"]).as_py() or 0)
    report("Measuring the numbers")
    statistics = _statistics(schema, rows, run)
    return Fitted(fitted.families, vocabularies, unseen, statistics, placed)


def _statistics(
    schema: Schema, rows: Any, run: Callable[[Any], pa.Table]
) -> dict[str, dict[str, Any]]:
    wanted: dict[str, Any] = {}
    scaled: dict[str, Any] = {}
    numbers = [c for c in schema.columns if isinstance(c, (Numeric, Bucketed))]
    for column in numbers:
        value = rows[f"/{column.name}"]
        num_cuts = _num_cuts(column)
        if num_cuts:
            wanted[f"{column.name}/edges"] = value.quantile(_shares(num_cuts))
        if isinstance(column, Numeric):
            if column.standardize or column.fill == "mean":
                scaled[column.name] = log1p(value) if column.log1p else value
            if column.bins is not None:
                wanted[f"{column.name}/range"] = ibis.array([value.min(), value.max()])
    statistics: dict[str, dict[str, Any]] = {}
    found = run(rows.aggregate(**wanted)).to_pylist()[0] if wanted else {}
    for key, value in found.items():
        name, _, statistic = key.rpartition("/")
        if value is None:
            raise _no_values(name)
        statistics.setdefault(name, {})[statistic] = value
    for name, moments in _moments(rows, scaled, run).items():
        statistics.setdefault(name, {}).update(moments)
    for column in numbers:
        of = statistics.get(column.name, {})
        if isinstance(column, Bucketed) and column.edges is not None:
            statistics[column.name] = {"edges": [*column.edges]}
        elif "edges" in of:
            values = rows.select(value=f"/{column.name}")
            of["edges"] = _edges(values, of["edges"], _num_cuts(column), run)
        if isinstance(column, Numeric) and column.bins is not None:
            of["edges"] = sorted({*of["edges"], *of.pop("range")})
    return statistics


def _moments(
    rows: Any, numbers: Mapping[str, Any], run: Callable[[Any], pa.Table]
) -> dict[str, dict[str, float]]:
    """Returns mean and standard deviation of columns, the same in each run.

    Engines add numbers in any order, which rounds each time otherwise. Here they are
    put between 0 and 1, and added as integers: 2^-60 of their range is exact.

    Args:
        rows: The table.
        numbers: By name, an expression of its numbers.
        run: Evaluates an Ibis table.
    """
    if not numbers:
        return {}
    wanted: dict[str, Any] = {}
    for name, x in numbers.items():
        wanted |= {f"{name}/n": x.count(), f"{name}/min": x.min()}
        wanted[f"{name}/max"] = x.max()
    ends = run(rows.aggregate(**wanted)).to_pylist()[0]
    wanted, widths = {}, {}
    for name, x in numbers.items():
        if not ends[f"{name}/n"]:
            raise _no_values(name)
        low, high = ends[f"{name}/min"], ends[f"{name}/max"]
        if not np.isfinite(high - low):
            raise ValueError(
                f"Column {name!r}: the range of its values must be finite. "
                f"Received: {low:g} to {high:g}"
            )
        widths[name] = (high - low) or 1.0
        share = (x - low) / widths[name]
        for power, of in ((1, share), (2, share * share)):
            whole = (of * PART).floor()
            rest = ((of * PART - whole) * PART).floor()
            wanted[f"{name}/{power}/whole"] = whole.cast("int64").sum()
            wanted[f"{name}/{power}/rest"] = rest.cast("int64").sum()
    sums = run(rows.aggregate(**wanted)).to_pylist()[0]
    moments = {}
    for name, width in widths.items():
        whole, rest = (
            [sums[f"{name}/{power}/{part}"] for power in (1, 2)]
            for part in ("whole", "rest")
        )
        first, second = (
            Fraction(a * PART + b, PART**2 * ends[f"{name}/n"])
            for a, b in zip(whole, rest, strict=True)
        )
        moments[name] = {
            "mean": ends[f"{name}/min"] + width * float(first),
            "std": width * float(second - first**2) ** 0.5,
        }
    return moments


def _no_values(name: str) -> ValueError:
    return ValueError(
        f"Column {name!r}: the data must have finite values. Received: none"
    )


def _num_cuts(column: Numeric | Bucketed) -> int:
    """How many quantiles a column is cut at, at most."""
    most = column.bins if isinstance(column, Numeric) else column.num_buckets
    return 0 if most is None else most - 1


def _shares(num_cuts: int) -> list[float]:
    return [i / (num_cuts + 1) for i in range(1, num_cuts + 1)]


def _edges(
    values: Any, quantiles: list[float], num_cuts: int, run: Callable[[Any], pa.Table]
) -> list[float]:
    """Returns the edges that `Bucketed` documents.

    Args:
        values: Table of `value`.
        quantiles: Those of all values, `num_cuts` of them.
        num_cuts: Most edges.
        run: Evaluates an Ibis table.
    """
    edges: set[float] = set()  # of frequent values, and the next above each
    frequent: set[float] = set()
    quantiles = _unrounded(values, quantiles, run)
    while again := {q for q, times in Counter(quantiles).items() if times > 1}:
        frequent |= again
        rest = values.filter(~values.value.isin([*frequent]))
        above = {
            f"above/{i}": values.value.min(where=values.value > value)
            for i, value in enumerate(sorted(frequent))
        }
        ends = run(values.aggregate(least=values.value.min(), **above)).to_pylist()[0]
        edges = {*frequent, *ends.values()} - {None, ends["least"]}
        left = max(num_cuts - len(edges), 0)
        quantiles = []
        if left:
            found = run(rest.aggregate(found=rest.value.quantile(_shares(left))))
            quantiles = _unrounded(rest, found["found"][0].as_py() or [], run)
    return sorted(edges | {*quantiles}) or sorted(frequent)


def _unrounded(
    values: Any, quantiles: list[float], run: Callable[[Any], pa.Table]
) -> list[float]:
    """Returns quantiles, those between equal values exactly so.

    Engines interpolate between two values as a sum of shares of both, which rounds.
    """
    near = [(q, 4 * np.finfo("float64").eps * abs(q)) for q in sorted(quantiles)]
    if not any(b - a <= 2 * slack for (a, slack), (b, _) in itertools.pairwise(near)):
        return quantiles
    found = {
        f"value/{i}": values.value.max(where=(values.value - q).abs() <= slack)
        for i, (q, slack) in enumerate(near)
    }
    exact = run(values.aggregate(**found)).to_pylist()[0].values()
    return [
        q if value is None else value for (q, _), value in zip(near, exact, strict=True)
    ]
