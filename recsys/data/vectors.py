"""Vectors of items: what `fit` learns of them, one for each id."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.item_vectors import ItemVectors
from recsys.data.layout import Selection
from recsys.data.raw import (
    NUMBERS,
    as_category,
    family_of,
    split_text,
    typed_value,
    who_is,
)
from recsys.data.settling import settled
from recsys.feature.schema.columns import FIRST_ID, LARGEST, Categorical
from recsys.feature.schema.schema import Schema
from recsys.feature.schema.vector import Vector

ALIKE = 0.01  # by how much of their mean lengths may differ that say nothing
BLOCK = 2**14  # vectors that are scaled at a time
LEAST_SPREAD = 1e-3  # of a standard deviation; float16 has three digits


def as_vector(table: Any, column: Vector) -> Any:
    """The lists of numbers; null where a text is no number."""
    text = ["string"] if column.separator else []
    value = typed_value(table, column, column.source, ["array", *text])
    if value.type().is_string():
        texts = split_text(value, column.separator)
        return texts.map(lambda each: each.try_cast("float64"))
    if family_of(value.type().value_type) not in NUMBERS:
        raise ValueError(
            f"{who_is(column)}: raw column {column.source!r} must be of lists of type "
            f"{', '.join(NUMBERS)}. Received: {value.type()}"
        )
    small = value.type().value_type.is_float32()
    return value if small else value.cast("array<float64>")


def vectors_of(
    table: Any,
    item: Categorical,
    column: Vector,
    families: Mapping[str, str],
    run: Callable[[Any], pa.Table],
) -> tuple[pa.Array, np.ndarray]:
    """Returns the items that have a vector, by rising value, and the vectors as given.

    Args:
        table: Rows with the raw columns of both; several of one item may be alike.
        item: The item.
        column: The vector.
        families: As in `Fitted`.
        run: Evaluates an Ibis table.

    Raises:
        ValueError: If an item has two vectors, or one is of another length or holds
            what is no number; or none has any.
    """
    both = Selection(Schema([item, column]), [item, column])
    table = settled(table, both, families, run)
    value = as_category(table, item, item.source, item.empty_is_missing)
    family = families[item.name]
    if family_of(value.type()) != family:
        raise ValueError(
            f"{who_is(item)}: raw column {item.source!r} must be of type {family} in "
            f"the items of {who_is(column)}, as in the data. "
            f"Received: {family_of(value.type())}"
        )
    pairs = table.select(item=value, vector=as_vector(table, column))
    there = pairs.item.notnull() & (pairs.vector.length() > 0)
    found = run(pairs.filter(there).distinct().order_by("item"))
    items = found["item"].combine_chunks()
    lists = found["vector"].combine_chunks()
    if not len(items):
        raise ValueError(
            f"{who_is(column)}: an item at least must have a vector. Received: none"
        )
    lengths = pc.list_value_length(lists).to_numpy()
    _refuse(
        column, items, lengths != column.length,
        f"{column.length} numbers", lambda at: str(lengths[at]),
    )  # fmt: skip
    numbers = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    vectors = numbers.reshape(len(items), column.length)
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(vectors) <= LARGEST).all(axis=1)
    wanted = "finite numbers that float32 holds"
    _refuse(column, items, wrong, wanted, lambda at: str(vectors[at].tolist()))
    again = np.append(False, pc.equal(items[1:], items[:-1]).to_numpy(False))
    _refuse(
        column, items, again, "the same numbers in all its rows",
        lambda at: f"{vectors[at - 1].tolist()} and {vectors[at].tolist()}",
    )  # fmt: skip
    has = vectors.astype("float32").any(axis=1)
    if not has.any():
        raise ValueError(
            f"{who_is(column)}: an item at least must have a vector that is not all 0. "
            "Received: none"
        )
    return items.filter(pa.array(has)), vectors[has]


def _refuse(
    column: Vector,
    items: pa.Array,
    wrong: np.ndarray,
    wanted: str,
    received: Callable[[int], str],
) -> None:
    if wrong.any():
        at = int(wrong.argmax())
        text = received(at)
        text = text if len(text) < 200 else f"{text[:200]}..."
        raise ValueError(
            f"{who_is(column)}: the vector of an item must be of {wanted}. "
            f"Received: {text}, of item {items[at].as_py()!r} "
            f"({int(wrong.sum())} such)"
        )


def with_vectors(
    words: pa.Table,
    item: Categorical,
    column: Vector,
    items: pa.Array,
    vectors: np.ndarray,
) -> tuple[pa.Table, ItemVectors]:
    """Returns a vocabulary that has all items with vectors, and those by its ids.

    Args:
        words: All values that occur, by falling count.
        item: The item, which says how many of them have a row in the table of ids.
        column: The vector.
        items: The values with vectors, rising.
        vectors: Theirs, none all 0.

    Returns:
        Of `words` those that are either, then what does not occur, of count 0; and the
        vectors.
    """
    num = int(np.sum(words["count"].to_numpy() >= item.min_count))
    num = num if item.max_size is None else min(num, item.max_size)
    kept = np.arange(len(words)) < num
    kept |= pc.is_in(words["value"], value_set=items).to_numpy()
    new = items.filter(pc.invert(pc.is_in(items, value_set=words["value"])))
    more = pa.table({"value": new, "count": pa.array(np.zeros(len(new), "int64"))})
    words = words.filter(pa.array(kept)).select(more.column_names)
    words = pa.concat_tables([words, more.cast(words.schema)])
    ids = FIRST_ID + pc.index_in(items, value_set=words["value"]).to_numpy()
    scaled, mean, std = _scaled(vectors, column)
    if mean and 0 < (spread := _spread(vectors)) < LEAST_SPREAD * std:
        far = int(np.abs(vectors - np.array(mean)).max(axis=1).argmax())
        raise ValueError(
            f"{who_is(column)}: vectors must be of one scale. Received: one of item "
            f"{items[far].as_py()!r} beside which nothing is left of the others: their "
            f"numbers differ by {spread:g}, and the standard deviation of all is "
            f"{std:g}"
        )
    matrix = np.zeros((FIRST_ID + len(words), column.length), column.dtype)
    matrix[ids] = scaled
    return words, ItemVectors(matrix, FIRST_ID + num, mean, std)


def _spread(vectors: np.ndarray) -> float:
    """By how much numbers differ from those in the middle, whatever a few of them are.

    That is the median of what lies between a number and the median of its place; 0
    where most are the same.
    """
    some = vectors[:: max(1, len(vectors) // BLOCK)].astype("float64")
    return float(np.median(np.abs(some - np.median(some, axis=0))))


def _scaled(
    vectors: np.ndarray, column: Vector
) -> tuple[np.ndarray, list[float], float]:
    """Vectors on the scale that suits them, and what was done, see `ItemVectors`."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype="float64"))
    unit = bool(np.ptp(lengths) <= ALIKE * lengths.mean())
    mean, std = np.zeros(column.length), 1.0
    starts = range(0, len(vectors), BLOCK)
    blocks = [slice(start, start + BLOCK) for start in starts]
    if not unit:
        mean = vectors.mean(axis=0, dtype="float64")
        squares = sum(float(np.square(vectors[each] - mean).sum()) for each in blocks)
        std = (squares / vectors.size) ** 0.5
    scaled = np.empty(vectors.shape, column.dtype)
    for each in blocks:
        size = lengths[each, None] if unit else std
        scaled[each] = (vectors[each] - mean) / size
        # That of the mean is one all the same, and one of zeros would be none.
        scaled[each][~scaled[each].any(axis=1), 0] = np.finfo(column.dtype).tiny
    return scaled, [] if unit else mean.tolist(), std
