"""Metrics of single rows against scikit-learn: random, tied, weighted, degenerate."""

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve as sk_calibration_curve

from recsys import metrics
from tests.close import close

rows = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.sampled_from([0.0, 0.1, 0.25, 0.25, 0.7, 1.0]),
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    ),
    max_size=25,
)


def columns(rows):
    return np.array(rows).reshape(-1, 3).T


@pytest.mark.parametrize(
    ("function", "of_class"),
    [
        (metrics.auc, metrics.AUC),
        (metrics.log_loss, metrics.LogLoss),
        (metrics.brier_score, metrics.BrierScore),
        (metrics.normalized_entropy, metrics.NormalizedEntropy),
        (metrics.pcoc, metrics.PCOC),
        (metrics.calibration_bias, metrics.CalibrationBias),
        (metrics.average_precision, metrics.AveragePrecision),
    ],
)
def test_one_weight_for_all_rows_is_that_of_each(function, of_class):
    y, p = np.array([1, 0, 0, 1]), np.array([0.75, 0.5, 0.25, 0.125])
    value = function(y, p, sample_weight=2.0)
    close(value, function(y, p, sample_weight=[2.0] * 4), dtype="float64")
    metric = of_class()
    metric.update_state(y, p, sample_weight=2.0)
    close(float(metric.result()), value, terms=4)


@given(rows)
@settings(deadline=None)
def test_equals_scikit_learn(rows):
    y, p, w = columns(rows)
    for weight in (None, w):
        kept = np.ones(len(y), bool) if weight is None else weight > 0
        given = {"sample_weight": None if weight is None else weight[kept]}
        any_row, positive = kept.any(), (y[kept] == 1).any()
        called = (p[kept] > 0.3).any()
        for value, reference, defined, arguments in [
            (metrics.average_precision, sk.average_precision_score, positive, p),
            (metrics.brier_score, sk.brier_score_loss, any_row, p),
        ]:
            got = value(y, arguments, sample_weight=weight)
            wanted = reference(y[kept], p[kept], **given) if defined else np.nan
            close(got, wanted, terms=10_000, dtype="float64")
        for value, reference, defined in [
            (metrics.accuracy, sk.accuracy_score, any_row),
            (metrics.f1_score, sk.f1_score, positive or called),
        ]:
            got = value(y, p, threshold=0.3, sample_weight=weight)
            wanted = reference(y[kept], p[kept] > 0.3, **given) if defined else np.nan
            close(got, wanted, terms=10_000, dtype="float64")


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.f1_score])
def test_a_score_at_the_threshold_is_not_above_it(metric):
    close(metric([1, 0], [0.9, 0.5], threshold=0.5), 1.0, dtype="float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_average_precision_of_many_rows(dtype):
    rng = np.random.default_rng(0)
    y, w = rng.integers(0, 2, 5000), rng.exponential(size=5000)
    s = (rng.normal(size=5000) + y).round(2).astype(dtype)
    wanted = sk.average_precision_score(y, s, sample_weight=w)
    close(
        metrics.average_precision(y, s, sample_weight=w),
        wanted,
        terms=10_000,
        dtype="float64",
    )
    precision, recall, _ = sk.precision_recall_curve(y, s, sample_weight=w)
    close(
        metrics.average_precision(y, s, sample_weight=w, interpolation="trapezoid"),
        sk.auc(recall, precision),
        terms=10_000,
        dtype="float64",
    )


def test_average_precision_of_a_constant_is_the_base_rate():
    assert metrics.average_precision([1, 0, 0, 0], np.full(4, 0.3)) == 0.25
    assert np.isnan(metrics.average_precision([0, 0], [0.1, 0.2]))
    with pytest.raises(ValueError, match="interpolation must be one of"):
        metrics.average_precision([0, 1], [0.1, 0.2], interpolation="linear")


@given(rows, st.integers(1, 8))
def test_calibration_bins_by_hand(rows, bins):
    y, p, w = columns(rows)
    total = w.sum()
    for strategy in ("uniform", "quantile"):
        value = {
            "sample_weight": w,
            "bins": bins,
            "strategy": strategy,
        }
        curve = metrics.calibration_curve(y, p, **value)
        if not total:
            assert np.isnan(metrics.ece(y, p, **value))
            assert np.isnan(metrics.mce(y, p, **value))
            continue
        place = {}  # of each probability: equal ones are never split
        for each in np.unique(p[w > 0]):
            middle = w[p < each].sum() + w[p == each].sum() / 2
            share = each if strategy == "uniform" else middle / total
            place[each] = min(int(bins * share), bins - 1)
        gaps, masses = [], []
        for b in sorted(set(place.values())):
            mine = np.array([w[i] > 0 and place[p[i]] == b for i in range(len(p))])
            mass = w[mine].sum()
            gaps.append(abs(w[mine] @ (p[mine] - y[mine])) / mass)
            masses.append(mass)
        close(curve.weight, masses, terms=1)
        close(curve.gaps(), gaps, terms=10_000, dtype="float64")
        close(metrics.mce(y, p, **value), max(gaps), terms=10_000, dtype="float64")
        close(
            metrics.ece(y, p, **value),
            np.dot(gaps, masses) / total,
            terms=10_000,
            dtype="float64",
        )


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_curve_equals_scikit_learn(strategy):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 1001), rng.random(1001)
    curve = metrics.calibration_curve(y, p, bins=7, strategy=strategy)
    observed, predicted = sk_calibration_curve(y, p, n_bins=7, strategy=strategy)
    close(curve.predicted, predicted, terms=10_000, dtype="float64")
    close(curve.observed, observed, terms=10_000, dtype="float64")


