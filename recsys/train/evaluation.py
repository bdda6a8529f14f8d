"""Metrics of recommended lists: the whole catalogue ranked, or a sample of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.data.progress import working
from recsys.data.reader import as_columns
from recsys.feature._arrays import as_numbers
from recsys.feature._constraints import Integer, checked
from recsys.metrics.exposure import coverage_of
from recsys.metrics.hit_rate import query_hit_rate
from recsys.metrics.mean_average_precision import query_average_precision
from recsys.metrics.mrr import query_mrr
from recsys.metrics.ndcg import query_ndcg
from recsys.metrics.precision import query_precision
from recsys.metrics.queries import Queries, judge
from recsys.metrics.recall import query_recall
from recsys.metrics.relevance import repeated
from recsys.metrics.sampled import estimated_rank
from recsys.retrieval import check_excluded, top_k, top_k_of_scores
from recsys.train.match_model import MatchModel, as_csr
from recsys.train.rows import check_fingerprint

Floats = NDArray[np.float64]
METRICS: dict[str, Callable[[Queries], Floats]] = {
    "recall": query_recall,
    "hit_rate": query_hit_rate,
    "ndcg": query_ndcg,
    "mrr": query_mrr,
    "map": query_average_precision,
    "precision": query_precision,
}
COVERAGE = "coverage"
OF_RANK: dict[str, Callable[[Floats], Floats]] = {
    "hit_rate": np.ones_like,
    "ndcg": lambda rank: 1 / np.log2(rank + 1),
    "mrr": lambda rank: 1 / rank,
}
"""Metrics of one relevant item by its rank, if that is at most k."""
Scores = (
    MatchModel | tuple[ArrayLike, ArrayLike] | ArrayLike | Callable[[slice], ArrayLike]
)
Pairs = (
    MatchModel
    | tuple[ArrayLike, ArrayLike]
    | ArrayLike
    | Callable[[slice, NDArray[np.int64]], ArrayLike]
)
UNSEEN = 1
"""Id of all items that training has not seen, where ids below 2 are reserved."""
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
    cuts, metrics = _check(k, metrics, (*METRICS, COVERAGE))
    sizes = {"reserved": reserved, "block": block}
    checked("evaluate", sizes, {"reserved": Integer(0), "block": Integer(1)})
    source = _source(scores, users, reserved)
    judged = as_csr(relevant)
    num_users = len(judged[0]) - 1
    seen = _seen(exclude, num_users)
    total = {f"{name}@{cut}": 0.0 for name in metrics for cut in cuts}
    shown: dict[int, Any] = dict.fromkeys(cuts, 0)
    asked = 0
    for rows in _blocks(num_users, block):
        wanted = _rows(judged, rows)
        ids, num_items = source.best(rows, max(cuts), _rows(seen, rows))
        queries = judge(_distinct(wanted, source.reserved, num_items, rows.start), ids)
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
        seed: Of the negatives, which are the same for all models.

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
    cuts, metrics = _check(k, metrics, OF_RANK)
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
        source = _source(scores, users, reserved)
        pairs, reserved, num_items = source.pairs, source.reserved, source.num_items
    if num_items is None or num_negatives < 1:
        raise ValueError(
            "num_items must be given with a function, and num_negatives be at least 1. "
            f"Received: num_items={num_items}, num_negatives={num_negatives}"
        )
    known = ~_unseen(positives, reserved, num_items)
    seen = _seen(exclude, num_users)
    random = np.random.default_rng(seed)
    suffix = f"(m={num_negatives}", f"(m={num_negatives}, corrected"
    total = {
        f"{name}@{cut}{end})": 0.0 for name in metrics for cut in cuts for end in suffix
    }
    for rows in _blocks(num_users, _SAMPLED_BLOCK):
        positive = np.asarray(positives[rows])
        taken = check_excluded(_rows(seen, rows), len(positive), num_items)
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


class _Vectors:
    """Users and items in one space; `of` gives the vectors of a slice of users."""

    def __init__(self, of: Any, items: ArrayLike, reserved: int) -> None:
        self.of = of
        self.items = np.asarray(items)
        self.num_items: int | None = len(self.items)
        self.reserved = reserved

    def best(self, rows: slice, k: int, gone: Any) -> tuple[NDArray[np.int32], int]:
        vectors, interests = self.of(rows)
        _check_rows(len(vectors), rows)
        ids, _ = top_k(
            vectors,
            self.items,
            k,
            interest_mask=interests,
            exclude=gone,
            reserved=self.reserved,
        )
        return ids, len(self.items)

    def pairs(self, rows: slice, ids: NDArray[np.int64]) -> NDArray[Any]:
        vectors, interests = self.of(rows)
        _check_rows(len(vectors), rows)
        vectors = vectors.reshape(len(vectors), -1, vectors.shape[-1])
        found = np.einsum("bkd,bnd->bkn", vectors, self.items[ids])
        if interests is not None:
            found = np.where(interests[:, :, None], found, -np.inf)
        best: NDArray[Any] = found.max(axis=1)
        return best


class _Table:
    """Scores of all items; `of` gives those of a slice of users."""

    def __init__(self, of: Any, num_items: int | None, reserved: int) -> None:
        self.of = of
        self.num_items = num_items
        self.reserved = reserved

    def best(self, rows: slice, k: int, gone: Any) -> tuple[NDArray[np.int32], int]:
        scores = np.asarray(self.of(rows))
        _check_rows(len(scores), rows)
        ids, _ = top_k_of_scores(scores, k, exclude=gone, reserved=self.reserved)
        return ids, scores.shape[1]

    def pairs(self, rows: slice, ids: NDArray[np.int64]) -> NDArray[Any]:
        scores = np.asarray(self.of(rows))
        _check_rows(len(scores), rows)
        return np.take_along_axis(scores, ids, axis=1)


def _source(scores: Any, users: Any, reserved: int) -> _Vectors | _Table:
    is_model = isinstance(scores, MatchModel)
    if is_model != (users is not None):
        raise ValueError(
            "users must be given with a match model, and only then. "
            f"Received: {type(scores).__name__}, users of type {type(users).__name__}"
        )
    if is_model:
        check_fingerprint(scores.fingerprints, users)
        columns = as_columns(users)

        def of_model(rows: slice) -> Any:
            return scores.user_vectors({n: c[rows] for n, c in columns.items()})

        return _Vectors(of_model, scores.item_matrix(), scores.reserved)
    if isinstance(scores, tuple):
        if len(scores) != 2:
            raise ValueError(
                "scores as a tuple must be (user_vectors, item_matrix). "
                f"Received: {len(scores)} parts"
            )
        vectors, items = (as_numbers("scores", each) for each in scores)
        if items.ndim != 2 or vectors.shape[-1:] != items.shape[1:]:
            raise ValueError(
                "scores as (user_vectors, item_matrix) must have one dim. "
                f"Received: shapes {vectors.shape} and {items.shape}"
            )
        return _Vectors(lambda rows: (vectors[rows], None), items, reserved)
    if callable(scores):
        return _Table(scores, None, reserved)
    if not hasattr(scores, "shape"):
        scores = as_numbers("scores", scores)
    if len(scores.shape) != 2:
        raise ValueError(
            "scores must have shape (num_users, num_items). "
            f"Received: shape {tuple(scores.shape)}"
        )
    return _Table(scores.__getitem__, scores.shape[1], reserved)


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


def _blocks(num_users: int, block: int) -> Iterator[slice]:
    """Yields slices of users, and shows how far they are."""
    with working("Ranking") as show:
        for start in range(0, num_users, block):
            stop = min(start + block, num_users)
            show(f"Ranking: {start:,} of {num_users:,} users")
            yield slice(start, stop)


def _seen(exclude: Any, num_users: int) -> tuple[Any, Any]:
    """What each user must not get, as CSR."""
    if exclude is None:
        return np.zeros(num_users + 1, np.int64), np.empty(0, np.int64)
    seen = as_csr(exclude)
    if len(seen[0]) != num_users + 1:
        raise ValueError(
            f"exclude must have as many users as relevant, {num_users}. "
            f"Received: {len(seen[0]) - 1}"
        )
    return seen


def _rows(csr: tuple[Any, ...], rows: slice) -> tuple[Any, ...]:
    """Some rows of a CSR matrix, as one."""
    offsets = np.asarray(csr[0])[rows.start : rows.stop + 1]
    return offsets - offsets[0], *(x[offsets[0] : offsets[-1]] for x in csr[1:])


def _check(
    k: int | Sequence[int], metrics: Sequence[str], known: Any
) -> tuple[list[int], list[str]]:
    """Returns the distinct lengths and names of metrics, in their order."""
    cuts = [*k] if isinstance(k, Iterable) else [k]
    wrong = any(not Integer(1).accepts(cut) for cut in cuts)
    named = isinstance(metrics, Iterable) and not isinstance(metrics, str)
    if not cuts or wrong or not named:
        raise ValueError(
            "k must be an integer of at least 1 or a list of them, and metrics a list "
            f"of names. Received: k={k!r}, metrics={metrics!r}"
        )
    if unknown := set(metrics) - set(known):
        raise ValueError(
            f"metrics must be out of {[*known]}. Received: {sorted(unknown, key=str)}"
        )
    return [*dict.fromkeys(map(int, cuts))], [*dict.fromkeys(metrics)]


def _unseen(ids: ArrayLike, reserved: int, num_items: int) -> NDArray[np.bool_]:
    """Which of the relevant ids stand for items that training has not seen.

    Raises:
        ValueError: If one of the others is no item.
    """
    ids = np.asarray(ids)
    unseen: NDArray[np.bool_] = (ids == UNSEEN) & (reserved > UNSEEN)
    wrong = ids[~unseen & ((ids < reserved) | (ids >= num_items))]
    if wrong.size:
        also = f", or {UNSEEN} for an item that training has not seen"
        raise ValueError(
            f"Relevant ids must be in [{reserved}, {num_items})"
            f"{also if reserved > UNSEEN else ''}. "
            f"Received: {wrong.min()} to {wrong.max()}"
        )
    return unseen


def _distinct(
    wanted: tuple[Any, ...], reserved: int, num_items: int, first: int
) -> tuple[Any, ...]:
    """Gives each unseen item an id of its own, behind those that are recommended.

    Args:
        wanted: Relevant ids of some users, as CSR.
        reserved, num_items: Of the catalogue.
        first: The first of these users.

    Raises:
        ValueError: If a user has an item twice, or as `_unseen`.
    """
    offsets, ids, *grades = wanted
    unseen = _unseen(ids, reserved, num_items)
    ids = np.where(unseen, num_items + np.arange(len(ids)), ids)
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    if twice := repeated(user, ids):
        raise ValueError(
            "relevant must not have an item twice with one user. "
            f"Received: id {twice[1]} of user {first + twice[0]}"
        )
    return offsets, ids, *grades


def _check_rows(got: int, rows: slice) -> None:
    if got != rows.stop - rows.start:
        raise ValueError(
            f"There must be one row for each user of relevant, {rows.stop} or more. "
            f"Received: {rows.start + got}"
        )
