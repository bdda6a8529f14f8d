import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from recsys.metrics import ndcg
from tests.close import close

ids = st.integers(0, 12)
queries = st.lists(
    st.tuples(
        st.dictionaries(ids, st.integers(0, 4), max_size=6),
        st.lists(ids, unique=True, min_size=3, max_size=3),
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


def dcg(grades, gain):
    gains = {"exp2": lambda grade: 2**grade - 1, "linear": float}[gain]
    return sum(gains(grade) / math.log2(rank + 2) for rank, grade in enumerate(grades))


@given(queries, st.integers(1, 5), st.sampled_from(["exp2", "linear"]))
def test_is_the_gain_relative_to_the_best_list(queries, k, gain):
    values = []
    for grades, ranked in queries:
        if any(grades.values()):
            reached = [grades.get(item, 0) for item in ranked[:k]]
            best = sorted(grades.values(), reverse=True)[:k]
            values.append(dcg(reached, gain) / dcg(best, gain))
    ranked = np.array([ranked for _, ranked in queries], int).reshape(-1, 3)
    value = ndcg(csr([grades for grades, _ in queries]), ranked, k=k, gain=gain)
    wanted = sum(values) / len(values) if values else np.nan
    close(value, wanted, terms=10_000, dtype="float64")


def test_equals_scikit_learn():
    rng = np.random.default_rng(0)
    grades = rng.integers(0, 4, (20, 50))
    scores = rng.permuted(np.tile(np.arange(50.0), (20, 1)), axis=1)
    relevant = np.arange(0, 1001, 50), np.tile(np.arange(50), 20), grades.reshape(-1)
    value = ndcg(relevant, np.argsort(-scores, axis=1), k=10, gain="linear")
    close(value, ndcg_score(grades, scores, k=10), terms=10_000, dtype="float64")


def test_worked_values():
    four = [0, 4], [1, 2, 3, 4]  # hits at ranks 1 and 3
    close(ndcg(four, [[1, 8, 2]], k=2), 0.6131, terms=1_000)
    close(ndcg(four, [[1, 8, 2]], k=3), 0.7039, terms=1_000)
    graded = [0, 2], [1, 2], [2, 1]  # ranked c, a, b
    close(ndcg(graded, [[3, 1, 2]], k=3), 0.6590, terms=1_000)
    linear = ndcg(graded, [[3, 1, 2]], k=3, gain="linear")
    close(linear, 0.6697, terms=1_000)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_of_one_relevant_item_is_its_discount(rank):
    ranked = np.roll([7, -1, -1, -1, -1], rank - 1)[None]
    close(ndcg(([0, 1], [7]), ranked, k=5), 1 / math.log2(rank + 1))


def test_refuses_unknown_gains():
    with pytest.raises(ValueError, match="gain must be one of.*'exp'"):
        ndcg(([0, 1], [7]), [[7]], k=1, gain="exp")
