"""What must hold of the values of raw columns."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from recsys.data.files.types import is_finite, is_number
from recsys.data.layout import Selection
from recsys.data.preparation import Preparation
from recsys.data.raw import text_of, who_is
from recsys.data.source import Source
from recsys.feature.schema.columns import LARGEST, Bucketed, MultiValue, Numeric
from recsys.feature.schema.vector import Vector

WEIGHT = "Sample weight"


def check(
    rows: Any,
    preparation: Preparation,
    run: Callable[[Any], pa.Table],
    source: Source,
) -> int:
    """Returns the number of rows; values that are not allowed are an error.

    Args:
        rows: The raw columns, checked and cast, as `preparation` makes them.
        preparation: What makes them.
        run: Evaluates an Ibis table.
        source: Where they come from; the error says of which file.

    Raises:
        ValueError: If there are no rows, or a column has such values.
    """
    rules = _rules(rows, preparation)
    counts = {"rows": rows.count()}
    for column in preparation.part.columns:
        # Else no engine reads those that are filled.
        if isinstance(column, (Numeric, Bucketed)):
            counts[f"{column.name}/there"] = rows[f"/{column.name}"].count()
    for who, (bad, _, value) in rules.items():
        counts[who] = bad.sum()
        counts[f"{who}/example"] = value.max(where=bad)
    found = run(rows.aggregate(**counts)).to_pylist()[0]
    total: int = found["rows"]
    if not total:
        raise ValueError("The data must have rows. Received: none")
    for who, (_, wanted, _) in rules.items():
        if found[who]:
            example = found[f"{who}/example"]
            if example is None:
                example = _infinite(source.table, preparation.part, who, run)
            such = "missing" if example is None else f"{example}"

            def is_broken(table: Any, who: str = who) -> bool:
                typed = preparation.typed_rows(table)
                bad, *_ = _rules(typed, preparation)[who]
                broken = run(bad.as_table().aggregate(n=bad.sum()))
                return bool(broken["n"][0].as_py())

            file = source.first_file(is_broken)
            raise ValueError(
                f"{', '.join([*file, who])}: {wanted}. "
                f"Received: {such} (in {found[who]} of {total} rows)"
            )
    return total


def _infinite(
    table: Any, part: Selection, who: str, run: Callable[[Any], pa.Table]
) -> float | None:
    """A raw number that counts as missing, as it is not finite or beyond float32."""
    raw = {who_is(c): c.source for c in part.columns if isinstance(c, Numeric)}
    source = raw.get(who, part.sample_weight if who == WEIGHT else None)
    if source is None:
        return None
    value = table[source].try_cast("float64")
    odd = is_number(value) & ~value.between(-LARGEST, LARGEST)
    found: float | None = run(table.aggregate(n=value.max(where=odd)))["n"][0].as_py()
    return found


def _rules(rows: Any, preparation: Preparation) -> dict[str, tuple[Any, str, Any]]:
    """Who -> which rows are bad, what is wanted, and the values to show."""
    part, rules = preparation.part, dict[str, tuple[Any, str, Any]]()
    for column in part.columns:
        if isinstance(column, Numeric) and column.fill is None:
            value = rows[f"/{column.name}"]
            wanted = "values must be finite, or the schema must say how to `fill`"
            rules[who_is(column)] = (value.isnull(), wanted, value)
        known = column.name in preparation.fitted.statistics  # but not in `fit`
        if isinstance(column, Numeric) and column.standardize and known:
            value = rows[f"/{column.name}"]
            bad = ~preparation.scaled(value, column).between(-LARGEST, LARGEST)
            wanted = "values must be such as float32 holds"
            rules[f"{who_is(column)}, standardized"] = (bad, wanted, value)
        if isinstance(column, Vector):
            rules |= _vector_rules(rows, column)
        if isinstance(column, MultiValue) and column.weight:
            names = (f"/{column.name}", f"/{column.weight}")
            values, weights = (rows[name].length().fill_null(0) for name in names)
            wanted = f"each row must have as many {column.weight!r} as values"
            rules[who_is(column)] = (values != weights, wanted, weights)
            rules |= _weight_rules(rows, column, column.weight)
    for label in part.labels:
        value = rows[f"/{label.name}"]
        if label.belong == "binary":
            good, wanted = value.isin([0, 1]), "0, 1 or missing"
        elif label.belong == "multiclass":
            good = value.isin(range(label.num_classes))
            wanted = f"an integer in [0, {label.num_classes}) or missing"
        elif label.belong == "count":
            good, wanted = value.between(0, LARGEST), "at least 0 or missing"
        else:
            good, wanted = value.between(-LARGEST, LARGEST), "finite or missing"
        bad = value.notnull() & ~good
        rules[who_is(label)] = (bad, f"values must be {wanted}", value)
    if part.sample_weight:
        value = rows["/sample_weight"]
        bad = value.isnull() | (value < 0).fill_null(False)
        wanted = f"{part.sample_weight!r} must be finite and at least 0"
        rules[WEIGHT] = (bad, wanted, value)
    return rules


def _vector_rules(rows: Any, column: Vector) -> dict[str, Any]:
    """As `_rules`, of the vectors of rows."""
    vector = rows[f"/{column.name}"]
    length = vector.length().fill_null(0)
    other = ~length.isin([0, column.length])
    good = vector.filter(lambda each: is_finite(each) & (each.abs() <= LARGEST))
    bad = good.length().fill_null(0) < length
    who = who_is(column)
    return {
        f"{who}, length": (other, f"vectors must have {column.length} numbers", length),
        f"{who}, numbers in a vector": (
            bad,
            "all must be finite numbers that float32 holds",
            length - good.length(),
        ),
    }


def _weight_rules(rows: Any, column: MultiValue, source: str) -> dict[str, Any]:
    """As `_rules`, of the weights of values."""
    weights = rows[f"/{source}"]
    least, most = weights.mins(), weights.maxs()
    bad = (least < 0) | (most > LARGEST)
    shown = (least < 0).ifelse(least, most)
    if text_of(source) in rows.columns:
        text = rows[text_of(source)]
        bad, shown = text.notnull() | bad, text.fill_null(shown.cast("string"))
    wanted = "values must be numbers of at least 0 that float32 holds"
    return {f"{who_is(column)}, weight {source!r}": (bad, wanted, shown)}
