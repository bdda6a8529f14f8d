"""Rows whose labels need one idea to be predicted, and the test that it was learned."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from recsys import Field
from recsys.metrics.auc import auc

Data = tuple[list[Field], dict[str, np.ndarray], np.ndarray]
ROWS, SIZE = 6000, 8


def _draw(names: str, belongs: dict[str, str] | None = None) -> Any:
    rng = np.random.default_rng(0)
    fields = [
        Field(name, vocabulary_size=SIZE, belong=(belongs or {}).get(name, "user"))
        for name in names
    ]
    return rng, fields, {name: rng.integers(0, SIZE, ROWS) for name in names}


def _flip(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """One label in twenty is wrong."""
    return (y ^ (rng.random(ROWS) < 0.05)).astype("float32")


def pairwise() -> Data:
    """Whether two of four ids agree in parity; the other two are noise."""
    rng, fields, x = _draw("abcd", {"b": "item"})
    return fields, x, _flip(rng, x["a"] % 2 == x["b"] % 2)


def cross() -> Data:
    """The parity of three ids together: no pair of them tells anything."""
    rng, fields, x = _draw("abc", {"b": "item"})
    return fields, x, _flip(rng, (x["a"] + x["b"] + x["c"]) % 2 == 1)


def gate() -> Data:
    """The parity of a or of b, as the first id says: which field matters, varies."""
    rng, fields, x = _draw("gabd", {"b": "item"})
    chosen = np.where(x["g"] % 2 == 0, x["a"], x["b"])
    return fields, x, _flip(rng, chosen % 2 == 1)


def assert_learns(
    build: Callable[[list[Field]], keras.Model],
    data: Callable[[], Data],
    learning_rate: float = 0.02,
    epochs: int = 10,
) -> None:
    """Trains on most rows; on the rest the AUC must be far above that of sums.

    The best possible AUC is 0.95; logistic regression reaches 0.5 on `pairwise` and
    `cross`, 0.75 on `gate`.
    """
    keras.utils.set_random_seed(0)
    fields, x, y = data()
    model = build(fields)
    model.compile(keras.optimizers.Adam(learning_rate), "binary_crossentropy")
    train = slice(ROWS * 2 // 3)
    test = slice(ROWS * 2 // 3, None)
    model.fit(
        {k: v[train] for k, v in x.items()},
        y[train],
        epochs=epochs,
        batch_size=200,
        verbose=0,
    )
    score = model.predict({k: v[test] for k, v in x.items()}, verbose=0)
    if isinstance(score, dict):
        score = next(iter(score.values()))
    baseline = auc(y[test], _logistic_regression(x, y, train)[test])
    found = auc(y[test], score[:, 0])
    assert found > (baseline + 0.95) / 2, (found, baseline)


def _logistic_regression(x: Any, y: np.ndarray, train: slice) -> np.ndarray:
    """Scores of all rows by the best sum of one weight an id (Newton's method)."""
    onehot = np.concatenate([np.eye(SIZE)[column] for column in x.values()], axis=1)
    w = np.zeros(onehot.shape[1])
    for _ in range(10):
        p = 1 / (1 + np.exp(-onehot[train] @ w))
        hessian = (onehot[train] * (p * (1 - p))[:, None]).T @ onehot[train]
        hessian += 0.1 * np.eye(len(w))
        w += np.linalg.solve(hessian, onehot[train].T @ (y[train] - p) - 0.1 * w)
    return onehot @ w
