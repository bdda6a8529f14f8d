"""Recommended lists of any model, against sorting all scores user by user."""

import tracemalloc

import numpy as np
import pytest

from recsys.metrics import expected_sampled, popularity_lift, recall
from recsys.train.evaluation import METRICS, evaluate, evaluate_sampled
from tests import zoo
from tests.close import close

ITEMS, USERS, DIM, FIRST = 40, 23, 3, 2
rng = np.random.default_rng(0)
VECTORS = rng.integers(-3, 4, (USERS, DIM)).astype("float32")  # sums are exact
MATRIX = rng.integers(-3, 4, (ITEMS, DIM)).astype("float32")
SCORES = VECTORS @ MATRIX.T
RELEVANT = [rng.choice(np.arange(2, ITEMS), n % 4, replace=False) for n in range(USERS)]
SEEN = [
    np.setdiff1d(rng.choice(np.arange(2, ITEMS), 5, replace=False), mine)
    for mine in RELEVANT
]


def oracle(scores, relevant, seen, k, first):
    """The definitions, one user at a time."""
    rows, shown = [], set()
    for score, wanted, gone in zip(scores, relevant, seen, strict=True):
        allowed = [i for i in range(first, len(score)) if i not in gone]
        best = sorted(allowed, key=lambda i: (-score[i], i))[:k]
        shown |= set(best)
        if not len(wanted):
            continue
        hits = [i in wanted for i in best]
        places = [place for place, hit in enumerate(hits, 1) if hit]
        ideal = min(k, len(wanted))
        rows.append(
            {
                "recall": len(places) / len(wanted),
                "hit_rate": float(len(places) > 0),
                "ndcg": sum(1 / np.log2(p + 1) for p in places)
                / sum(1 / np.log2(p + 2) for p in range(ideal)),
                "mrr": 1 / places[0] if places else 0.0,
                "map": sum(n / p for n, p in enumerate(places, 1)) / ideal,
                "precision": len(places) / k,
            }
        )
    means = {f"{name}@{k}": np.mean([row[name] for row in rows]) for name in METRICS}
    return {**means, f"coverage@{k}": len(shown) / (scores.shape[1] - first)}


WANTED = oracle(SCORES, RELEVANT, SEEN, 3, 2) | oracle(SCORES, RELEVANT, SEEN, 10, 2)


@pytest.mark.parametrize(
    "scores",
    [
        (VECTORS, MATRIX),
        (VECTORS[:, None], MATRIX),
        SCORES,
        SCORES.tolist(),
        lambda rows: SCORES[rows],
    ],
    ids=["vectors", "interests", "table", "lists", "function"],
)
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_equals_the_definitions_whatever_gives_the_scores(scores, block):
    found = evaluate(scores, RELEVANT, exclude=SEEN, k=(3, 10), block=block)
    close(found, WANTED)


def _all_kinds(monkeypatch):
    """The same scores from all that may give them, with their other arguments."""
    (entry,) = (e for e in zoo.ENTRIES if e.name == "two_tower")
    model = entry.compiled()
    row = next(iter(model.columns))  # others are not read
    monkeypatch.setattr(
        type(model), "user_vectors", lambda _, users: (VECTORS[users[row]], None)
    )
    monkeypatch.setattr(type(model), "item_matrix", lambda _: MATRIX)
    monkeypatch.setattr(type(model), "reserved", 2)
    return {
        "model": (model, {"users": {row: np.arange(USERS)}}),
        "vectors": ((VECTORS, MATRIX), {}),
        "table": (SCORES, {}),
        "function": (lambda rows: SCORES[rows], {}),
    }