def test_rare_clicks_need_quantile_bins():
    """Half of the rows are 4 times too high, half 4 times too low; no overall bias."""
    n = 100_000
    p = np.repeat([0.008, 0.002], n)
    y = np.concatenate([np.arange(n) % 500 == 0, np.arange(n) % 125 == 0])
    close(metrics.ece(y, p, strategy="uniform"), 0, terms=10_000, dtype="float64")
    close(metrics.ece(y, p), 0.006)


def test_field_ece():
    y, p = np.array([1, 0, 0, 1, np.nan]), np.array([0.5, 0.9, 0.4, 0.8, 0.1])
    field, w = ["a", "a", "b", "b", "b"], np.array([1.0, 2.0, 1.0, 1.0, 5.0])
    wanted = (abs(0.5 - 2 * 0.9) + abs(-0.4 + 0.2)) / 5
    value = metrics.field_ece(y, p, groups=field, sample_weight=w)
    close(value, wanted, terms=10_000, dtype="float64")
    assert np.isnan(metrics.field_ece([], [], groups=[]))


@given(rows)
def test_clicks_predicted_and_observed(rows):
    y, p, w = columns(rows)
    predicted, observed = np.dot(w, p), np.dot(w, y)
    given = {"sample_weight": w}
    wanted = predicted / observed if observed else np.nan
    close(metrics.pcoc(y, p, **given), wanted, terms=1)
    wanted = observed / predicted if predicted else np.nan
    close(metrics.copc(y, p, **given), wanted, terms=1)
    close(metrics.calibration_bias(y, p, **given), predicted - observed)


@given(rows)
def test_normalized_entropy_of_the_base_rate_is_one(rows):
    y, _, w = columns(rows)
    rate = np.dot(w, y) / w.sum() if w.sum() else np.nan
    value = metrics.normalized_entropy(y, np.full(len(y), rate), sample_weight=w)
    if 0 < rate < 1:
        close(value, 1, terms=10_000, dtype="float64")
        loss = metrics.log_loss(y, np.full(len(y), 0.3), sample_weight=w)
        entropy = sk.log_loss([0, 1], [0.5, 0.5]) if rate == 0.5 else None
        if entropy:
            value = metrics.normalized_entropy(y, np.full(len(y), 0.3), sample_weight=w)
            close(value, loss / entropy)
    else:
        assert np.isnan(value)


def test_normalized_entropy_against_a_prior():
    y, z = [1, 0, 0], [0.5, -1.0, 2.0]
    entropy = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    value = metrics.normalized_entropy(y, logits=z, prior=0.1)
    close(value, metrics.log_loss(y, logits=z) / entropy)
    with pytest.raises(ValueError, match=r"prior must be in \(0, 1\)"):
        metrics.normalized_entropy(y, logits=z, prior=1.0)


def test_relative_improvement():
    close(metrics.rela_impr(0.8, 0.7), 50)
    assert np.isnan(metrics.rela_impr(0.8, 0.5))
    assert np.isnan(metrics.rela_impr(np.nan, 0.7))


@given(rows, st.sampled_from([16, 64, 16384]))
def test_binned_auc_is_within_its_bound(rows, bins):
    y, p, w = columns(rows)
    z = (p - 0.4) * 45  # some beyond 20
    value, error = metrics.binned_auc(y, z, sample_weight=w, bins=bins)
    wanted = metrics.auc(y, z, sample_weight=w)
    if np.isnan(wanted):
        assert np.isnan(value) and np.isnan(error)
    else:
        assert abs(value - wanted) <= error + 1e-12


def test_binned_auc_of_rare_clicks():
    """Where the 200 thresholds of `keras.metrics.AUC` miss by 0.04."""
    rng = np.random.default_rng(0)
    z = rng.normal(-6.5, 1, 400_000)
    y = rng.random(400_000) < 1 / (1 + np.exp(-z))
    value, error = metrics.binned_auc(y, z)
    assert error < 1e-3
    assert abs(value - metrics.auc(y, z)) <= error


@pytest.mark.parametrize(
    ("metric", "arguments", "options", "message"),
    [
        (metrics.brier_score, ([1], [1.5]), {}, r"y_prob must be in \[0, 1\]; logits"),
        (metrics.pcoc, ([2], [0.5]), {}, r"y_true must be in \[0, 1\]"),
        (metrics.ece, ([1], [0.5]), {"bins": 0}, "bins must be an integer of"),
        (metrics.ece, ([1], [0.5]), {"strategy": "mass"}, "strategy one of"),
        (metrics.accuracy, ([0.5], [0.5]), {"threshold": 0}, "must be 0 or 1"),
        (metrics.binned_auc, ([0.5], [0.5]), {}, "must be 0 or 1"),
        (metrics.average_precision, ([0, 1], [1, np.nan]), {}, "must not be NaN"),
    ],
)
def test_refuses(metric, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        metric(*arguments, **options)


@pytest.mark.parametrize("metric", [metrics.auc, metrics.log_loss, metrics.pcoc])
@pytest.mark.parametrize("place", ["y_true", "score", "sample_weight"])
@pytest.mark.parametrize("value", ["x", None, 1j, object()])
def test_what_is_no_number_is_refused_by_name(metric, place, value):
    good = {"y_true": [0, 1], "score": [0.5, 0.6], "sample_weight": [1.0, 1.0]}
    given = {**good, place: [good[place][0], value]}
    wanted = f"{place}|y_score" if place == "score" else place
    with pytest.raises(ValueError, match=f"({wanted}) must be an array of numbers"):
        metric(given["y_true"], given["score"], sample_weight=given["sample_weight"])
