"""Where the relevant items of each query stand: all that a top-k metric looks at."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_numbers
from recsys.metrics.codes import first_of_each, group_codes, score_codes, sum_by
from recsys.metrics.lists import check_k
from recsys.metrics.relevance import Relevance, Relevant, place_in_query
from recsys.metrics.scored import valid_rows

Ties = Literal["expected", "pessimistic"]
Empty = Literal["skip", "zero"]

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Queries:
    """The relevant items of each query and the ranks they may have.

    Items of equal score are in any order, each order as likely: the metrics are
    expected values over those orders, in closed form. An item that ties with no other
    has one rank.

    Attributes:
        k: Where lists are cut; `None` is nowhere.
        query: Query of each relevant item in a list, ascending, `(num_found,)`, as
            the next five; best score first in each query.
        above: How many items score higher.
        tied: How many items have its score, itself included.
        relevant_above: How many of `above` are relevant.
        relevant_tied: How many of `tied` are relevant.
        grade: How relevant it is, above 0.
        best_query, best_rank, best_grade: The best lists there are, of all relevant
            items, in a list or not: query, rank from 0, and grade of each item.
        num_relevant: Relevant items of each query, `(num_queries,)`.
        length: Length of its list, `(num_queries,)`.
        weight: Weight of the query in a mean, `(num_queries,)`.
    """

    k: int | None
    query: Ints
    above: Ints
    tied: Ints
    relevant_above: Ints
    relevant_tied: Ints
    grade: Floats
    best_query: Ints
    best_rank: Ints
    best_grade: Floats
    num_relevant: Ints
    length: Ints
    weight: Floats

    def inside(self) -> Ints:
        """How many of the ranks that an item may have are among the first k."""
        if self.k is None:
            return self.tied
        return np.clip(self.k - self.above, 0, self.tied)

    def cut(self) -> Ints:
        """k, or without it the length of each list; at least 1."""
        lengths = self.length if self.k is None else np.full_like(self.length, self.k)
        return np.maximum(lengths, 1)

    def hits(self) -> Floats:
        """Relevant items among the first k of each query, `(num_queries,)`."""
        return self.total(self.inside() / self.tied)

    def total(self, values: NDArray[Any]) -> Floats:
        """Sums values of relevant items by query."""
        return sum_by(self.query, values, len(self.num_relevant))

    def first(self) -> Ints:
        """Index of the best relevant item of each query that has one in its list."""
        return first_of_each(self.query)

    def ratio(self, top: Floats, bottom: NDArray[Any]) -> Floats:
        """Divides by query; NaN where no item is relevant."""
        asked = self.num_relevant > 0
        ratio: Floats = np.full(len(asked), np.nan)
        np.divide(top, bottom, out=ratio, where=asked)
        return ratio

    def mean(self, values: Floats, empty: Empty = "skip") -> float:
        """Weighted mean over queries; NaN is a query to skip or to count as zero.

        Raises:
            ValueError: If `empty` is neither `"skip"` nor `"zero"`.
        """
        if empty not in get_args(Empty):
            raise ValueError(
                f"empty must be one of {get_args(Empty)}. Received: empty={empty!r}"
            )
        undefined = np.isnan(values)
        weight = self.weight if empty == "zero" else self.weight * ~undefined
        if not weight.sum():
            return float("nan")
        return float(np.where(undefined, 0, values) @ weight / weight.sum())

    def coverage(self) -> float:
        """Share of the queries that have a relevant item; the others are skipped."""
        if not len(self.num_relevant):
            return float("nan")
        return float((self.num_relevant > 0).mean())


def judge(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
) -> Queries:
    """Finds the relevant items of each query, in rows or in lists.

    With `groups`, each row is an item and each group a query; rows may be in any order.
    Without, there are lists that are ranked already, as from `recsys.retrieval.top_k`.
    All top-k metrics take these arguments.

    Args:
        y_true: Rows: grades of at least 0, `(num_rows,)`, above 0 being relevant; NaN
            is missing, such rows do not count. Lists: `(offsets, ids)`, the rows of a
            CSR matrix: the relevant items of query q are `ids[offsets[q]:offsets[q +
            1]]`, distinct ids of at least 0; a third array may hold their grades. No id
            has a meaning of its own here: items that training has not seen need
            distinct ids beyond the vocabulary (`recsys.train.evaluation.evaluate` takes
            id 1 for each and does so).
        y_score: Rows: scores, `(num_rows,)`. Lists: distinct ids, best first,
            `(num_queries, length)`; -1 fills lists that are shorter.
        groups: The query of each row, `(num_rows,)`.
        k: Where to cut the lists; `None` is nowhere.
        sample_weight: Rows: weights, `(num_rows,)`, or one; those of weight 0 are in no
            list, and the weight of a query is the mean of its rows'. Lists: weights of
            the queries, `(num_queries,)`.
        ties: Rows of one query with equal scores: `"expected"` is the mean over all
            their orders, `"pessimistic"` puts the least relevant first. A model that
            gives all items one score is at the level of chance, or below.

    Raises:
        ValueError: If the arguments do not fit together, a grade is negative or
            infinite, an id occurs twice in a query or in a list, a score is NaN, or `k`
            or `ties` is unknown.

    Example:
    >>> queries = judge([0, 1, 1, 0], [3, 2, 5, 4], groups=[7, 7, 7, 8])
    >>> queries.above, queries.num_relevant, queries.coverage()
    (array([0, 2]), array([2, 0]), 0.5)
    """
    check_k(k)
    if ties not in get_args(Ties):
        raise ValueError(
            f"ties must be one of {get_args(Ties)}. Received: ties={ties!r}"
        )
    if groups is not None:
        return _judge_rows(y_true, y_score, groups, k, sample_weight, ties)
    if not isinstance(y_true, tuple):
        raise ValueError(
            "Rows need the group of each, groups=; without, y_true must be (offsets, "
            f"ids), of lists that are ranked. Received: {type(y_true).__name__}"
        )
    return _judge_lists(y_true, y_score, k, sample_weight)


def _judge_rows(
    y_true: Any,
    y_score: ArrayLike,
    groups: ArrayLike,
    k: int | None,
    sample_weight: ArrayLike | None,
    ties: Ties,
) -> Queries:
    label, score, weight, group = valid_rows(y_true, y_score, sample_weight, groups)
    grade = label.astype(np.float64)
    if not len(grade):
        none, no = np.empty(0, np.intp), np.empty(0)
        return Queries(
            k, none, none, none, none, none, no, none, none, no, none, none, no
        )
    if grade.min() < 0 or np.isinf(grade.max()):
        raise ValueError(
            "y_true must be finite and at least 0. "
            f"Received: {grade.min():g} to {grade.max():g}"
        )
    key = (group_codes(group) << 32) + (2**32 - 1 - score_codes(score))
    order = np.lexsort((grade, key)) if ties == "pessimistic" else np.argsort(key)
    key, grade, weight = key[order], grade[order], weight[order]

    start = first_of_each(key >> 32)
    length = np.diff(start, append=len(key))
    query = np.repeat(np.arange(len(start)), length)
    block = np.arange(len(key)) if ties == "pessimistic" else first_of_each(key)
    tied = np.diff(block, append=len(key))
    relevant = grade > 0
    relevant_before: Ints = np.cumsum(relevant) - relevant
    relevant_tied = np.add.reduceat(relevant, block, dtype=np.intp)
    relevant_above: Ints = relevant_before[block] - relevant_before[start][query[block]]

    of = np.repeat(np.arange(len(block)), tied)[relevant]
    query = query[relevant]
    best = np.lexsort((-grade[relevant], query))
    num_relevant = np.bincount(query, minlength=len(start))
    return Queries(
        k,
        query,
        above=(block[of] - start[query]),
        tied=tied[of],
        relevant_above=relevant_above[of],
        relevant_tied=relevant_tied[of],
        grade=grade[relevant],
        best_query=query,
        best_rank=place_in_query(query, num_relevant),
        best_grade=grade[relevant][best],
        num_relevant=num_relevant,
        length=length,
        weight=np.add.reduceat(weight, start) / length,
    )


def _judge_lists(
    y_true: Relevant, y_score: ArrayLike, k: int | None, sample_weight: Any
) -> Queries:
    judged = Relevance(y_true)
    grades, length = judged.of(y_score)
    query, rank = np.nonzero(grades)
    num_queries = len(length)
    weight = np.ones(num_queries)
    if sample_weight is not None:
        weight = as_numbers("sample_weight", sample_weight).astype(np.float64)
        good = (weight >= 0) & (weight < np.inf)
        if weight.shape != (num_queries,) or not good.all():
            raise ValueError(
                f"sample_weight must have shape ({num_queries},), one finite weight of "
                f"at least 0 for each query. Received: shape {weight.shape}, "
                f"{int((~good).sum())} others"
            )
    found = np.bincount(query, minlength=num_queries)
    ones = np.ones_like(query)
    return Queries(
        k,
        query,
        above=rank,
        tied=ones,
        relevant_above=place_in_query(query, found),
        relevant_tied=ones,
        grade=grades[query, rank],
        best_query=judged.query,
        best_rank=judged.rank,
        best_grade=judged.best,
        num_relevant=judged.num_relevant,
        length=length,
        weight=weight,
    )