@pytest.mark.parametrize("kind", ["model", "vectors", "table", "function"])
def test_items_that_training_has_not_seen_are_wanted_and_missed(kind, monkeypatch):
    scores, given = _all_kinds(monkeypatch)[kind]
    unseen = [0, 1, 3]
    relevant = [[*mine, *[1] * unseen[n % 3]] for n, mine in enumerate(RELEVANT)]
    own = [[*mine, *range(90, 90 + unseen[n % 3])] for n, mine in enumerate(RELEVANT)]
    seen = [[1, *mine, 1] for mine in SEEN]  # an unseen item may have been chosen, too
    found = evaluate(scores, relevant, exclude=seen, k=(3, 10), **given)
    wanted = oracle(SCORES, own, SEEN, 3, 2) | oracle(SCORES, own, SEEN, 10, 2)
    close(found, wanted)
    assert wanted["recall@10"] < WANTED["recall@10"]

    best = 2 + int(np.argmax(SCORES[0, 2:]))
    graded = [0, *[3] * USERS], [1, 1, best], [3, 1, 2]
    found = evaluate(scores, graded, k=1, metrics=["ndcg"], **given)
    close(found, {"ndcg@1": 3 / 7})
    for wrong in ([0], [-1], [ITEMS]):
        with pytest.raises(ValueError, match=r"in \[2, 40\), or 1 for .* not seen"):
            evaluate(scores, [wrong] * USERS, **given)
    with pytest.raises(ValueError, match="twice.*id 2 of user 1$"):
        evaluate(scores, [[3], [2, 3, 2]] + [[]] * (USERS - 2), block=1, **given)


@pytest.mark.parametrize("kind", ["model", "vectors", "table", "function"])
def test_an_unseen_item_is_a_miss_among_sampled_ones(kind, monkeypatch):
    scores, given = _all_kinds(monkeypatch)[kind]
    if kind == "function":
        scores, given = lambda _, ids: -ids, {"num_items": ITEMS}
    options = {"k": 200, "metrics": ["hit_rate"], **given}
    found = evaluate_sampled(scores, [[1]] * 5 + [[4]] * (USERS - 5), **options)
    close([*found.values()], [(USERS - 5) / USERS] * 2)


def test_without_an_id_for_unseen_items_id_1_is_an_item():
    scores = np.float32([[9, 8, 7], [9, 8, 7]])
    given = {"k": 2, "metrics": ["recall"]}
    assert evaluate(scores, [[1], [2]], reserved=1, **given) == {"recall@2": 1.0}
    assert evaluate(scores, [[0], [1]], reserved=0, **given) == {"recall@2": 1.0}
    with pytest.raises(ValueError, match=r"in \[1, 3\)\. Received: 0"):
        evaluate(scores, [[0], [2]], reserved=1, **given)
    with pytest.raises(ValueError, match="twice"):
        evaluate(scores, [[1, 1], [2]], reserved=1, **given)
    # 2 is a mask, say: no item, but not unseen either
    with pytest.raises(ValueError, match=r"in \[3, 3\), or 1 for"):
        evaluate(scores, [[2], [1]], reserved=3, **given)


@pytest.mark.parametrize("name", ["two_tower", "mind"])
def test_a_match_model(name):
    (entry,) = (e for e in zoo.ENTRIES if e.name == name)
    model, users = entry.compiled(), zoo.rows(12, seed=2)
    relevant = [[1 + n, 29 - n] for n in range(12)]
    seen = [
        np.setdiff1d(s[s > 0], r) for s, r in zip(users["seen"], relevant, strict=True)
    ]
    vectors, interests = model.user_vectors(users)
    if interests is None:
        vectors, interests = vectors[:, None], np.ones((12, 1), bool)
    scores = np.where(
        interests[..., None], vectors @ model.item_matrix().T, -np.inf
    ).max(axis=1)
    wanted = oracle(scores, relevant, seen, 20, model.reserved)
    users["unread"] = [[1], [2, 3]] * 6  # of whatever form
    found = evaluate(model, relevant, users=users, exclude=seen, k=20, block=5)
    close(found, wanted)


