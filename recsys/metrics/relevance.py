"""What is relevant to each query, looked up for ranked lists."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_array, as_numbers
from recsys.metrics.lists import check_integers, cut_lists

Relevant = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike]


class Relevance:
    """The grades of the relevant items of each query; other items have grade 0.

    Args:
        relevant: `(offsets, ids)` or `(offsets, ids, grades)`: the rows of a CSR
            matrix, `offsets` being `(num_queries + 1,)`. `ids[offsets[q]:offsets[q+1]]`
            are the items of query q, distinct and not negative. Grades default to 1;
            an item of grade 0 is not relevant.

    Attributes:
        num_relevant: Relevant items of each query, `(num_queries,)`.
        query, rank, best: The best lists there are: query, rank from 0, and grade of
            each relevant item, `(num_relevant.sum(),)`.

    Raises:
        ValueError: If the arrays do not fit together, a query has an id twice or a
            negative one, or as `check_judged`.
    """

    def __init__(self, relevant: Relevant) -> None:
        if len(relevant) not in (2, 3):
            raise ValueError(
                "relevant must be (offsets, ids) or (offsets, ids, grades). "
                f"Received: {len(relevant)} parts"
            )
        check_judged(*relevant[1:])
        check_integers("offsets of relevant items", relevant[0])
        offsets, ids = (np.asarray(each, np.int64) for each in relevant[:2])
        if (offsets.ndim, ids.ndim) != (1, 1):
            raise ValueError(
                "relevant must be (offsets, ids), arrays of one axis. "
                f"Received: shapes {offsets.shape} and {ids.shape}"
            )
        grades = np.ones(len(ids)) if len(relevant) == 2 else np.asarray(relevant[2])
        lengths = np.diff(offsets)
        if not (
            len(offsets)
            and offsets[0] == 0
            and (lengths >= 0).all()
            and offsets[-1] == len(ids) == len(grades)
        ):
            raise ValueError(
                "relevant must be (offsets, ids) or (offsets, ids, grades), where "
                "offsets rise from 0 to the number of ids. Received: offsets "
                f"{offsets}, {len(ids)} ids, {len(grades)} grades"
            )
        query = np.repeat(np.arange(len(lengths)), lengths)
        # A pair (query, id) is one number; sorted, it is found by bisection.
        self._num_ids = int(ids.max(initial=0)) + 1
        if ids.min(initial=0) < 0 or len(lengths) * self._num_ids >= 2**63:
            raise ValueError(
                "The ids of relevant items must be in [0, 2**63 / num_queries). "
                f"Received: {ids.min()} to {ids.max()}"
            )
        if twice := repeated(query, ids):
            raise ValueError(
                "relevant must not have an id twice in one query. "
                f"Received: id {twice[1]} in query {twice[0]}"
            )
        positive = grades > 0
        query, ids, grades = query[positive], ids[positive], grades[positive]
        keys = query * self._num_ids + ids
        order = np.argsort(keys)
        self._keys = keys[order]
        self._grades = grades[order].astype(np.float64)
        self.num_relevant: NDArray[np.intp] = np.bincount(query, minlength=len(lengths))
        self.query = query
        self.rank = place_in_query(query, self.num_relevant)
        self.best = self._grades[np.lexsort((-self._grades, query))]

    def of(self, ranked: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Grades of the items of each ranked list, and how long the list is.

        Args:
            ranked: Distinct ids, best first, `(num_queries, length)`; -1 fills lists
                that are shorter.

        Returns:
            Grades, `(num_queries, length)`, and ids in each list, `(num_queries,)`.

        Raises:
            ValueError: If the number of lists is wrong, or as `cut_lists`.
        """
        ids = as_array("ranked", ranked)
        num_queries = len(self.num_relevant)
        if ids.ndim != 2 or len(ids) != num_queries:
            raise ValueError(
                f"ranked must have shape ({num_queries}, length), one list per query. "
                f"Received: shape {ids.shape}"
            )
        ids = cut_lists(ids, None)
        grades = np.zeros(ids.shape)
        length: NDArray[np.intp] = (ids >= 0).sum(axis=1)
        if not len(self._keys):
            return grades, length
        keys = np.arange(num_queries)[:, None] * self._num_ids + ids
        place = np.searchsorted(self._keys, keys)
        np.minimum(place, len(self._keys) - 1, out=place)
        hit = (self._keys[place] == keys) & (0 <= ids) & (ids < self._num_ids)
        grades[hit] = self._grades[place[hit]]
        return grades, length


def check_judged(ids: ArrayLike, grades: ArrayLike = ()) -> None:
    """Raises `ValueError` if ids are no integers, or a grade is negative or infinite.

    A grade must not be NaN either: what is not judged is not in the list.
    """
    check_integers("ids of relevant items", ids)
    grades = as_numbers("Grades of relevant items", grades)
    if grades.size and not ((grades >= 0) & (grades < np.inf)).all():
        raise ValueError(
            "Grades of relevant items must be finite and at least 0. "
            f"Received: {grades.min():g} to {grades.max():g}"
        )


def repeated(query: NDArray[np.intp], ids: NDArray[np.int64]) -> tuple[int, int] | None:
    """Returns a query and an id that it has twice, if there is one."""
    num_ids = int(ids.max(initial=0)) + 1
    keys = np.sort(query * num_ids + ids)
    again = keys[1:][keys[1:] == keys[:-1]]
    return divmod(int(again[0]), num_ids) if len(again) else None


def place_in_query(
    query: NDArray[np.intp], count: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Numbers the entries of each query from 0.

    Args:
        query: Query of each entry, ascending, `(num_entries,)`.
        count: Entries of each query, `(num_queries,)`.
    """
    place: NDArray[np.intp] = np.arange(len(query)) - (np.cumsum(count) - count)[query]
    return place
