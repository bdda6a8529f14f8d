import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recsys.metrics import auc
from tests.close import close


def by_pairs(label, score, weight):
    """The definition: every (positive, negative) pair, one by one."""
    ordered = total = 0.0
    for i in range(len(label)):
        for j in range(len(label)):
            if label[i] == 1 and label[j] == 0:
                pair = weight[i] * weight[j]
                total += pair
                ordered += pair * ((score[i] > score[j]) + (score[i] == score[j]) / 2)
    return ordered / total if total else float("nan")


rows = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1e-30, 0.5, 2.0, np.inf]),
        st.sampled_from([0.0, 0.25, 1.0, 3.0]),
    ),
    max_size=30,
)


@given(rows, st.sampled_from(["float16", "float32", "float64"]))
def test_counts_pairs(rows, dtype):
    label, score, weight = np.array(rows).reshape(-1, 3).T
    score = score.astype(dtype)
    ones = np.ones(len(label))
    close(
        auc(label, score), by_pairs(label, score, ones), terms=10_000, dtype="float64"
    )
    wanted = by_pairs(label, score, weight)
    close(
        auc(label, score, sample_weight=weight), wanted, terms=10_000, dtype="float64"
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_equals_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    label = rng.random(5000) < 0.1
    score = (rng.normal(size=5000) * 50 + 30 * label).round().astype(dtype)
    weight = rng.exponential(size=5000)
    close(auc(label, score), roc_auc_score(label, score), terms=10_000, dtype="float64")
    close(
        auc(label, score, sample_weight=weight),
        roc_auc_score(label, score, sample_weight=weight),
        terms=10_000,
        dtype="float64",
    )


def test_depends_on_the_order_of_scores_only():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 200)
    score = rng.normal(size=200).round(1)
    value = auc(label, score)
    assert 0 < value < 1
    assert auc(label, np.exp(score)) == value
    close(auc(label, -score), 1 - value, terms=10_000, dtype="float64")
    close(
        auc(np.tile(label, 2), np.tile(score, 2)), value, terms=10_000, dtype="float64"
    )
    assert auc(label[::-1], score[::-1]) == value
    assert auc(label, np.zeros(200)) == 0.5


@pytest.mark.parametrize("label", [[], [0, 0], [1, 1], [np.nan, np.nan]])
def test_is_undefined_for_one_class(label):
    assert np.isnan(auc(label, np.arange(len(label))))


def test_is_undefined_if_a_class_has_no_weight():
    assert np.isnan(auc([0, 1], [0.1, 0.2], sample_weight=[1, 0]))


def test_rows_without_label_or_weight_do_not_count():
    label = [[0], [1], [np.nan], [1]]
    score = [[0.3], [0.4], [np.nan], [0.1]]
    assert auc(label, score, sample_weight=[1, 1, 1, 0]) == 1.0


@pytest.mark.parametrize(
    ("label", "score", "weight", "message"),
    [
        ([0, 0.5], [1, 2], None, "0 or 1"),
        ([0, 1], [1, np.nan], None, "must not be NaN. Received: 1 NaN"),
        ([0, 1], [1, 2, 3], None, "as many rows as y_true, 2. Received: 3"),
        ([[0, 1]], [[1, 2]], None, r"one value per row.*Received: shape \(1, 2\)"),
        ([0, 1], [1, 2], [1, -1], "at least 0"),
        ([0, 1], [1, 2], [1, np.nan], "at least 0"),
        ([0, 1], [1, 2], [1, np.inf], "finite"),
        ([0, 1], [1, 2], [1], "weight must have as many rows"),
    ],
)
def test_refuses(label, score, weight, message):
    with pytest.raises(ValueError, match=message):
        auc(label, score, sample_weight=weight)