def test_an_interest_that_a_user_has_not_counts_nothing(monkeypatch):
    (entry,) = (e for e in zoo.ENTRIES if e.name == "two_tower")
    model, rng = entry.compiled(), np.random.default_rng(3)
    vectors, mask = rng.standard_normal((USERS, 3, DIM)), rng.random((USERS, 3)) < 0.6
    mask[:, 0] = True

    row = next(iter(model.columns))  # others are not read

    def user_vectors(_, users):
        return vectors[users[row]], mask[users[row]]

    monkeypatch.setattr(type(model), "user_vectors", user_vectors)
    monkeypatch.setattr(type(model), "item_matrix", lambda _: MATRIX)
    scores = np.where(mask[..., None], vectors @ MATRIX.T, -np.inf).max(axis=1)
    options = {"exclude": SEEN, "k": 10}
    rows = {row: np.arange(USERS)}
    found = evaluate(model, RELEVANT, users=rows, **options)
    wanted = oracle(scores, RELEVANT, SEEN, 10, model.reserved)
    close(found, wanted)
    options["reserved"] = model.reserved
    found = evaluate_sampled(model, ONE, users=rows, **options)
    assert found == evaluate_sampled(scores, ONE, **options)


def test_grades_count_in_ndcg():
    scores = np.array([[0, 0, 3, 2, 1.0]])
    graded = evaluate(scores, ([0, 2], [2, 3], [1, 2]), k=2, metrics=["ndcg"])
    close(graded["ndcg@2"], (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))


def test_nobody_to_ask():
    found = evaluate(SCORES, [[]] * USERS, k=2, metrics=["recall", "coverage"])
    assert np.isnan(found["recall@2"]) and found["coverage@2"] > 0
    assert np.isnan(evaluate(SCORES[:0], [], k=2)["coverage@2"])


def test_memory_does_not_grow_with_users():
    def scores(rows):
        return np.random.default_rng(rows.start).random((rows.stop - rows.start, 5000))

    peaks = []
    for users in (200, 2000):
        relevant = np.arange(users + 1), np.full(users, 7)
        tracemalloc.start()
        evaluate(scores, relevant, k=10, block=100)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


ONE = [[int(rng.integers(2, ITEMS))] for _ in range(USERS)]


def test_the_mean_of_sampled_metrics_is_the_expected_one():
    rng = np.random.default_rng(1)
    scores = rng.random((3000, 60))
    positive = rng.integers(2, 60, 3000)
    of_positive = scores[np.arange(3000), positive][:, None]
    rank = 1 + (scores[:, 2:] > of_positive).sum(axis=1)
    found = evaluate_sampled(scores, positive[:, None], k=5, num_negatives=20)
    for name in ("hit_rate", "ndcg", "mrr"):
        expected = expected_sampled(name, rank, num_items=58, num_negatives=20, k=5)
        assert found[f"{name}@5(m=20)"] == pytest.approx(expected.mean(), rel=0.03)


def test_the_correction_is_the_truth_if_there_are_many_negatives():
    truth = evaluate(SCORES + np.arange(ITEMS) / 1e3, ONE, k=5, metrics=["ndcg"])
    found = evaluate_sampled(
        SCORES + np.arange(ITEMS) / 1e3, ONE, k=5, num_negatives=20_000
    )
    near = found["ndcg@5(m=20000, corrected)"]
    assert near == pytest.approx(truth["ndcg@5"], abs=0.05)
    assert found["ndcg@5(m=20000)"] < 0.5 * near


def test_a_constant_scorer_is_at_chance():
    zeros = np.zeros((USERS, ITEMS))
    found = evaluate_sampled(zeros, ONE, k=(10, 19, 20), num_negatives=99)
    close(found["hit_rate@10(m=99)"], 0.1)
    # In the middle of 38 items is rank 19.5.
    assert found["hit_rate@19(m=99, corrected)"] == 0
    assert found["hit_rate@20(m=99, corrected)"] == 1


