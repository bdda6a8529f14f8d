"""Diversity, novelty and exposure of recommended lists, over batches of lists.

The lists come from `recommend` or an index, not from a model's output: update these
metrics by hand, outside of compiled steps.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.diversity import category_distances, cosine_distances
from recsys.metrics.exposure import coverage_of, entropy_of, exposure, gini_of
from recsys.metrics.lists import check_k
from recsys.metrics.popularity import in_tail, means_of, popularity_lifts, surprise
from recsys.metrics.streaming.sums import SumMetric
from recsys.saving import saved
from recsys.types import Tensor


class _OfLists(keras.metrics.Metric):
    """A metric of lists of ids, and of a table that says what is known of each id."""

    def _keep(self, name_of_table: str, table: ArrayLike, k: int | None) -> None:
        """Keeps the table, and the name of its argument for the config."""
        check_k(k, f"{type(self).__name__}: ")
        self.name_of_table = name_of_table
        self.table = np.asarray(table)
        self.k = k

    def get_config(self) -> dict[str, Any]:
        table = {self.name_of_table: self.table.tolist(), "k": self.k}
        return {**super().get_config(), **table}


class _Exposure(_OfLists):
    """Counts how often each item of the catalogue is shown.

    Holds 4 bytes for each item.

    Args:
        catalogue: All ids that could have been recommended, distinct.
        k: Where to cut the lists; `None` is nowhere.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    own_name = ""
    of_counts: Callable[[Any], float]

    def __init__(
        self, catalogue: ArrayLike, k: int | None = None, name: str = "", **kwargs: Any
    ) -> None:
        super().__init__(name=name or self.own_name, **kwargs)
        self._keep("catalogue", catalogue, k)
        self._counts = self.add_variable(
            (len(self.table),), "zeros", "int32", name="counts"
        )

    def update_state(self, ranked: ArrayLike) -> None:
        """Adds lists of ids, best first, `(batch, length)`; -1 fills shorter ones."""
        counts = exposure(ranked, catalogue=self.table, k=self.k)
        self._counts.assign_add(ops.cast(counts, "int32"))

    def result(self) -> float:
        return type(self).of_counts(ops.convert_to_numpy(self._counts).astype("int64"))


@saved
class Coverage(_Exposure):
    """Share of the catalogue that is recommended: `recsys.metrics.coverage`.

    Args:
        catalogue, k: Of `recsys.metrics.exposure`. 4 bytes are held for each item.
        name, **kwargs: Arguments of `keras.metrics.Metric`.

    Example:
    >>> metric = Coverage(catalogue=[5, 6, 7, 8])
    >>> metric.update_state([[5, 7]])
    >>> metric.update_state([[5, -1]])
    >>> metric.result()
    0.5
    """

    own_name = "coverage"
    of_counts = staticmethod(coverage_of)


@saved
class Gini(_Exposure):
    """Inequality of exposure: `recsys.metrics.gini`; arguments as `Coverage`."""

    own_name = "gini"
    of_counts = staticmethod(gini_of)


@saved
class ExposureEntropy(_Exposure):
    """Entropy of exposure: `recsys.metrics.exposure_entropy`; as `Coverage`."""

    own_name = "exposure_entropy"
    of_counts = staticmethod(entropy_of)


