import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from recsys.metrics import log_loss
from tests.close import close


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 1.0]),
            st.floats(-30, 30),
            st.sampled_from([0.0, 0.5, 2.0]),
        ),
        max_size=20,
    )
)
def test_is_the_likelihood(rows):
    top = bottom = 0.0
    for y, z, w in rows:
        log_p, log_not_p = -math.log1p(math.exp(-z)), -math.log1p(math.exp(z))
        top -= w * (y * log_p + (1 - y) * log_not_p)
        bottom += w
    y, z, w = np.array(rows).reshape(-1, 3).T
    value = log_loss(y, logits=z, sample_weight=w)
    close(value, top / bottom if bottom else np.nan, terms=10_000_000, dtype="float64")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equals_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1000)
    p = rng.random(1000).astype(dtype)
    p[:2] = 0, 1  # clipped
    w = rng.random(1000)
    epsilon = float(np.finfo(dtype).eps)
    clipped = p.astype("float64").clip(epsilon, 1 - epsilon)
    for weight in (None, w):
        wanted = sklearn_metrics.log_loss(y, clipped, sample_weight=weight)
        close(
            log_loss(y, p, sample_weight=weight), wanted, terms=10_000, dtype="float64"
        )


def test_logits_lose_nothing():
    assert log_loss([1, 0], logits=[1e4, -1e4]) == 0
    assert log_loss([0, 1], logits=[1e4, -1e4]) == 1e4
    close(
        log_loss([1], logits=[30.0]), math.exp(-30), terms=10_000_000, dtype="float64"
    )


def test_certain_and_wrong_is_clipped_at_the_dtype():
    assert log_loss([1], np.array([0], "float32")) == pytest.approx(15.94, abs=0.01)
    assert log_loss([1], [0]) == pytest.approx(36.04, abs=0.01)


def test_rows_without_label_or_weight_do_not_count():
    value = log_loss([1, np.nan, 0], [0.8, 0.1, 0.9], sample_weight=[1, 1, 0])
    close(value, -math.log(0.8))
    assert np.isnan(log_loss([np.nan], [0.5]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either y_prob or logits"),
        ({"y_prob": [0.5], "logits": [0.0]}, "either y_prob or logits"),
        ({"y_prob": [1.5]}, r"in \[0, 1\]; logits have.*Received: 1.5 to 1.5"),
        ({"logits": [np.inf]}, "logits must be finite"),
        ({"logits": [np.nan]}, "must not be NaN"),
        ({"logits": [0.0], "y_true": [2]}, r"y_true must be in \[0, 1\]"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        log_loss(**{"y_true": [1], **arguments})
