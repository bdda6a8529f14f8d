"""Streaming metrics hold what their package says, however many rows come."""

import inspect

import keras
import numpy as np
import pytest

from recsys import metrics

ID = 4 if keras.backend.backend() == "jax" else 8  # bytes of a group
KINDS = {
    name: kind
    for name in metrics.__all__
    if inspect.isclass(kind := getattr(metrics, name))
    and issubclass(kind, keras.metrics.Metric)
}
NEEDED = {
    "by": "domain",
    "metrics": ["auc"],
    "group": "user",
    "auc_base": 0.7,
    "threshold": 0.5,
    "catalogue": np.arange(1, 51),
    "counts": np.arange(50),
    "categories": np.arange(50) % 3,
    "vectors": np.eye(50),
    "capacity": 1000,
    "bins": 64,
}


@pytest.mark.parametrize("name", KINDS)
def test_bytes_held(name):
    takes = inspect.signature(KINDS[name].__init__).parameters
    inherited = {"capacity"} if hasattr(KINDS[name], "value") else set()
    given = {k: v for k, v in NEEDED.items() if k in {*takes, *inherited}}
    metric = KINDS[name](**given)
    held = sum(
        np.prod(v.shape) * np.dtype(v.dtype).itemsize for v in weights_of(metric)
    )
    if "capacity" in given:
        of_row = 12 + ID * (("group" in given) + ("by" in given))
        assert held == (1000 + 1) * of_row + 4  # one to spill into, and a counter
    elif name == "BinnedAUC":
        assert held == 16 * 64
    elif "catalogue" in given:
        assert held == 4 * 50
    else:
        assert held <= 8 * 5


def weights_of(metric):
    return {
        id(each): each
        for each in [*metric.variables, *vars(metric).values()]
        if isinstance(each, keras.Variable)
    }.values()
