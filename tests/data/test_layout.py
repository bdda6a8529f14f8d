"""Columns as arrays: their order, and side by side."""

import numpy as np
import pyarrow as pa
import tensorflow as tf

from recsys.data.layout import ROW, Slot, apart, by_row, packed_room, side_by_side


def test_rows_come_in_their_order_whatever_the_engine_does() -> None:
    table = pa.table({ROW: [2, 0, 1], "a": ["x", "y", "z"], "b": [[1], [], [2, 3]]})
    sorted_table = pa.table({"a": ["y", "z", "x"], "b": [[], [2, 3], [1]]})
    assert by_row(table).equals(sorted_table)
    assert by_row(table.slice(1)).equals(sorted_table.slice(0, 2))


def test_columns_side_by_side_are_parts_of_one_matrix() -> None:
    slots = [Slot("a", "int32"), Slot("b", "float32", (2,)), Slot("c", "int32", (2, 3))]
    (ids, numbers), columns = packed_room(4, slots)
    assert (ids.shape, numbers.shape) == ((4, 7), (4, 2))
    for i, (name, column) in enumerate(columns.items()):
        column[:] = np.arange(column.size).reshape(column.shape) + 100 * i
        assert np.shares_memory(column, numbers if name == "b" else ids)
    wanted = side_by_side([columns["a"], columns["c"]])
    np.testing.assert_array_equal(ids, wanted)
    for part, name in zip(apart(tf.constant(ids), [(), (2, 3)]), "ac", strict=True):
        np.testing.assert_array_equal(part, columns[name])
    assert apart(tf.constant(numbers), []) == []
