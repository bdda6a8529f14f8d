import numpy as np
import pytest
from scipy.stats import binom

from recsys.metrics import estimated_rank, expected_sampled
from tests.close import close


@pytest.mark.parametrize("metric", ["hit_rate", "ndcg", "mrr"])
def test_is_the_expectation_over_the_binomial(metric):
    rank, n, m, k = np.array([1, 2, 40, 500, 1000]), 1000, 99, 10
    above = np.arange(k)
    value = {
        "hit_rate": np.ones(k),
        "ndcg": 1 / np.log2(above + 2),
        "mrr": 1 / (above + 1),
    }[metric]
    wanted = binom.pmf(above, m, (rank[:, None] - 1) / (n - 1)) @ value
    got = expected_sampled(metric, rank, num_items=n, num_negatives=m, k=k)
    close(got, wanted, terms=10_000_000, dtype="float64")


def test_samples_can_turn_the_order_of_two_models():
    """One model has more items at the very top, the other fewer far down."""
    top, even = np.repeat([1, 900], [20, 80]), np.repeat([25], 100)
    full = [np.mean(rank <= 10) for rank in (top, even)]
    sampled = [
        expected_sampled("hit_rate", r, num_items=1000, num_negatives=99, k=10).mean()
        for r in (top, even)
    ]
    assert full[0] > full[1] and sampled[0] < sampled[1]


def test_estimate_is_unbiased():
    rng = np.random.default_rng(0)
    sampled = 1 + rng.binomial(99, (300 - 1) / 999, 100_000)
    estimate = estimated_rank(sampled, num_items=1000, num_negatives=99)
    assert estimate.mean() == pytest.approx(300, rel=0.01)


def test_refuses():
    with pytest.raises(ValueError, match="metric must be one of"):
        expected_sampled("map", [1], num_items=10, num_negatives=5, k=1)
    with pytest.raises(ValueError, match=r"ranks in \[1, 10\]"):
        expected_sampled("mrr", [11], num_items=10, num_negatives=5, k=1)
