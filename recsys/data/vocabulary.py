"""From values to ids, as Ibis expressions that any engine runs."""

from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from recsys.feature.schema.columns import FIRST_ID, UNSEEN

NO_GROUP = 2**31 - 1


def count_values(values: Any, min_count: int, max_size: int | None) -> Any:
    """Returns the values of a vocabulary, the most frequent first.

    Args:
        values: Table with one column, `value`.
        min_count: Least count of a value that is kept.
        max_size: Most values kept, if any.

    Returns:
        Table of `value` and `count`, by falling count and rising value.
    """
    counted = (
        values.filter(values.value.notnull())
        .group_by("value")
        .aggregate(count=ibis._.count())
        .filter(ibis._["count"] >= min_count)
        .order_by([ibis.desc("count"), "value"])
    )
    return counted if max_size is None else counted.limit(max_size)


def with_ids(vocabulary: pa.Table) -> Any:
    """Returns a vocabulary as an Ibis table of `value` and `id`."""
    ids = np.arange(FIRST_ID, FIRST_ID + vocabulary.num_rows, dtype="int32")
    return ibis.memtable(
        vocabulary.select(["value"]).append_column("id", pa.array(ids))
    )


def hashed(value: Any, num_buckets: int) -> Any:
    """Returns the id of a value in a hash table, as `Hashed` documents it."""
    return (text_hash(value) % num_buckets + FIRST_ID).fill_null(UNSEEN)


def bucketed(value: Any, edges: Sequence[float]) -> Any:
    """Returns 2 + the number of edges at or below the value, 1 for a null."""
    if not edges:
        return ibis.ifelse(value.isnull(), UNSEEN, FIRST_ID)
    bucket = value.bucket(
        edges, close_extreme=False, include_under=True, include_over=True
    )
    return (bucket.cast("int32") + FIRST_ID).fill_null(UNSEEN)


def group_key(value: Any) -> Any:
    """Returns an integer in [0, 2**31) for a value: itself if it is one, or its hash.

    Rows without a value form one group.
    """
    key = text_hash(value) % 2**31
    if value.type().is_integer():
        key = ibis.ifelse(value.between(0, 2**31 - 1), value, key)
    return key.fill_null(NO_GROUP)


def text_hash(value: Any, digits: int = 8) -> Any:
    """Returns the first bits of the MD5 of a value written as text.

    Args:
        value: An expression.
        digits: How many hexadecimal digits, of 4 bits; at most 13.
    """
    digest = value.cast("string").hexdigest("md5")
    # Engines differ in how they parse hex and in how wide an integer is; they agree on
    # the place of a digit in a string, and a double holds 53 bits exactly.
    sixteen = ibis.literal("0123456789abcdef")
    places = [sixteen.find(digest.substr(place, 1)) for place in range(digits)]
    number = sum(digit * 16.0 ** (digits - 1 - i) for i, digit in enumerate(places))
    return number.cast("int64")