class _MeanOfLists(_OfLists, SumMetric):
    """Mean of a value of each list; undefined ones are skipped."""

    def __init__(
        self,
        name_of_table: str,
        table: ArrayLike,
        k: int | None,
        name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(2, name=name, **kwargs)
        self._keep(name_of_table, table, k)

    def update_state(self, ranked: ArrayLike) -> None:
        """Adds lists of ids, best first, `(batch, length)`; -1 fills shorter ones."""
        self._add(self.values(ranked))

    def _add(self, values: NDArray[Any]) -> None:
        defined = values[~np.isnan(values)]
        self.add(ops.cast([defined.sum(), len(defined)], "float32"))

    def values(self, ranked: ArrayLike) -> NDArray[Any]:
        """Returns the value of each list, NaN where it is undefined."""
        raise NotImplementedError

    def result(self) -> Tensor:
        total, count = ops.unstack(self.sums())
        return total / count


@saved
class IntraListDistance(_MeanOfLists):
    """Cosine distance inside lists: `recsys.metrics.intra_list_distance`.

    Args:
        vectors, k: Arguments of `recsys.metrics.intra_list_distance`.
        name, **kwargs: Arguments of `keras.metrics.Metric`.

    Example:
    >>> metric = IntraListDistance([[1.0, 0.0], [0.0, 2.0]])
    >>> metric.update_state([[0, 1]])
    >>> float(metric.result())
    1.0
    """

    def __init__(
        self,
        vectors: ArrayLike,
        k: int | None = None,
        name: str = "intra_list_distance",
        **kwargs: Any,
    ) -> None:
        super().__init__("vectors", vectors, k, name, **kwargs)

    def values(self, ranked: ArrayLike) -> NDArray[Any]:
        return cosine_distances(ranked, self.table, self.k)


@saved
class CategoryDistance(_MeanOfLists):
    """Pairs of different categories: `recsys.metrics.category_distance`.

    Args:
        categories, k: Arguments of `recsys.metrics.category_distance`.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    def __init__(
        self,
        categories: ArrayLike,
        k: int | None = None,
        name: str = "category_distance",
        **kwargs: Any,
    ) -> None:
        super().__init__("categories", categories, k, name, **kwargs)

    def values(self, ranked: ArrayLike) -> NDArray[Any]:
        return category_distances(ranked, self.table, self.k)


class _OfCounts(_MeanOfLists):
    """A mean over the items of a list of something known from training counts."""

    own_name = ""

    def __init__(
        self, counts: ArrayLike, k: int | None = None, name: str = "", **kwargs: Any
    ) -> None:
        super().__init__("counts", counts, k, name or self.own_name, **kwargs)

    def values(self, ranked: ArrayLike) -> NDArray[Any]:
        return means_of(self.of_items(), ranked, self.k)

    def of_items(self) -> NDArray[Any]:
        """Returns a number for each id."""
        return self.table


@saved
class Novelty(_OfCounts):
    """Surprise of what is recommended, in bits: `recsys.metrics.novelty`.

    Args:
        counts, k, reserved: Arguments of `recsys.metrics.novelty`.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    own_name = "novelty"

    def __init__(
        self, counts: ArrayLike, k: int | None = None, reserved: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(counts, k, **kwargs)
        self.reserved = reserved

    def of_items(self) -> NDArray[Any]:
        return surprise(self.table, self.reserved)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reserved": self.reserved}


@saved
class AveragePopularity(_OfCounts):
    """Training count of what is recommended: `recsys.metrics.average_popularity`.

    Args:
        counts, k: Arguments of `recsys.metrics.average_popularity`.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    own_name = "average_popularity"


@saved
class LongTailShare(_OfCounts):
    """Share of the long tail in lists: `recsys.metrics.long_tail_share`.

    Args:
        counts, k: Arguments of `recsys.metrics.long_tail_share`.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    own_name = "long_tail_share"

    def of_items(self) -> NDArray[Any]:
        return in_tail(self.table)


@saved
class PopularityLift(_OfCounts):
    """Popularity of lists over that of histories: `recsys.metrics.popularity_lift`.

    Args:
        counts, k: Arguments of `recsys.metrics.popularity_lift`.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    own_name = "popularity_lift"

    def update_state(  # type: ignore[override]
        self, ranked: ArrayLike, history: tuple[ArrayLike, ArrayLike]
    ) -> None:
        """Adds lists and, as `(offsets, ids)`, what their users chose."""
        self._add(popularity_lifts(ranked, history, self.table, self.k))