def test_nothing_seen_is_drawn_and_all_models_get_the_same():
    drawn = []

    def score(rows, ids):
        drawn.append(ids)
        return np.zeros(ids.shape)

    options = {"exclude": SEEN, "num_items": ITEMS, "num_negatives": 500}
    for _ in range(2):
        evaluate_sampled(score, ONE, **options)
    np.testing.assert_array_equal(*drawn)
    for ids, one, seen in zip(drawn[0], ONE, SEEN, strict=True):
        assert ids[0] == one[0]
        allowed = set(range(2, ITEMS)) - {*one} - {*seen.tolist()}
        assert set(ids[1:].tolist()) == allowed


def test_a_user_with_nothing_to_draw_is_named_behind_the_first_block():
    """In place of user 376 of a block it is user 1400."""
    users = 1500
    seen = [[]] * 1400 + [range(2, ITEMS)] + [[]] * 99
    with pytest.raises(ValueError, match=r"user 1400 are excluded"):
        evaluate_sampled(
            lambda _, ids: ids, [[3]] * users, exclude=seen, num_items=ITEMS
        )


@pytest.mark.parametrize("kind", ["int8", "uint8", "uint32", "uint64"])
def test_ids_are_integers_of_any_type(kind):
    ranked, history = np.array([[3, 4], [5, 6]]), ([0, 2, 3], [3, 4, 5])
    counts = np.arange(1, ITEMS + 1)
    of = np.arange(USERS + 1), np.arange(2, USERS + 2)
    for call in (
        lambda *ids: evaluate(SCORES, ids, exclude=[[]] * USERS),
        lambda *ids: evaluate_sampled(SCORES, ids, num_negatives=5),
        lambda *ids: recall(ids, SCORES.argsort()[:, ::-1], k=5),
    ):
        assert call(*(each.astype(kind) for each in of)) == call(*of)
    typed = [np.array(each, kind) for each in history]
    lift = popularity_lift(ranked.astype(kind), typed, counts=counts)
    assert lift == popularity_lift(ranked, history, counts=counts)


def test_a_length_or_a_metric_given_twice_counts_once():
    once = evaluate(SCORES, RELEVANT, k=2)
    assert evaluate(SCORES, RELEVANT, k=[2, 2], metrics=[*METRICS, *METRICS]) == {
        name: value for name, value in once.items() if "coverage" not in name
    }
    assert evaluate(SCORES, RELEVANT, k=[2, np.int32(2)]) == once
    once = evaluate_sampled(SCORES, ONE, k=3)
    assert evaluate_sampled(SCORES, ONE, k=[3, 3]) == once
    twice = ("hit_rate", "ndcg", "mrr", "ndcg")
    assert evaluate_sampled(SCORES, ONE, k=3, metrics=twice) == once


def test_lengths_may_be_numbers_of_numpy():
    wanted = evaluate(SCORES, RELEVANT, k=[2, 3])
    assert evaluate(SCORES, RELEVANT, k=np.array([2, 3])) == wanted
    one = evaluate(SCORES, RELEVANT, k=np.int64(2))
    assert one == evaluate(SCORES, RELEVANT, k=2)


def test_metrics_of_no_users_are_undefined():
    for values in (
        evaluate(SCORES[:0], []),
        evaluate_sampled(lambda _, ids: ids, [], num_items=ITEMS),
        evaluate_sampled(SCORES[:0], []),
    ):
        assert values and np.isnan([*values.values()]).all()


