import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.metrics import recall
from tests.close import close

ids = st.integers(0, 12)
queries = st.lists(
    st.tuples(st.sets(ids, max_size=6), st.lists(ids, unique=True, max_size=8)),
    max_size=6,
)


def csr(sets):
    lengths = [len(items) for items in sets]
    return np.cumsum([0, *lengths]), [item for items in sets for item in items]


def padded(lists):
    width = max(map(len, lists), default=0)
    rows = [[*ranked, *[-1] * (width - len(ranked))] for ranked in lists]
    return np.array(rows, int).reshape(len(lists), width)


@given(queries, st.integers(1, 10))
def test_is_the_share_of_relevant_items(queries, k):
    values = [
        len(relevant & set(ranked[:k])) / len(relevant)
        for relevant, ranked in queries
        if relevant
    ]
    value = recall(
        csr([relevant for relevant, _ in queries]),
        padded([ranked for _, ranked in queries]),
        k=k,
    )
    wanted = sum(values) / len(values) if values else np.nan
    close(value, wanted, terms=10_000, dtype="float64")


def test_ids_of_other_queries_are_no_hits():
    relevant = [0, 1, 2], [5, 0]  # the largest id, then the smallest of the next query
    assert recall(relevant, [[6, 7], [-1, -1]], k=2) == 0
    assert recall(relevant, [[5, 6], [1, 0]], k=2) == 1


def test_items_of_grade_zero_are_not_relevant():
    relevant = [0, 2, 3], [1, 2, 3], [1, 0, 0]
    assert recall(relevant, [[1], [3]], k=1) == 1.0


@pytest.mark.parametrize(
    ("relevant", "ranked", "k", "message"),
    [
        (([0, 1], [1]), [[1]], 0, "k must be an integer of at least 1"),
        (([0, 1], [1]), [1], 1, r"shape \(1, length\).*Received: shape \(1,\)"),
        (([0, 1], [1]), [[1], [1]], 1, r"Received: shape \(2, 1\)"),
        (([0, 1], [1, 2]), [[1]], 1, "offsets rise from 0"),
        (([1, 2], [1, 2]), [[1]], 1, "offsets rise from 0"),
        (([0, 2, 1, 2], [1, 2]), [[1]] * 3, 1, "offsets rise from 0"),
        (([0, 1], [1], [1, 1]), [[1]], 1, "2 grades"),
        (([0, 1], [-1]), [[1]], 1, "must be in"),
        (([0, 1, 1], [2**62]), [[1], [1]], 1, "must be in"),
        (([0, 0, 2], [1, 1]), [[1], [1]], 1, "relevant .* twice.*id 1 in query 1"),
        (([0, 2], [1, 1], [1, 0]), [[1]], 1, "relevant must not have an id twice"),
        (([0, 2], [1, 2]), [[1, 1]], 2, "ranked .* twice.*id 1 in list 0"),
        (([0, 2], [1, 2]), [[1, 3, 3]], 1, "ranked .* twice.*id 3 in list 0"),
        (([0, 0], []), [[3, 3]], 1, "ranked .* twice.*id 3 in list 0"),
    ],
)
def test_refuses(relevant, ranked, k, message):
    with pytest.raises(ValueError, match=message):
        recall(relevant, ranked, k=k)
