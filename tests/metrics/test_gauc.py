import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recsys.metrics import auc, gauc, group_auc
from tests.close import close


def by_pairs(rows, weight_by):
    """The definition, group by group and pair by pair."""
    top = bottom = 0.0
    for group in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == group]
        positives = [(s, w) for _, y, s, w in mine if y == 1 and w > 0]
        negatives = [(s, w) for _, y, s, w in mine if y == 0 and w > 0]
        ordered = total = 0.0
        for s, w in positives:
            for t, v in negatives:
                ordered += w * v * (1.0 if s > t else 0.5 if s == t else 0.0)
                total += w * v
        if total:
            clicks = sum(w for _, w in positives)
            impressions = clicks + sum(w for _, w in negatives)
            weight = {"impressions": impressions, "clicks": clicks, "uniform": 1.0}
            top += weight[weight_by] * ordered / total
            bottom += weight[weight_by]
    return top / bottom if bottom else float("nan")


rows = st.lists(
    st.tuples(
        st.sampled_from([-100, 0, 7, 100]),
        st.sampled_from([0, 1]),
        st.sampled_from([-2.0, -0.5, 0.0, 1.0]),
        st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=40,
)


@given(
    rows,
    st.sampled_from(["impressions", "clicks", "uniform"]),
    st.sampled_from(["int8", "int64", "uint64", "float32", "str"]),
    st.sampled_from(["float32", "float64"]),
)
def test_counts_pairs_inside_groups(rows, weight_by, group_dtype, score_dtype):
    group, label, score, weight = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    value = gauc(
        label,
        score.astype(score_dtype),
        groups=group.astype(group_dtype),
        sample_weight=weight,
        weight_by=weight_by,
    )
    close(value, by_pairs(rows, weight_by), terms=10_000, dtype="float64")


def test_equals_a_loop_over_scikit_learn():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 100, 4000) * 2**40  # too far apart for 31 bits
    label = rng.integers(0, 2, 4000)
    score = (rng.normal(size=4000) + label).astype("float32").round(1)
    weight = rng.exponential(size=4000)
    mine = [group == value for value in np.unique(group)]
    table = group_auc(label, score, groups=group, sample_weight=weight)
    close(
        table.auc,
        [roc_auc_score(label[m], score[m], sample_weight=weight[m]) for m in mine],
        terms=10_000,
        dtype="float64",
    )
    close(table.impressions, [weight[m].sum() for m in mine], terms=1)
    close(table.clicks, [weight[m] @ label[m] for m in mine], terms=1)


def test_small_weights_beside_large_ones_keep_their_digits():
    label = np.tile([0, 1, 0, 1], 1000)
    score = np.tile(np.array([0.0, 1.0, 2.0, 1.5], "float32"), 1000)
    group = np.repeat(np.arange(1000), 4)
    weight = np.tile([1.0, 2.0, 4.0, 8.0], 1000) * np.where(group % 2, 1e3, 1e-3)
    table = group_auc(label, score, groups=group, sample_weight=weight)
    close(table.auc, 0.2, terms=10_000_000, dtype="float64")


@pytest.mark.parametrize("last", [2**31 - 1, 2**31, 2**63 - 1])
def test_groups_are_in_order(last):
    group = np.array([last, 0, last, 0, 1, 1])
    table = group_auc([0, 1, 1, 0, 1, 1], np.float32([3, 2, 1, 0, 0, 1]), groups=group)
    np.testing.assert_array_equal(table.auc, [1, np.nan, 0])


def test_one_group_is_auc():
    rng = np.random.default_rng(2)
    label, score = rng.integers(0, 2, 300), rng.normal(size=300).round(1)
    assert gauc(label, score, groups=np.zeros(300, int)) == auc(label, score)


def test_constants_per_group_and_the_order_of_rows_do_not_matter():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 20, 500)
    label = rng.integers(0, 2, 500)
    score = rng.integers(-8, 8, 500) / 4
    value = gauc(label, score, groups=group)
    assert gauc(label, score + 10.0 * group, groups=group) == value
    shuffled = rng.permutation(500)
    assert gauc(label[shuffled], score[shuffled], groups=group[shuffled]) == value


def test_skips_groups_of_one_class_and_says_so():
    label = [1, 0, 1, 1, 0, 0, np.nan]
    score = [2.0, 1.0, 5.0, 4.0, 0.0, 3.0, 9.0]
    group = [1, 1, 2, 2, 3, 3, 4]
    assert gauc(label, score, groups=group) == 1.0
    table = group_auc(label, score, groups=group)
    np.testing.assert_array_equal(table.auc, [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(table.clicks, [1, 2, 0])
    close(table.coverage(), (1 / 3, 2 / 6))


def test_is_undefined_without_a_valid_group():
    assert np.isnan(gauc([1, 0], [1.0, 2.0], groups=[1, 2]))
    assert np.isnan(gauc([], [], groups=[]))
    assert np.isnan(group_auc([], [], groups=[]).coverage()).all()


def test_refuses_unknown_weights():
    with pytest.raises(ValueError, match="weight_by must be one of.*'rows'"):
        gauc([0, 1], [0.0, 1.0], groups=[1, 1], weight_by="rows")


def test_refuses_groups_of_another_length():
    with pytest.raises(ValueError, match="groups must have as many rows as y_true"):
        gauc([0, 1], [0.0, 1.0], groups=[1])