def test_sampled_scores_of_vectors_and_of_a_table_agree():
    of_vectors = evaluate_sampled((VECTORS, MATRIX), ONE, exclude=SEEN)
    assert evaluate_sampled(SCORES, ONE, exclude=SEEN) == of_vectors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluate(SCORES, RELEVANT, k=0), "k must be an integer"),
        (lambda: evaluate(SCORES, RELEVANT, k=2.0), "k must be an .* k=2.0"),
        (lambda: evaluate(SCORES, RELEVANT, k=[1, 1.5]), "k must be an .*1.5"),
        (lambda: evaluate(SCORES, RELEVANT, k=None), "k must be an .*None"),
        (lambda: evaluate(SCORES, RELEVANT, k="10"), "k must be an .*'10'"),
        (lambda: evaluate_sampled(SCORES, ONE, k=1.5), "k must be an .*1.5"),
        (lambda: evaluate(SCORES[:1], ([0, 1], [2.5])), "be integers.*float64"),
        (lambda: evaluate_sampled(SCORES[:1], ([0, 1], [2.5])), "be integers.*float64"),
        (lambda: evaluate(SCORES[:1], [[2]], exclude=([0, 1], [3.5])), "be integers"),
        *(
            (lambda g=g: evaluate(SCORES[:1], ([0, 2], [2, 3], [g, 1])), "Grades.*at l")
            for g in (np.nan, -1, np.inf)
        ),
        (lambda: evaluate(SCORES, RELEVANT, metrics=["auc"]), "out of .*'auc'"),
        (lambda: evaluate(SCORES, RELEVANT, block=0), "block must be"),
        (lambda: evaluate(SCORES, [[0, 1]] * USERS), r"in \[2, 40\).*0 to 0"),
        (lambda: evaluate(SCORES, [[3, 40]] * USERS), r"in \[2, 40\).*40 to 40"),
        (lambda: evaluate_sampled(SCORES, [[0]] * USERS), r"in \[2, 40\).*0 to 0"),
        (lambda: evaluate(SCORES, [[3]] * 30), "one row for each user.*23"),
        (lambda: evaluate(SCORES, [[3]] * 23, exclude=[[]]), "as many users.*23.*1"),
        (lambda: evaluate(SCORES, [[3]] * 23, exclude=[[]] * 24), "23.*24"),
        (lambda: evaluate_sampled(SCORES, ONE, exclude=[[]] * 24), "23.*24"),
        (lambda: evaluate(SCORES, ONE, exclude=[[40]] * 23), "Excluded ids.*40 to"),
        (
            lambda: evaluate_sampled(SCORES, ONE, exclude=[[40]] * 23),
            "Excluded ids.*40 to 40",
        ),
        (lambda: evaluate(SCORES, [[3]] * 23, users={}), "users must be given with"),
        (lambda: evaluate(SCORES * np.nan, [[3]] * 23), "not be NaN"),
        (lambda: evaluate(SCORES[:1], [[2, 2, 3]]), "twice.*id 2 of user 0"),
        (lambda: evaluate(SCORES[:2], [2, 3]), "list with one array.*2 for user 0"),
        (lambda: evaluate(SCORES[:1], [[2.7]]), r"integers.*\[2.7\] for user 0"),
        (lambda: evaluate(SCORES[:2], [[2], ["a"]]), r"\['a'\] for user 1"),
        (lambda: evaluate(SCORES[:2], ([0, 2, 1], [2, 3])), "rise from 0.*2"),
        (lambda: evaluate(SCORES[:1], ([1, 2], [2, 3])), "rise from 0"),
        (lambda: evaluate(SCORES[:1], ([0, 1], [2, 3])), r"rise from 0.*\[2\] ids"),
        (lambda: evaluate(SCORES[:1], [[2]], exclude=[3]), "3 for user 0"),
        (lambda: evaluate_sampled(SCORES, RELEVANT), "one relevant item"),
        (lambda: evaluate_sampled(lambda r, i: i, ONE), "num_items must be given"),
        (
            lambda: evaluate_sampled(SCORES, ONE, exclude=[range(2, 40)] * 23),
            "an item that can be drawn",
        ),
        (
            lambda: evaluate_sampled(lambda r, i: i[0], ONE, num_items=40),
            r"scores must give \(23, 101\)",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
