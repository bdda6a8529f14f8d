"""Arrays as batches: every row once an epoch, in new orders, the last batch short."""

import numpy as np
import pytest
import tensorflow as tf

from recsys.data.dataset import Order
from recsys.train import feed


def _epoch(dataset):
    batches = list(dataset.as_numpy_iterator())
    return [len(y) for _, y in batches], np.concatenate([x["a"] for x, _ in batches])


def test_every_row_once_and_beside_its_label():
    data = ({"a": np.arange(10), "b": np.arange(20.0).reshape(10, 2)}, np.arange(10))
    dataset = feed.array_dataset(data, 4, Order(0))
    assert len(dataset) == 3
    for x, y in dataset.as_numpy_iterator():
        np.testing.assert_array_equal(x["a"], y)
        np.testing.assert_array_equal(x["b"][:, 0], 2 * y)
    sizes, rows = _epoch(dataset)
    assert sizes == [4, 4, 2]
    np.testing.assert_array_equal(np.sort(rows), np.arange(10))


def test_orders_are_new_in_each_epoch_and_follow_the_seed():
    data = ({"a": np.arange(50)}, np.arange(50))
    orders = []
    for _ in range(2):
        dataset = feed.array_dataset(data, 16, Order(3))
        orders.append([_epoch(dataset)[1] for _ in range(2)])
    (a, b), (c, d) = orders
    assert (a != b).any() and (a != np.arange(50)).any()
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
    plain = feed.array_dataset(data, 16)
    np.testing.assert_array_equal(_epoch(plain)[1], np.arange(50))


def test_the_autotuner_is_off_unless_the_user_says_otherwise():
    dataset = tf.data.Dataset.range(3)
    assert feed.prompt(dataset).options().autotune.enabled is False
    options = tf.data.Options()
    options.autotune.enabled = True
    chosen = dataset.with_options(options)
    assert feed.prompt(chosen) is chosen


def test_a_split_takes_the_last_rows():
    data = ({"a": np.arange(10)}, np.arange(10))
    (x, y), (vx, vy) = feed.split_off(data, 0.25)
    assert list(y) == list(x["a"]) == list(range(7))
    assert list(vy) == list(vx["a"]) == [7, 8, 9]
    with pytest.raises(ValueError, match="rows on both sides"):
        feed.split_off(data, 0.999)


def test_rows_at_once_are_fewer_where_rows_or_their_histories_are_long():
    def rows(*shapes):
        return feed.rows_at_once(
            {str(i): np.empty((1, *s)) for i, s in enumerate(shapes)}
        )

    assert rows(()) == 8192
    assert rows(*39 * [()]) == 2**18 // 39
    assert rows((), (200,), (200,)) == 2**18 // 401
    assert rows((1000,)) == 2**26 // 1000**2
    assert rows((100_000,)) == 32
