"""All top-k metrics: definitions, ties, and what they have in common."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import metrics
from recsys.metrics import judge
from tests.close import close
from tests.metrics import top_k

NAMES = list(top_k.ALL)
VARIANTS = [
    *((name, {}) for name in NAMES),
    ("recall", {"capped": True}),
    ("mean_average_precision", {"capped": False}),
    ("ndcg", {"gain": "linear"}),
]

rows = st.lists(
    st.tuples(
        st.sampled_from([3, 7]), st.sampled_from([0, 0, 1, 2]), st.sampled_from("abc")
    ),
    max_size=9,
).map(lambda rows: [(g, y, float(ord(s))) for g, y, s in rows])


@given(rows, st.sampled_from([None, 1, 2, 3, 5, 12]))
@settings(max_examples=60, deadline=None)
def test_of_rows_are_means_over_all_orders_of_ties(rows, k):
    group, grade, score = np.array(rows).reshape(-1, 3).T
    for name, options in VARIANTS:
        metric, definition = getattr(metrics, name), top_k.ALL[name]
        for ties in ("expected", "pessimistic"):
            value = metric(grade, score, groups=group, k=k, ties=ties, **options)
            wanted = top_k.of_rows(definition, rows, k, ties, **options)
            close(value, wanted, terms=10_000, dtype="float64")


ids = st.integers(0, 12)
lists = st.lists(
    st.tuples(
        st.dictionaries(ids, st.integers(0, 4), max_size=6),
        st.lists(ids, unique=True, max_size=8),
        st.sampled_from([0.0, 0.5, 2.0]),
    ),
    max_size=6,
)


def csr(dicts):
    lengths = [len(grades) for grades in dicts]
    return (
        np.cumsum([0, *lengths]),
        [item for grades in dicts for item in grades],
        [grade for grades in dicts for grade in grades.values()],
    )


def padded(lists):
    width = max(map(len, lists), default=0)
    rows = [[*ranked, *[-1] * (width - len(ranked))] for ranked in lists]
    return np.array(rows, int).reshape(len(lists), width)


@given(lists, st.integers(1, 10))
def test_of_lists_are_the_definitions(queries, k):
    relevant = csr([grades for grades, _, _ in queries])
    ranked = padded([ranked for _, ranked, _ in queries])
    weights = np.array([weight for _, _, weight in queries])
    for name, options in VARIANTS:
        top = bottom = 0.0
        for grades, listed, weight in queries:
            if any(grades.values()):
                found = [grades.get(item, 0) for item in listed]
                best = [grade for grade in grades.values() if grade]
                top += weight * top_k.ALL[name](found, best, k, **options)
                bottom += weight
        value = getattr(metrics, name)(
            relevant, ranked, k=k, sample_weight=weights, **options
        )
        wanted = top / bottom if bottom else np.nan
        close(value, wanted, terms=10_000, dtype="float64")


@pytest.mark.parametrize("name", NAMES)
def test_of_rows_and_of_lists_agree(name):
    rng = np.random.default_rng(0)
    grades = rng.integers(0, 3, (40, 12))
    scores = rng.permuted(np.tile(np.arange(12.0), (40, 1)), axis=1)
    group = np.repeat(np.arange(40), 12)
    mixed = rng.permutation(480)
    of_rows = getattr(metrics, name)(
        grades.reshape(-1)[mixed],
        scores.reshape(-1)[mixed].astype("float32"),
        groups=group[mixed],
        k=5,
    )
    relevant = np.arange(0, 481, 12), np.tile(np.arange(12), 40), grades.reshape(-1)
    ranked = np.argsort(-scores, axis=1)
    close(
        of_rows,
        getattr(metrics, name)(relevant, ranked, k=5),
        terms=10_000,
        dtype="float64",
    )


def test_one_positive_ties_as_in_the_closed_form():
    above, equal, k = 2, 4, 5  # g, q
    score = np.array([2.0] * above + [1.0] * (equal + 1) + [0.0] * 3)
    label = np.zeros(len(score))
    label[above] = 1
    given = {"groups": np.zeros(len(score)), "k": k}
    ranks = np.arange(above + 1, above + equal + 2)
    inside = ranks <= k
    close(
        metrics.hit_rate(label, score, **given),
        np.clip((k - above) / (equal + 1), 0, 1),
    )
    close(metrics.mrr(label, score, **given), np.mean(inside / ranks))
    close(metrics.ndcg(label, score, **given), np.mean(inside / np.log2(ranks + 1)))


def test_a_constant_scorer_is_at_chance():
    label = np.zeros(100)
    label[0] = 1  # first in the file, where a stable sort would leave it
    given = {"groups": np.zeros(100), "k": 10}
    zeros = np.zeros(100)
    close(metrics.hit_rate(label, zeros, **given), 0.1)
    assert metrics.hit_rate(label, zeros, ties="pessimistic", **given) == 0
    close(metrics.recall(label, zeros, **given), 0.1)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_one_relevant_item(rank):
    relevant, ranked = ([0, 1], [7]), np.roll([7, -1, -1, -1, -1], rank - 1)[None]
    for k in (rank, None):
        assert metrics.recall(relevant, ranked, k=k) == 1
        assert metrics.hit_rate(relevant, ranked, k=k) == 1
        close(metrics.mrr(relevant, ranked, k=k), 1 / rank)
        close(metrics.mean_average_precision(relevant, ranked, k=k), 1 / rank)
        close(metrics.ndcg(relevant, ranked, k=k), 1 / math.log2(rank + 1))


def test_worked_values():
    four = [0, 4], [1, 2, 3, 4]  # hits at ranks 1 and 3
    ranked = [[1, 8, 2]]
    average = metrics.mean_average_precision
    assert average(four, ranked, k=2) == 0.5
    assert average(four, ranked, k=2, capped=False) == 0.25
    assert metrics.precision(four, ranked, k=5) == 0.4  # of a list of three
    close(metrics.recall(four, ranked, k=3, capped=True), 2 / 3)


@pytest.mark.parametrize("name", NAMES)
def test_queries_without_a_relevant_item(name):
    metric = getattr(metrics, name)
    label, score, group = [1, 0, 0, 0], [2.0, 1.0, 2.0, 1.0], [0, 0, 1, 1]
    skipped = metric(label, score, groups=group, k=1)
    assert metric(label, score, groups=group, k=1, empty="zero") == skipped / 2
    assert judge(label, score, groups=group).coverage() == 0.5
    assert np.isnan(metric([0.0, np.nan], [1.0, 2.0], groups=[0, 1], k=1))
    assert np.isnan(metric([], [], groups=[], k=1))
    assert np.isnan(metric(([0], []), np.zeros((0, 3), int), k=1))
    assert np.isnan(judge([], [], groups=[]).coverage())


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_rows(name):
    """Weight 0 takes a row out of its list; others weigh the query."""
    metric = getattr(metrics, name)
    label, score = np.array([1, 0, 0, 1, 1, 0]), np.array([1.0, 2, 9, 3, 1, 2])
    group, weight = np.array([0, 0, 0, 1, 1, 1]), np.array([2.0, 2, 0, 1, 3, 2])
    kept = weight > 0
    each = [
        metric(label[m], score[m], groups=group[m], k=2)
        for m in (kept & (group == 0), group == 1)
    ]
    value = metric(label, score, groups=group, k=2, sample_weight=weight)
    close(value, (2 * each[0] + 2 * each[1]) / 4)


def test_ranks_past_a_million_keep_their_digits():
    score = np.arange(3_000_000.0, 0, -1, dtype="float32")
    label = np.zeros(len(score))
    label[[2, 2_000_000]] = 1
    given = {"groups": np.zeros(len(score), "int32")}
    precision = (1 / 3 + 2 / 2_000_001) / 2
    gain = (1 / 2 + 1 / math.log2(2_000_002)) / (1 + 1 / math.log2(3))
    found = metrics.mean_average_precision(label, score, **given)
    close(found, precision, dtype="float64")
    close(metrics.ndcg(label, score, **given), gain, dtype="float64")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], [1, 2]), {"k": 1}, "Rows need the group of each.*Received: list"),
        (([0, -1], [1, 2]), {"groups": [1, 1]}, "at least 0. Received: -1 to 0"),
        (([0, np.inf], [1, 2]), {"groups": [1, 1]}, "must be finite"),
        (([0, 1], [1, np.nan]), {"groups": [1, 1]}, "must not be NaN"),
        (([0, 1], [1, 2]), {"groups": [1]}, "groups must have as many rows"),
        (
            ([0, 1], [1, 2]),
            {"groups": [1, 1], "k": 0},
            "k must be an integer of at least 1",
        ),
        (([0, 1], [1, 2]), {"groups": [1, 1], "k": 1.5}, "integer of at least 1.*1.5"),
        (([0, 1], [1, 2]), {"groups": [1, 1], "k": "1"}, "integer of at least 1.*'1'"),
        ((([0, 1], [1]), [[1]]), {"k": 2.0}, "k must be an integer.*k=2.0"),
        ((([0, 1], [1.5]), [[1]]), {}, "must be integers.*float64"),
        ((([0, 1], [1], [np.nan]), [[1]]), {}, "Grades.*at least 0.*nan to nan"),
        ((([0, 1], [1], [-1]), [[1]]), {}, "Grades.*at least 0. Received: -1 to -1"),
        ((([0, 1], [1], [np.inf]), [[1]]), {}, "Grades.*must be finite"),
        (([0, 1], [1, 2]), {"groups": [1, 1], "ties": "row"}, "ties must be one of"),
        (([0, 1], [1, 2]), {"groups": [1, 1], "empty": "one"}, "empty must be one of"),
        ((([0, 1], [1]), [[1]]), {"sample_weight": [1, 2]}, r"must have shape \(1,\)"),
    ],
)
def test_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        metrics.hit_rate(*arguments, **options)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_lists_are_cut_at_integers_only(name, options):
    metric = getattr(metrics, name)
    of = (([0, 2], [1, 2]), [[1, 3]])
    assert metric(*of, k=np.int64(1), **options) == metric(*of, k=1, **options)
    for rows in ((([0, 2], [1, 2]), [[1, 3]]), ([1, 0], [1, 2])):
        groups = {} if isinstance(rows[0], tuple) else {"groups": [0, 0]}
        with pytest.raises(ValueError, match=r"k must be an integer.*k=1\.5"):
            metric(*rows, k=1.5, **groups, **options)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("k", [None, 1, 3])
def test_an_empty_list_has_nothing_and_warns_of_nothing(name, options, k):
    metric = getattr(metrics, name)
    for ranked in ([[-1, -1]], np.empty((1, 0), int)):
        assert metric(([0, 1], [1]), ranked, k=k, **options) == 0.0
        assert np.isnan(metric(([0, 0], []), ranked, k=k, **options))


@pytest.mark.filterwarnings("error")
def test_grades_whose_gain_overflows_are_refused_with_the_way_out():
    rows = {"groups": [0, 0], "k": 2}
    for call in (
        lambda **options: metrics.ndcg([1100.0, 0], [1, 2], **rows, **options),
        lambda **options: metrics.ndcg(
            ([0, 2], [1, 2], [1100, 1]), [[3, 1]], **options
        ),
    ):
        with pytest.raises(
            ValueError, match='gain="linear".*Received: a grade of 1100'
        ):
            call()
        assert call(gain="linear") == pytest.approx(1 / np.log2(3), abs=1e-3)
    close(metrics.ndcg([1000, 0], [1, 2], groups=[0, 0]), 1 / np.log2(3))
