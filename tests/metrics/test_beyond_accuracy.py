"""Coverage, diversity, novelty and popularity, list by list."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from recsys import metrics
from tests.close import close

CATALOGUE = [2, 3, 5, 8, 9]
lists = st.lists(
    st.lists(st.sampled_from(CATALOGUE), unique=True, max_size=5), max_size=5
)


def padded(lists):
    width = max(map(len, lists), default=0)
    rows = [[*ranked, *[-1] * (width - len(ranked))] for ranked in lists]
    return np.array(rows, int).reshape(len(lists), width)


@given(lists, st.sampled_from([None, 1, 3]))
def test_exposure(lists, k):
    shown = [item for ranked in lists for item in ranked[:k]]
    counts = [shown.count(item) for item in CATALOGUE]
    given = {"catalogue": CATALOGUE, "k": k}
    ranked = padded(lists)
    assert metrics.exposure(ranked, **given).tolist() == counts
    assert metrics.coverage(ranked, **given) == len(set(shown)) / 5
    gini, bits = (
        metrics.gini(ranked, **given),
        metrics.exposure_entropy(ranked, **given),
    )
    if shown:  # Gini as the mean difference of two items
        gaps = sum(abs(a - b) for a, b in itertools.product(counts, counts))
        close(gini, gaps / (2 * 25 * np.mean(counts)))
        close(bits, entropy(counts, base=2), terms=10_000, dtype="float64")
    else:
        assert np.isnan(gini) and np.isnan(bits)


def test_uniform_exposure():
    ranked = [[2, 3], [5, 8], [9, -1]]
    assert metrics.gini(ranked, catalogue=CATALOGUE) == 0
    assert metrics.coverage(ranked, catalogue=CATALOGUE) == 1
    assert np.isnan(metrics.coverage(np.zeros((0, 2), int), catalogue=[]))


@given(lists, st.sampled_from([None, 2, 4]))
def test_distance_inside_lists(lists, k):
    rng = np.random.default_rng(0)
    vectors, categories = (
        rng.normal(size=(10, 3)),
        np.array([0, 0, 1, 2, 0, 1, 0, 0, 1, 2]),
    )
    vectors[5] = 0  # has no direction
    cosine, category = [], []
    for ranked in lists:
        pairs = list(itertools.combinations(ranked[:k], 2))
        directed = [(i, j) for i, j in pairs if 5 not in (i, j)]
        if directed:
            cosine.append(
                np.mean(
                    [
                        1
                        - vectors[i]
                        @ vectors[j]
                        / np.linalg.norm(vectors[i])
                        / np.linalg.norm(vectors[j])
                        for i, j in directed
                    ]
                )
            )
        if pairs:
            category.append(np.mean([categories[i] != categories[j] for i, j in pairs]))
    for value, wanted in [
        (metrics.intra_list_distance(padded(lists), vectors=vectors, k=k), cosine),
        (
            metrics.category_distance(padded(lists), categories=categories, k=k),
            category,
        ),
    ]:
        close(
            value,
            np.mean(wanted) if wanted else np.nan,
            terms=10_000_000,
            dtype="float64",
        )


def test_one_category_has_no_distance():
    assert metrics.category_distance([[0, 1, 2]], categories=["a", "a", "a"]) == 0


COUNTS = np.array([0, 0, 50, 30, 0, 15, 0, 0, 4, 1])


@given(lists, st.sampled_from([None, 2]))
def test_popularity(lists, k):
    kept = [ranked[:k] for ranked in lists if ranked]
    novelty = [
        np.mean([-math.log2((COUNTS[i] + 1) / (100 + 8)) for i in ranked])
        for ranked in kept
    ]
    popularity = [np.mean(COUNTS[ranked]) for ranked in kept]
    tail = [np.mean([i not in (2, 3) for i in ranked]) for ranked in kept]
    for value, wanted in [
        (metrics.novelty(padded(lists), counts=COUNTS, k=k, reserved=2), novelty),
        (metrics.average_popularity(padded(lists), counts=COUNTS, k=k), popularity),
        (metrics.long_tail_share(padded(lists), counts=COUNTS, k=k), tail),
    ]:
        close(value, np.mean(wanted) if wanted else np.nan, terms=1)


def test_lift_over_the_history():
    history = [0, 2, 3, 3, 4], [2, 8, 3, 4]  # the third user has none, the fourth a 0
    lists = [[3, 5], [3, -1], [2, 3], [2, 3]]
    value = metrics.popularity_lift(lists, history, counts=COUNTS)
    close(value, (22.5 / 27 - 1 + 30 / 30 - 1) / 2)
    assert np.isnan(metrics.popularity_lift([[2]], ([0, 0], []), counts=COUNTS))


def test_recommending_the_most_popular_is_most_popular():
    best = np.argsort(-COUNTS)[None, :2]
    pairs = itertools.permutations(range(10), 2)
    assert metrics.average_popularity(best, counts=COUNTS) == max(
        metrics.average_popularity([pair], counts=COUNTS) for pair in pairs
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.coverage([1, 2], catalogue=[1, 2]), "shape"),
        (lambda: metrics.coverage([[1]], catalogue=[2]), "every id of ranked"),
        (lambda: metrics.coverage([[1]], catalogue=[]), "every id of ranked"),
        (lambda: metrics.coverage([[1]], catalogue=[1, 1]), "an id twice"),
        (lambda: metrics.coverage([[1, 1]], catalogue=[1]), "twice in one list.*id 1"),
        (lambda: metrics.novelty([[1, 0, 1]], counts=[1, 1]), "twice in one list"),
        (lambda: metrics.coverage([[1.5]], catalogue=[1]), "hold integers"),
        (lambda: metrics.novelty([[3]], counts=[1, 2]), "2 rows and id 3"),
        (
            lambda: metrics.novelty([[0]], counts=[1], k=0),
            "k must be an integer of at least 1",
        ),
        (lambda: metrics.novelty([[0]], counts=[1], k=1.5), "k must be .*k=1.5"),
        (lambda: metrics.Coverage([1], k=1.5), "Coverage: k must be .*k=1.5"),
        (lambda: metrics.Novelty([1], k=0), "Novelty: k must be .*k=0"),
        (lambda: metrics.popularity_lift([[0]], ([0], []), counts=[1]), "0 histories"),
        (
            lambda: metrics.popularity_lift([[0]], ([0, 1], [0.5]), counts=[1]),
            "ids of history must be integers.*float64",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
