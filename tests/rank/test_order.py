"""What of a history sequence models can learn: its order, and what is in it."""

from functools import cache

import keras
import numpy as np
import pytest

from recsys import Field, create_model
from recsys.metrics.auc import auc

ROWS, TRAIN, SIZE, LENGTH = 6000, 5000, 30, 6
KWARGS = {
    "bst": {"num_heads": 1, "hidden_units": (32,)},
    "dsin": {"num_sessions": LENGTH, "session_length": 1},
}
TRAINING = {"bst": (0.005, 15), "hstu_rank": (0.003, 20)}
"""Learning rate and epochs: self-attention starts slowly, from some weights not in so
few epochs."""


@cache
def _rows(kind):
    rng = np.random.default_rng(0)
    item = rng.integers(1, SIZE, ROWS)
    if kind == "order":
        # Half of each parity in any order; is the most recent of the target's?
        parity = np.argsort(rng.random((ROWS, LENGTH)), axis=1) % 2
        seen = 2 * rng.integers(1, SIZE // 2, (ROWS, LENGTH)) + parity
        y = seen[:, -1] % 2 == item % 2
    else:
        seen = np.argsort(rng.random((ROWS, SIZE - 1)), axis=1)[:, :LENGTH] + 1
        one = seen[np.arange(ROWS), rng.integers(0, LENGTH, ROWS)]
        item = np.where(rng.random(ROWS) < 0.5, one, item)
        y = (seen == item[:, None]).any(1)
    y = y ^ (rng.random(ROWS) < 0.05)
    return {"item": item, "seen": seen}, y.astype("float32")


@cache
def _auc(name, kind, seed=0):
    """Of new rows; the best possible is 0.95."""
    x, y = _rows(kind)
    rate, epochs = TRAINING.get(name, (0.01, 8))
    keras.utils.set_random_seed(seed)
    fields = [
        Field("item", vocabulary_size=SIZE, dim=8, belong="item"),
        Field("seen", emb="item", length=LENGTH, belong="history"),
    ]
    model = create_model(name, fields, **KWARGS.get(name, {}))
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    train = {k: v[:TRAIN] for k, v in x.items()}
    model.fit(train, y[:TRAIN], epochs=epochs, batch_size=100, verbose=0)
    score = model.predict({k: v[TRAIN:] for k, v in x.items()}, verbose=0)
    return auc(y[TRAIN:], score[:, 0])


def _slow(*names):
    return [pytest.param(name, marks=pytest.mark.all) for name in names]


@pytest.mark.parametrize("name", ["tin", *_slow("dien", "bst", "hstu_rank")])
def test_where_only_order_matters_they_beat_din(name):
    assert any(_auc(name, "order", seed) > 0.8 for seed in range(4))
    assert _auc("din", "order") < 0.55


@pytest.mark.parametrize("name", _slow("dien", "bst", "tin"))
def test_where_only_membership_matters_din_is_as_good(name):
    assert _auc("din", "membership") > 0.85
    assert _auc("din", "membership") > _auc(name, "membership") - 0.02


@pytest.mark.parametrize("name", ["sim", *_slow("eta", "sdim", "can", "dsin")])
def test_all_of_them_find_the_item_in_its_history(name):
    assert _auc(name, "membership") > 0.85
