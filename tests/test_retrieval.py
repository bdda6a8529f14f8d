import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from recsys.retrieval import search
from recsys.retrieval.diversity import diversify
from recsys.retrieval.search import top_k


def by_sorting(users, masks, items, k, seen, reserved):
    """The definition, pair by pair; integer vectors, so that sums are exact."""
    ids, scores = [], []
    for interests, mask, gone in zip(users, masks, seen, strict=True):
        found = sorted(
            (-max(int(u @ item) for u, m in zip(interests, mask, strict=True) if m), i)
            for i, item in enumerate(items)
            if any(mask) and i >= reserved and i not in gone
        )[:k]
        missing = k - len(found)
        ids.append([i for _, i in found] + [-1] * missing)
        scores.append([-s for s, _ in found] + [-np.inf] * missing)
    return np.array(ids), np.array(scores)


def csr(sets):
    return np.cumsum([0, *map(len, sets)]), [i for items in sets for i in items]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_equals_sorting_all_scores(data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    num_users, num_interests = rng.integers(1, 6), rng.integers(1, 4)
    num_items, k, reserved = (
        rng.integers(0, 60),
        rng.integers(1, 12),
        rng.integers(0, 4),
    )
    largest = rng.integers(1, 4)  # small numbers make ties
    users = rng.integers(-largest, largest + 1, (num_users, num_interests, 2))
    items = rng.integers(-largest, largest + 1, (num_items, 2))
    if data.draw(st.booleans()):  # later ids are better
        items = items[np.argsort(items.sum(axis=1))]
    masks = rng.random((num_users, num_interests)) < 0.7
    seen = [
        set(rng.integers(0, num_items, rng.integers(0, 8)).tolist())
        if num_items
        else {}
        for _ in range(num_users)
    ]
    users = np.where(masks[..., None], users, np.nan).astype("float32")
    tile = data.draw(st.sampled_from([(1, 1, 1), (2, 7, 3), (1024, 32, 16)]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_USERS", "_ITEMS", "_GROUP"), tile, strict=True):
            patch.setattr(search, name, value)
        ids, scores = top_k(
            users,
            items.astype("float32"),
            int(k),
            interest_mask=masks,
            exclude=csr(seen),
            reserved=int(reserved),
        )
    wanted_ids, wanted_scores = by_sorting(users, masks, items, k, seen, reserved)
    np.testing.assert_array_equal(ids, wanted_ids)
    np.testing.assert_array_equal(scores, wanted_scores)
    assert ids.dtype == np.int32
    assert scores.dtype == np.float32


@pytest.mark.parametrize("order", ["random", "best last", "all equal", "best first"])
@pytest.mark.parametrize("num_users", [1, 2500])
def test_many_items_in_several_blocks(order, num_users):
    rng = np.random.default_rng(0)
    users = np.ones((num_users, 1), "float32") * rng.integers(1, 3, (num_users, 1))
    worth = rng.integers(0, 50, 3000)  # many ties at every cut
    if order == "all equal":
        worth[:] = 1
    elif order != "random":
        worth.sort()
    if order == "best first":
        worth = worth[::-1]
    best = np.lexsort((np.arange(2, 3000), -worth[2:]))[:20] + 2
    ids, scores = top_k(users, worth[:, None].astype("float32"), 20)
    np.testing.assert_array_equal(ids, np.tile(best, (num_users, 1)))
    np.testing.assert_array_equal(scores, users * worth[best])


def test_reserved_ids_are_never_returned():
    ids, _ = top_k([[1.0]], [[9.0], [9.0], [1.0], [2.0]], 4)
    assert ids.tolist() == [[3, 2, -1, -1]]
    ids, _ = top_k([[1.0]], [[9.0], [9.0], [1.0], [2.0]], 4, reserved=0)
    assert ids.tolist() == [[0, 1, 3, 2]]


def test_a_masked_interest_does_not_beat_negative_scores():
    users = [[[-1.0], [0.0]]]
    ids, scores = top_k(users, [[0.0], [0.0], [3.0], [2.0]], 1, interest_mask=[[1, 0]])
    assert ids.tolist() == [[3]]
    assert scores.tolist() == [[-2.0]]


def test_float64_stays():
    _, scores = top_k(np.ones((1, 1)), np.float32([[0], [0], [1]]), 1)
    assert scores.dtype == np.float64


def test_no_users_and_no_items():
    ids, scores = top_k(np.empty((0, 3)), np.ones((5, 3)), 2)
    assert ids.shape == scores.shape == (0, 2)
    ids, _ = top_k(np.ones((2, 3)), np.empty((0, 3)), 2)
    assert ids.tolist() == [[-1, -1], [-1, -1]]


@pytest.mark.parametrize("order", ["random", "best last", "rising steps of ties"])
@pytest.mark.parametrize("whom", ["all", "one"])
def test_memory_is_bounded(order, whom):
    items = np.arange(50_000, dtype="float32")[:, None]
    if order == "random":
        items = np.random.default_rng(0).permutation(items)
    elif order == "rising steps of ties":
        items //= 5_000
    users = np.full((1000, 1), -1 if whom == "one" else 1, "float32")
    users[500] = 1
    tracemalloc.start()
    top_k(users, items, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25 * os.cpu_count()  # of 200 MB of scores


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": [1.0]}, "users must have shape"),
        ({"users": [[1.0, 2.0]]}, "users must have shape"),
        ({"items": [1.0]}, "items .num_items, dim."),
        ({"k": 0}, "k must be an integer of at least 1"),
        ({"reserved": -1}, "reserved one of at least 0"),
        ({"interest_mask": [[True, True]]}, r"shape \(1, 1\)"),
        ({"users": [[np.nan]]}, "users must be finite"),
        ({"items": [[0.0], [np.nan]]}, "items must be finite"),
        ({"items": [[0.0], [-np.inf]]}, "items must be finite"),
        ({"exclude": ([0, 1], [3])}, r"Excluded ids must be in \[0, 3\)"),
        ({"exclude": ([0, 1], [-1])}, r"Excluded ids must be in \[0, 3\)"),
        ({"k": 1.5}, "k must be an integer of at least 1.*k=1.5"),
        ({"reserved": 1.5}, "reserved one of at least 0.*reserved=1.5"),
        ({"exclude": ([0, 1], [2.5])}, "both integers.*float64"),
        ({"exclude": ([0], [])}, "2 offsets rise from 0"),
        ({"exclude": ([0, 2], [1])}, "2 offsets rise from 0"),
        ({"exclude": ([1, 1], [1])}, "2 offsets rise from 0"),
    ],
)
def test_refuses(changes, message):
    arguments = {"users": [[1.0]], "items": [[1.0], [2.0], [3.0]], "k": 1, **changes}
    with pytest.raises(ValueError, match=message):
        top_k(**arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_diversify_gives_no_item_twice_where_fewer_than_k_are_left(dtype):
    inf = np.inf
    scores = np.array([[0.9, 0.8, -inf], [0.9, 0.8, 0.5], [-inf] * 3, [1, 3, -inf]])
    scores = scores.astype(dtype)
    items = [[5, 3, -1], [5, 3, -1], [-1] * 3, [5, -1, -1]]
    ids, found = diversify(items, scores, [0, 0, 0, 1, 2, 2], 3, 0.1)
    np.testing.assert_array_equal(ids, [[5, 3, -1], [5, 3, -1], [-1] * 3, [5, -1, -1]])
    wanted = [[0.9, 0.8, -inf], [0.9, 0.8, -inf], [-inf] * 3, [1, -inf, -inf]]
    np.testing.assert_array_equal(found, np.array(wanted, dtype))
    assert found.dtype == dtype and ids.dtype == "int32"


def test_diversify_refuses_scores_that_are_not_numbers():
    scores = [[np.nan, 0.5, 0.4]]
    with pytest.raises(ValueError, match=r"scores must not be NaN.*ids \[3\]"):
        diversify([[3, 5, 4]], scores, [0, 0, 0, 1, 2, 1], 3, 0.1)
    ids, _ = diversify([[-1, 5, 4]], scores, [0, 0, 0, 1, 2, 1], 3, 0.1)
    np.testing.assert_array_equal(ids, [[5, 4, -1]])  # of no item a score means nothing


@pytest.mark.parametrize("k", [0, 3, 1.5, 2.0, None, "2"])
def test_diversify_refuses_a_k_that_is_no_integer_of_the_pool(k):
    with pytest.raises(ValueError, match=f"integer of at least 1.*k={k!r}"):
        diversify([[1, 2]], [[0.5, 0.4]], [0, 0, 0], k, 0.1)


@pytest.mark.parametrize("weight", [-1, np.inf, np.nan, "1", None])
def test_diversify_refuses_weights_that_make_no_order(weight):
    with pytest.raises(ValueError, match=f"finite and at least 0.*weight={weight!r}"):
        diversify([[1, 2]], [[0.5, 0.4]], [0, 0, 0], 2, weight)


def test_threads_leave_blas_the_cores_it_had():
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(100, 8)), rng.normal(size=(2000, 8))
    before, wanted = threadpool_info(), top_k(users, items, 5)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: top_k(users, items, 5), range(60)):
            np.testing.assert_array_equal(found, wanted)
    assert threadpool_info() == before
