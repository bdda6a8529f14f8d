"""The model class of retrieval: two towers that meet in a dot product."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys.feature._arrays import as_array, as_numbers
from recsys.feature._constraints import Integer, Maybe, Number, checked
from recsys.layers.catalogue import Catalogue
from recsys.layers.matching.match_loss import MatchLoss
from recsys.metrics.relevance import check_judged
from recsys.retrieval.diversity import diversify
from recsys.retrieval.search import top_k
from recsys.saving import saved
from recsys.train._keras import nodes_behind
from recsys.train.columns import check_columns, columns_of_catalogue
from recsys.train.model import Model

USER, ITEM = "user_vector", "item_vector"
"""Names of the layers whose outputs are the two vectors of a match model."""
INTERESTS = "user_interests"
"""Name of the layer that tells which of several vectors a user has, if any."""
CATALOGUE = "catalogue"
"""Name of the layer that holds what an item tower knows of each item, if any."""


def as_csr(ids: list[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns `(offsets, ids)` of a list with one array of ids for each user.

    Args:
        ids: The list; or `(offsets, ids)` or `(offsets, ids, grades)`, which are
            returned as arrays.

    Raises:
        ValueError: If it is neither, ids are no integers, or a grade is negative, NaN
            or infinite.

    Example:
    >>> as_csr([[3, 4], [], [5]])
    (array([0, 2, 2, 3]), array([3, 4, 5]))
    """
    if isinstance(ids, tuple):
        parts = [as_numbers("Offsets and ids of users", each) for each in ids]
        # Differences of unsigned ones would wrap, and sums of both be floating.
        parts = [p.astype("int64") if p.dtype.kind == "u" else p for p in parts]
        others = parts[1:]
        if (
            len(others) not in (1, 2)
            or any(each.ndim != 1 for each in parts)
            or not len(parts[0])
            or parts[0][0] != 0
            or (np.diff(parts[0]) < 0).any()
            or any(len(other) != parts[0][-1] for other in others)
        ):
            raise ValueError(
                "Ids of users as (offsets, ids) must have offsets that rise from 0 to "
                f"the number of ids. Received: offsets {parts[:1]}, "
                f"{[other.size for other in others]} ids"
            )
        check_judged(*others)
        return tuple(parts)
    if not isinstance(ids, (list, np.ndarray)):
        raise ValueError(
            "Ids of users must be a list with one array of integers for each user, or "
            f"(offsets, ids). Received: {ids!r}"
        )
    arrays = [as_array("Ids of a user", each) for each in ids]
    for user, each in enumerate(arrays):
        if each.ndim != 1 or (each.size and each.dtype.kind not in "iu"):
            raise ValueError(
                "Ids of users must be a list with one array of integers for each user, "
                f"or (offsets, ids). Received: {ids[user]!r} for user {user}"
            )
    return np.cumsum([0, *map(len, arrays)]), np.concatenate([[], *arrays]).astype(int)


class _Views:
    """The towers of a model. A plain object: Keras would save them twice."""

    user: Model
    item: Model


