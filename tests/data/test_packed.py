"""Rows of the model input in two files."""

import numpy as np
import pyarrow as pa

from recsys.data.layout import Slot
from recsys.data.packed import checksum, checksum_of, read_packed, write_packed

SLOTS = [Slot("id", "int32"), Slot("pair", "int32", (2,)), Slot("number", "float32")]


def test_rows_come_back_in_the_order_of_their_numbers(tmp_path):
    """An engine need not keep an order: here blocks and their rows are mixed."""
    rows, random = 2500, np.random.default_rng(0)
    ids = np.arange(rows, dtype="int32")
    mixed = random.permutation(rows)
    mixed[:900] = np.sort(mixed[:900])
    tables = [
        (
            here,
            pa.table(
                {
                    "number": (here / 2).astype("float32"),
                    "id": ids[here],
                    "pair": [[row, row + 1] for row in here.tolist()],
                }
            ),
        )
        for here in np.split(mixed, [900, 901, 2000])
    ]
    write_packed(tables, [], tmp_path, SLOTS)
    integers, numbers = read_packed(tmp_path, SLOTS, 0, rows)
    np.testing.assert_array_equal(integers, np.stack([ids, ids, ids + 1], 1))
    np.testing.assert_array_equal(numbers, ids[:, None] / 2)
    some = read_packed(tmp_path, SLOTS, 1000, 1003)
    np.testing.assert_array_equal(some[0][:, 0], [1000, 1001, 1002])
    assert checksum_of(tmp_path, SLOTS, rows) == checksum([integers, numbers])


def test_a_kind_without_columns_has_no_bytes(tmp_path):
    ids = np.arange(3, dtype="int32")
    write_packed([(ids, pa.table({"id": ids}))], [], tmp_path, SLOTS[:1])
    assert [each.shape for each in read_packed(tmp_path, SLOTS[:1], 1, 3)] == [
        (2, 1),
        (2, 0),
    ]
