"""Metrics of recommended lists: the whole catalogue ranked, or a sample of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys._face import public_face
from recsys.feature._constraints import Integer, checked
from recsys.metrics.exposure import coverage_of
from recsys.metrics.hit_rate import hit_rate
from recsys.metrics.mean_average_precision import query_average_precision
from recsys.metrics.mrr import mrr
from recsys.metrics.ndcg import query_ndcg
from recsys.metrics.precision import precision
from recsys.metrics.queries import Queries, judge
from recsys.metrics.recall import query_recall
from recsys.metrics.sampled import estimated_rank
from recsys.retrieval.checks import check_excluded
from recsys.train.match_model import MatchModel, as_csr
from recsys.train.scores import Floats, Pairs, Scores, source_of
from recsys.train.seen import (
    blocks_of,
    check_arguments_of,
    distinct_of,
    rows_of,
    seen_by,
    unseen_of,
)

__all__ = ["evaluate", "evaluate_sampled"]

METRICS: dict[str, Callable[[Queries], Floats]] = {
    "recall": query_recall,
    "hit_rate": hit_rate.of_each,
    "ndcg": query_ndcg,
    "mrr": mrr.of_each,
    "map": query_average_precision,
    "precision": precision.of_each,
}
COVERAGE = "coverage"
OF_RANK: dict[str, Callable[[Floats], Floats]] = {
    "hit_rate": np.ones_like,
    "ndcg": lambda rank: 1 / np.log2(rank + 1),
    "mrr": lambda rank: 1 / rank,
}
"""Metrics of one relevant item by its rank, if that is at most k."""
_SAMPLED_BLOCK = 1024  # fixed: the drawn negatives depend on it


def evaluate(
    scores: Scores,
    relevant: Any,
    *,
    users: Any = None,
    exclude: Any = None,
    k: int | Sequence[int] = (10, 20, 50),
    metrics: Sequence[str] = (*METRICS, COVERAGE),
    reserved: int = 2,
    block: int = 1024,
) -> dict[str, float]:
    """Ranks the whole catalogue for each user and returns the metrics of the lists.

    Users are taken in blocks, so that memory does not grow with their number. Work of
    more than a second shows on a terminal how far it is.

    Args:
        scores: One of

            - a match model, with the columns of its `users`;
            - `(user_vectors, item_matrix)`, `(num_users, dim)` or `(num_users,
              interests, dim)`, and `(num_items, dim)`;
            - scores of any model, `(num_users, num_items)`, of anything that gives an
              array of rows for a slice, such as `np.memmap`;
            - a function that takes a slice of users and returns those rows of scores.
        relevant: What each user should get: a list with one array of item ids for each
            user, or `(offsets, ids)`, or `(offsets, ids, grades)`. Id 1, which a
            `FeaturePipeline` gives to every item that training has not seen, is wanted
            and missed as often as it occurs. Other ids occur once for a user. Users
            without any count in coverage only.
        users: Columns of the user model, or a frame.
        exclude: Items a user must not get, e.g. those already seen: a list, or
            `(offsets, ids)`. Reserved ids among them change nothing.
        k: Lengths of the lists, one or several.
        metrics: Names out of `METRICS` and `"coverage"`, the share of the catalogue
            that is recommended to anybody.
        reserved: Ids below this one are no items, see `top_k`; a match model knows its
            own. With 0 or 1 every id from there on is an item of its own, 1 too, and
            none stands for unseen ones.
        block: Users in a block.

    Returns:
        Means over users by `"metric@k"`, as `"recall@10"`; NaN if no user has a
        relevant item. They are those of `recsys.metrics`: equal scores are ranked by
        id; MAP divides by `min(k, |relevant|)`; items of no grade have grade 1.

    Raises:
        ValueError: If a relevant id is neither an item nor unseen, or twice with one
            user, the users do not fit to `relevant`, a metric is unknown, or as
            `top_k`.

    Example:
    >>> scores = np.array([[0, 0, 3, 2, 1], [0, 0, 3, 2, 1]])
    >>> evaluate(scores, [[3], [4]], exclude=[[2], []], k=2, metrics=["recall", "mrr"])
    {'recall@2': 0.5, 'mrr@2': 0.5}
    """
    cuts, metrics = check_arguments_of(k, metrics, (*METRICS, COVERAGE))
    sizes = {"reserved": reserved, "block": block}
    checked("evaluate", sizes, {"reserved": Integer(0), "block": Integer(1)})
    source = source_of(scores, users, reserved)
    judged = as_csr(relevant)
    num_users = len(judged[0]) - 1
    seen = seen_by(exclude, num_users)
    total = {f"{name}@{cut}": 0.0 for name in metrics for cut in cuts}
    shown: dict[int, Any] = dict.fromkeys(cuts, 0)
    asked = 0
    for rows in blocks_of(num_users, block):
        wanted = rows_of(judged, rows)
        ids, num_items = source.best(rows, max(cuts), rows_of(seen, rows))
        queries = judge(
            distinct_of(wanted, source.reserved, num_items, rows.start), ids
        )
        asked += int(np.count_nonzero(queries.num_relevant))
        for cut in cuts:
            listed = ids[:, :cut]
            shown[cut] += np.bincount(listed[listed >= 0], minlength=num_items)
            at_cut = replace(queries, k=cut)
            for name in {*metrics} - {COVERAGE}:
                total[f"{name}@{cut}"] += np.nansum(METRICS[name](at_cut))
    means = {name: value / asked if asked else np.nan for name, value in total.items()}
    if COVERAGE in metrics and num_users:
        for cut, counts in shown.items():
            means[f"{COVERAGE}@{cut}"] = coverage_of(counts[source.reserved :])
    return {name: float(value) for name, value in means.items()}


def evaluate_sampled(
    scores: Pairs,
    relevant: Any,
    *,
    users: Any = None,
    exclude: Any = None,
    k: int | Sequence[int] = (10, 20, 50),
    metrics: Sequence[str] = tuple(OF_RANK),
    num_negatives: int = 100,
    num_items: int | None = None,
    reserved: int = 2,
    seed: int = 0,
) -> dict[str, float]:
    """Ranks the relevant item of each user among a sample of the others.

    For models that cannot score a whole catalogue; `evaluate` is what to report
    otherwise. These metrics are biased and can put two models in the wrong order, so
    that their names say how many negatives there were, and each comes with its
    correction: the metric at the rank in the whole catalogue that the sampled rank
    estimates (`recsys.metrics.estimated_rank`). It is rough where `num_negatives` is
    far below `num_items / k`.

    Args:
        scores: As in `evaluate`, but a function takes a slice of users and ids,
            `(rows, 1 + num_negatives)`, and returns their scores.
        relevant: One item for each user, as in `evaluate`; id 1 is a miss.
        users, exclude, k, reserved: As in `evaluate`. Nothing that is excluded is
            drawn.
        metrics: Names out of `OF_RANK`.
        num_negatives: Drawn for each user, uniformly and with replacement.
        num_items: Items in the catalogue, which a function cannot tell.
        seed: Seed of the negatives, which are the same for all models.

    Returns:
        Means over users by name, as `"ndcg@10(m=100)"`, and `"ndcg@10(m=100,
        corrected)"`. Equal scores count as the mean over their orders.

    Raises:
        ValueError: As `evaluate`, and if a user has not one relevant item, or nothing
            that can be drawn.

    Example:
    >>> evaluate_sampled(
    ...     lambda rows, ids: -ids, [[2], [11]], k=1, num_items=12, num_negatives=9,
    ...     metrics=["hit_rate"]
    ... )
    {'hit_rate@1(m=9)': 0.5, 'hit_rate@1(m=9, corrected)': 0.5}

    Reference:
        Krichene and Rendle, KDD 2020, https://doi.org/10.1145/3394486.3403226
    """
    cuts, metrics = check_arguments_of(k, metrics, OF_RANK)
    sizes = {"reserved": reserved, "num_negatives": num_negatives, "seed": seed}
    at_least_0 = dict.fromkeys(("reserved", "seed"), Integer(0))
    checked("evaluate_sampled", sizes, {"num_negatives": Integer(1), **at_least_0})
    offsets, positives = as_csr(relevant)[:2]
    num_users = len(offsets) - 1
    if (np.diff(offsets) != 1).any():
        raise ValueError(
            "Each user must have one relevant item to rank among sampled ones. "
            f"Received: {np.diff(offsets).min()} to {np.diff(offsets).max()}"
        )
    pairs: Any = scores
    if isinstance(scores, MatchModel) or not callable(scores):
        source = source_of(scores, users, reserved)
        pairs, reserved, num_items = source.pairs, source.reserved, source.num_items
    if num_items is None or num_negatives < 1:
        raise ValueError(
            "num_items must be given with a function, and num_negatives be at least 1. "
            f"Received: num_items={num_items}, num_negatives={num_negatives}"
        )
    known = ~unseen_of(positives, reserved, num_items)
    seen = seen_by(exclude, num_users)
    random = np.random.default_rng(seed)
    suffix = f"(m={num_negatives}", f"(m={num_negatives}, corrected"
    total = {
        f"{name}@{cut}{end})": 0.0 for name in metrics for cut in cuts for end in suffix
    }
    for rows in blocks_of(num_users, _SAMPLED_BLOCK):
        positive = np.asarray(positives[rows])
        taken = check_excluded(rows_of(seen, rows), len(positive), num_items)
        negative, num_ranked = _negatives(
            random, positive, taken, (reserved, num_items), num_negatives, rows.start
        )
        ids = np.concatenate([positive[:, None], negative], axis=1)
        found = np.asarray(pairs(rows, ids))
        if found.shape != ids.shape:
            raise ValueError(
                f"scores must give {ids.shape} for these ids. "
                f"Received: shape {found.shape}"
            )
        queries = judge(
            (np.arange(ids.size) % ids.shape[1] == 0).astype(float),
            found.reshape(-1),
            groups=np.repeat(np.arange(len(ids)), ids.shape[1]),
        )
        # The middle of the ranks that equal scores may have.
        rank = queries.above + (queries.tied + 1) / 2
        rank = estimated_rank(rank, num_items=num_ranked, num_negatives=num_negatives)
        for cut in cuts:
            at_cut = replace(queries, k=cut)
            for name in metrics:
                sampled, corrected = (f"{name}@{cut}{end})" for end in suffix)
                total[sampled] += float(METRICS[name](at_cut) @ known[rows])
                estimate = OF_RANK[name](rank) * (rank <= cut)
                total[corrected] += float(estimate @ known[rows])
    return {
        name: value / num_users if num_users else np.nan
        for name, value in total.items()
    }


def _negatives(
    random: np.random.Generator,
    positive: NDArray[np.int64],
    seen: tuple[Any, ...],
    between: tuple[int, int],
    count: int,
    first_user: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws ids that are neither the positive one nor seen.

    Returns:
        Ids, `(users, count)`, and how many items each user's rank is among, `(users,)`.
    """
    first, last = between
    user = np.arange(len(positive))
    taken = np.repeat(user, np.diff(seen[0])) * last + seen[1]
    taken = np.unique(np.concatenate([taken, user * last + positive]))
    taken = taken[taken % last >= first]
    left = last - first - np.bincount(taken // last, minlength=len(user))
    if len(left) and left.min() < 1:
        raise ValueError(
            "Each user must have an item that can be drawn. Received: all items of "
            f"user {first_user + int(left.argmin())} are excluded"
        )
    ids = np.empty((len(positive), count), np.int64)
    again = np.ones(ids.shape, bool)
    while again.any():
        ids[again] = random.integers(first, last, np.count_nonzero(again))
        again = np.isin(user[:, None] * last + ids, taken)
    return ids, left + 1


public_face(__name__)
