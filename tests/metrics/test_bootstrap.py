"""Resamples, gain curve, and metrics by name."""

import numpy as np
import pytest
from scipy.stats import norm

from recsys import metrics
from recsys.metrics import NamedMetric, bootstrap, interval, p_value
from recsys.metrics.named import GROUPED, OF_LOGITS, OF_PROBABILITIES, OF_SCORES, TOP_K
from tests.close import close

ALL = [*OF_SCORES, *OF_LOGITS, *OF_PROBABILITIES, *(f"{name}@3" for name in TOP_K)]


def make_rows(num_rows=400):
    rng = np.random.default_rng(0)
    label = (rng.random(num_rows) < 0.3).astype(float)
    label[rng.random(num_rows) < 0.05] = np.nan
    score = rng.random(num_rows).round(2)
    return (
        label,
        score,
        rng.choice([0, 0.5, 2], num_rows),
        rng.integers(0, 40, num_rows),
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_every_resample_is_the_metric_of_the_drawn_groups(weighted):
    label, score, weight, group = make_rows()
    weight = weight if weighted else None
    values = bootstrap(
        ALL, label, score, sample_weight=weight, groups=group, resamples=3, seed=5
    )
    rng = np.random.default_rng(5)
    kept = ~np.isnan(label) & (True if weight is None else weight > 0)
    names = np.unique(group[kept])
    for i in range(4):
        drawn = names[rng.integers(len(names), size=len(names))] if i else names
        rows = [np.flatnonzero(kept & (group == name)) for name in drawn]
        row = np.concatenate(rows)
        copy = np.repeat(np.arange(len(drawn)), [len(each) for each in rows])
        for name in ALL:
            of = group[row] if name == "field_ece" else copy  # a field has no copies
            wanted = NamedMetric(name)(
                label[row],
                score[row],
                sample_weight=None if weight is None else weight[row],
                groups=of,
            )
            close(values[name][i], wanted, terms=10**6, dtype="float64")


def test_rows_are_drawn_where_there_are_no_groups():
    """The interval of a mean is that of its standard error."""
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 3000), rng.random(3000)
    found = interval(bootstrap(["brier_score"], y, p, resamples=500)["brier_score"])
    losses = (p - y) ** 2
    half = norm.ppf(0.975) * losses.std() / np.sqrt(3000)
    close(found.value, losses.mean())
    assert abs(found.low - (losses.mean() - half)) < 0.15 * half
    assert abs(found.high - (losses.mean() + half)) < 0.15 * half


def test_groups_depend_on_each_other():
    """Ten copies of each row say no more than one; as rows they would."""
    rng = np.random.default_rng(0)
    y, p = (np.repeat(each, 10) for each in (rng.integers(0, 2, 200), rng.random(200)))
    widths = []
    for groups in (None, np.repeat(np.arange(200), 10)):
        values = bootstrap(["auc"], y, p, groups=groups)["auc"]
        widths.append(interval(values).high - interval(values).low)
    assert widths[1] > 2 * widths[0]


def test_paired_differences():
    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    y = rng.random(4000) < 1 / (1 + np.exp(-z))
    good, bad = z + rng.normal(size=(2, 4000)) * [[0.3], [1.0]]
    other = good + rng.normal(size=4000) * 1e-3
    of = [bootstrap(["auc"], y, s)["auc"] for s in (good, bad, other)]
    assert p_value(of[0] - of[1]) < 0.02
    assert p_value(of[0] - of[2]) > 0.02
    assert np.isnan(p_value(np.array([np.nan, np.nan])))


def test_nothing_to_draw():
    values = bootstrap(["auc", "log_loss"], [np.nan], [0.5], resamples=2)
    assert np.isnan(values["auc"]).all() and len(values["auc"]) == 3
    assert np.isnan(interval(values["auc"])).all()


def test_gain_curve():
    label, score, weight, _ = make_rows()
    rows, positives = metrics.gain_curve(label, score, sample_weight=weight)
    kept = (weight > 0) & ~np.isnan(label)
    y, s, w = label[kept], score[kept], weight[kept]
    for i, least in enumerate(sorted(set(s), reverse=True), start=1):
        close(rows[i], w[s >= least].sum() / w.sum())
        close(positives[i], (w * y)[s >= least].sum() / (w @ y))
    assert rows[0] == positives[0] == 0 and rows[-1] == positives[-1] == 1
    assert len(metrics.gain_curve([0.0], [1.0]).rows) == 0


@pytest.mark.parametrize("name", ALL)
def test_by_name(name):
    label, score, weight, group = make_rows()
    metric = NamedMetric(name)
    assert metric.grouped == (metric.base in GROUPED)
    given = {"groups": group} if metric.grouped else {}
    given |= {"k": 3} if "@" in name else {}
    wanted = getattr(metrics, metric.base)(label, score, sample_weight=weight, **given)
    value = metric(label, score, sample_weight=weight, groups=group)
    close(value, wanted, terms=10_000, dtype="float64")
    if metric.calibrated:
        z = np.log(score.clip(0.01, 0.99) / (1 - score.clip(0.01, 0.99)))
        of_logits = metric(label, z, groups=group, from_logits=True)
        of_p = metric(label, score.clip(0.01, 0.99), groups=group)
        close(of_logits, of_p, terms=10_000_000, dtype="float64")