@saved
class MatchModel(Model):
    """A model whose score of a user and an item is the dot product of two vectors.

    `fit(x)` needs no labels: the item of a row is the positive one, negatives are
    drawn inside. `predict(x)` scores the (user, item) pairs of the rows.

    The towers are parts of the graph that end in the layers `user_vector` and
    `item_vector`.
    """

    _of_positives = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._views = _Views()
        names = {layer.name for layer in self.layers}
        user = [name for name in (USER, INTERESTS) if name in names]
        self._views.user = self._part("user_model", user)
        self._views.item = self._part("item_model", [ITEM])

    def _part(self, name: str, layers: list[str]) -> Model:
        """The part of the graph that the outputs of layers depend on."""
        outputs = [self.get_layer(layer).output for layer in layers]
        names = {node.operation.name for node in nodes_behind(outputs)}
        inputs = {name: t for name, t in self.input.items() if name in names}
        one = (
            outputs[0] if len(outputs) == 1 else dict(zip(layers, outputs, strict=True))
        )
        return Model(inputs, one, name=name)

    @property
    def user_model(self) -> Model:
        """From the columns of a user to `(rows, dim)`.

        Of a model of several interests, a dict: `"user_vector"`, `(rows, interests,
        dim)`, and `"user_interests"`, which of them there are, bool.

        Raises:
            ValueError: If the score is no dot product.
        """
        if not self._loss().is_dot_product:
            raise ValueError(
                f"{self.name} computes its score from both vectors together: there is "
                "no user vector whose dot products are the scores. Rank pairs of users "
                "and items with predict"
            )
        return self._views.user

    @property
    def item_model(self) -> Model:
        """From item ids to `(rows, dim)`."""
        return self._views.item

    def set_catalogue(self, columns: Mapping[str, Any]) -> None:
        """Takes what the item tower knows of each item.

        Args:
            columns: For each item field but the item its value for each item id, in
                order: `(vocabulary_size,)`, or `(vocabulary_size, length)`.

        Raises:
            ValueError: If the model needs none, or a column is missing, has another
                shape, or holds a value that the model would not take.
        """
        layer = self._catalogue()
        if layer is None:
            raise ValueError(
                f"{self.name} has no item fields besides the item, and takes no "
                f"catalogue. Received: {[*columns]}"
            )
        layer.check(columns)
        check_columns(columns_of_catalogue(self, layer), columns)
        layer.fill(columns)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model on rows of users and their positive items.

        As `Model.fit`, without labels; they may be there if all are 1.

        Raises:
            ValueError: If a label is not 1, or the item tower needs a catalogue that
                nobody gave.
        """
        layer = self._catalogue()
        if layer is not None and layer.is_empty:
            raise ValueError(
                f"{self.name} reads {[*layer.values]} of each item from its "
                "catalogue: pass catalogue= when you build it, or call "
                "set_catalogue. Received: none"
            )
        return super().fit(x, *args, **kwargs)

    def item_matrix(self) -> np.ndarray[Any, Any]:
        """Returns the vectors of all item ids, `(vocabulary_size, dim)`.

        Rows of ids that stand for no item mean nothing.
        """
        (item_id,) = self.item_model.input
        ids = np.arange(self._loss().vocabulary_size, dtype="int32")
        vectors: np.ndarray[Any, Any] = self.item_model.predict(
            {item_id: ids}, batch_size=65536, verbose=0
        )
        return vectors

    @property
    def reserved(self) -> int:
        """Ids below this one stand for no item and are never recommended."""
        return self._loss().reserved

    def user_vectors(
        self, users: Any
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
        """Returns the vectors of users, and which of several interests they have.

        Args:
            users: Columns of the user model, or a frame.

        Returns:
            `(rows, dim)` and `None`, or `(rows, interests, dim)` and `(rows,
            interests)`, bool.
        """
        found = self.user_model.predict(users, 8192, verbose=0)
        if isinstance(found, dict):
            return found[USER], found[INTERESTS]
        return found, None

    def recommend(
        self,
        users: Any,
        k: int = 10,
        exclude: list[Any] | tuple[Any, Any] | None = None,
        *,
        categories: Any = None,
        diversity: float = 0.0,
        pool: int | None = None,
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Returns the best items of the whole catalogue for each user.

        Args:
            users: Columns of the user model, or a frame.
            k: Items per user.
            exclude: Items a user must not get, e.g. those already seen: a list with
                one array of ids for each user, or `(offsets, ids)` as `top_k` takes.
            categories: Category of each item id, for diversity.
            diversity: What an item loses for each one of its category that was chosen
                before it, see `recsys.retrieval.diversify`.
            pool: The best items that diversity chooses among; default: `10 k`.

        Returns:
            Ids and scores, `(rows, k)` each, best first; id -1 where a user has less
            than k items left.

        Raises:
            ValueError: If a column is not what the model takes, a number is out of
                range, or as `top_k` and `diversify`.
        """
        checked(
            "recommend",
            {"k": k, "diversity": diversity, "pool": pool},
            {"k": Integer(1), "diversity": Number(0), "pool": Maybe(Integer(1))},
        )
        vectors, interests = self.user_vectors(users)
        ids, scores = top_k(
            vectors,
            self.item_matrix(),
            (pool or 10 * k) if diversity else k,
            interest_mask=interests,
            exclude=None if exclude is None else as_csr(exclude),
            reserved=self.reserved,
        )
        if diversity:
            return diversify(ids, scores, categories, k, diversity)
        return ids, scores

    def _loss(self) -> MatchLoss:
        (layer,) = (x for x in self.layers if isinstance(x, MatchLoss))
        return layer

    def _catalogue(self) -> Catalogue | None:
        found = (x for x in self.layers if isinstance(x, Catalogue))
        return next(found, None)
