"""Top-k metrics of groups of rows, over batches."""

from collections.abc import Callable
from typing import Any, get_args

from recsys.metrics.f1 import f1
from recsys.metrics.hit_rate import hit_rate
from recsys.metrics.lists import check_k
from recsys.metrics.mean_average_precision import mean_average_precision
from recsys.metrics.mrr import mrr
from recsys.metrics.ndcg import Gain, check_gain, ndcg
from recsys.metrics.precision import precision
from recsys.metrics.queries import Empty, Ties
from recsys.metrics.recall import recall
from recsys.metrics.streaming.exact import RowMetric
from recsys.saving import saved


class TopK(RowMetric):
    """Exact mean over queries, whose rows may be spread over batches in any order.

    How many queries have no relevant row is told by
    `recsys.metrics.judge(**metric.rows()).coverage()`.

    Args:
        group: Key of the model's input that holds the query of each row, an integer
            column such as the user id.
        k: Where to cut the lists; `None` is nowhere.
        ties, empty: Arguments of `recsys.metrics.judge` and of the metric's function.
        capacity: Most rows that fit, 20 bytes each (16 on JAX): 160 MiB for the default
            2**23. With more rows `result()` is an error.
        name: Name of the metric. Default: its function's, and `@k`.
        **kwargs: Passed to `keras.metrics.Metric`.

    Raises:
        ValueError: If an argument is outside the values above.
    """

    function: Callable[..., float]

    def __init__(
        self,
        group: str,
        k: int | None = None,
        ties: Ties = "expected",
        empty: Empty = "skip",
        capacity: int = 2**23,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_k(k, f"{type(self).__name__}: ")
        if ties not in get_args(Ties) or empty not in get_args(Empty):
            raise ValueError(
                f"{type(self).__name__}: ties must be one of {get_args(Ties)} and "
                f"empty one of {get_args(Empty)}. "
                f"Received: ties={ties!r}, empty={empty!r}"
            )
        own = type(self).function.__name__
        name = name or (own if k is None else f"{own}@{k}")
        super().__init__(capacity, group, name=name, **kwargs)
        self.k = k
        self.ties = ties
        self.empty = empty

    def value(self, **rows: Any) -> float:
        return type(self).function(**rows, **self.options())

    def options(self) -> dict[str, Any]:
        """Returns the options of the function."""
        return {"k": self.k, "ties": self.ties, "empty": self.empty}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "group": self.group, **self.options()}


@saved
class HitRate(TopK):
    """Share of queries with a hit: `recsys.metrics.hit_rate`; see `TopK`.

    Example:
    >>> metric = HitRate("user_id", k=1, capacity=100)
    >>> metric.update_state([1, 0], [3.0, 9.0], groups=[7, 8])
    >>> metric.update_state([0, 1], [1.0, 8.0], groups=[7, 8])
    >>> metric.name, metric.result()
    ('hit_rate@1', 0.5)
    """

    function = staticmethod(hit_rate)


@saved
class Precision(TopK):
    """Share of a list that is relevant: `recsys.metrics.precision`; see `TopK`."""

    function = staticmethod(precision)


@saved
class F1(TopK):
    """Precision and recall in one: `recsys.metrics.f1`; see `TopK`."""

    function = staticmethod(f1)


@saved
class MRR(TopK):
    """Mean reciprocal rank: `recsys.metrics.mrr`; see `TopK`."""

    function = staticmethod(mrr)


class _Capped(TopK):
    """A metric that may be divided by k.

    Args:
        group, k: Arguments of `TopK`.
        capped: See the metric's function.
        **kwargs: Arguments of `TopK`.
    """

    capped_by_default = False

    def __init__(
        self,
        group: str,
        k: int | None = None,
        *,
        capped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group, k, **kwargs)
        self.capped = self.capped_by_default if capped is None else capped

    def options(self) -> dict[str, Any]:
        return {**super().options(), "capped": self.capped}


@saved
class Recall(_Capped):
    """Share of the relevant in a list: `recsys.metrics.recall`; see `TopK`.

    Args:
        group, k, **kwargs: Arguments of `TopK`.
        capped: Divide by k where a query has more relevant items; default: no.
    """

    function = staticmethod(recall)


@saved
class MeanAveragePrecision(_Capped):
    """Mean average precision: `recsys.metrics.mean_average_precision`; see `TopK`.

    Args:
        group, k, **kwargs: Arguments of `TopK`.
        capped: Whether the divisor is at most k; default: yes.
    """

    function = staticmethod(mean_average_precision)
    capped_by_default = True


@saved
class NDCG(TopK):
    """Normalized discounted cumulative gain: `recsys.metrics.ndcg`; see `TopK`.

    Args:
        group, k, **kwargs: Arguments of `TopK`.
        gain: `"exp2"` or `"linear"`, see `recsys.metrics.ndcg`.
    """

    function = staticmethod(ndcg)

    def __init__(
        self, group: str, k: int | None = None, *, gain: Gain = "exp2", **kwargs: Any
    ) -> None:
        check_gain(gain)
        super().__init__(group, k, **kwargs)
        self.gain = gain

    def options(self) -> dict[str, Any]:
        return {**super().options(), "gain": self.gain}
