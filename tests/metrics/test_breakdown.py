import numpy as np
import pytest

from recsys.metrics import auc, breakdown, gauc, log_loss, pcoc
from tests.close import close


def make_rows():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 600).astype(float)
    label[rng.random(600) < 0.1] = np.nan
    domain = rng.choice(["home", "feed", "search"], 600)
    label[domain == "search"] = np.where(np.isnan(label[domain == "search"]), np.nan, 1)
    return label, rng.random(600), domain, rng.choice([0, 1, 2.5], 600)


@pytest.mark.parametrize("weighted", [False, True])
def test_is_the_metric_of_each_part(weighted):
    label, score, domain, weight = make_rows()
    group = np.arange(600) % 7
    given = {"sample_weight": weight} if weighted else {}
    for metric in (auc, log_loss, pcoc, gauc):
        grouped = {"groups": group} if metric is gauc else {}
        table = breakdown(metric, label, score, by=domain, **given, **grouped)
        assert list(table.values) == ["feed", "home", "search"]
        for name, value in table.values.items():
            mine = domain == name
            own = {key: column[mine] for key, column in (given | grouped).items()}
            wanted = metric(label[mine], score[mine], **own)
            close(value, wanted, terms=10_000, dtype="float64")
            counts = mine & ~np.isnan(label)
            rows = weight[counts].sum() if weighted else counts.sum()
            close(table.weights[name], rows)


def test_means_skip_what_is_undefined_and_say_so():
    label, score, domain, _ = make_rows()
    table = breakdown(auc, label, score, by=domain)
    feed, home = table.values["feed"], table.values["home"]
    assert table.skipped() == ["search"] and np.isnan(table.values["search"])
    close(table.macro(), (feed + home) / 2)
    close(
        table.weighted(),
        np.average([feed, home], weights=[table.weights[n] for n in ("feed", "home")]),
    )


def test_rows_without_label_are_no_domain_of_their_own():
    table = breakdown(auc, [0, 1, np.nan], [0.0, 1.0, 2.0], by=[1, 1, 2])
    assert table.weights == {1: 2, 2: 0} and table.skipped() == [2]
    empty = breakdown(auc, [], [], by=[])
    assert empty.values == {} and np.isnan(empty.macro())


def test_refuses_columns_of_other_lengths():
    with pytest.raises(ValueError, match="by must have as many rows as y_true, 2"):
        breakdown(auc, [0, 1], [0.0, 1.0], by=[1])
    with pytest.raises(ValueError, match="y_score must have as many rows"):
        breakdown(auc, [0, 1], [0.0], by=[1, 1])
