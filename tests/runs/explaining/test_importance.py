"""Importance by permutation, beside a loop written by hand."""

import numpy as np

from recsys.runs.explaining.importance import permutation_importance
from tests.close import close

RNG = np.random.default_rng(4)
COLUMNS = {
    "a": RNG.normal(size=200),
    "b": RNG.normal(size=(200, 2)),
    "c": RNG.normal(size=200),
    "still": RNG.normal(size=200),
}
TARGET = 2 * COLUMNS["a"] + COLUMNS["b"].sum(1) * COLUMNS["c"]


def predict(columns):
    return 2 * columns["a"] + columns["b"].sum(1) * columns["c"]


def error(predictions):
    return float(np.mean((predictions - TARGET) ** 2))


def test_a_loss_is_the_mean_over_orders_of_rows():
    groups = {"a": ["a"], "both": ["b", "c"], "b": ["b"], "still": ["still"]}
    found = permutation_importance(
        predict, error, COLUMNS, groups, larger_is_better=False, repeats=4, seed=9
    )
    rng = np.random.default_rng(9)
    orders = [rng.permutation(200) for _ in range(4)]
    a, b, c = (COLUMNS[name] for name in "abc")
    wanted = {
        "a": [error(2 * a[o] + b.sum(1) * c) for o in orders],
        "both": [error(2 * a + b[o].sum(1) * c[o]) for o in orders],
        "b": [error(2 * a + b[o].sum(1) * c) for o in orders],
        "still": [0.0] * 4,
    }
    assert [each.name for each in found] == sorted(
        wanted, key=lambda name: -np.mean(wanted[name])
    )
    for each in found:
        close(each.loss, np.mean(wanted[each.name]), terms=200)
        mean = np.mean(wanted[each.name])
        spread = np.sqrt(np.sum((np.array(wanted[each.name]) - mean) ** 2) / 3)
        close(each.deviation, spread, terms=200)


def test_less_of_a_metric_that_should_be_large_is_a_loss():
    found = permutation_importance(
        predict,
        lambda predictions: -error(predictions),
        COLUMNS,
        {"a": ["a"]},
        larger_is_better=True,
        repeats=1,
    )
    assert found[0].loss > 1 and np.isnan(found[0].deviation)
