"""The model class of retrieval: two towers that meet in a dot product."""

from typing import Any

import keras
import numpy as np

from recsys.layers.retrieval import SampledSoftmax
from recsys.retrieval import top_k
from recsys.train.model import Model

USER, ITEM = "user_vector", "item_vector"
"""Names of the layers whose outputs are the two vectors of a match model."""


def as_csr(ids: list[Any] | tuple[Any, Any]) -> tuple[Any, Any]:
    """Returns `(offsets, ids)` of a list with one array of ids for each user.

    Example:
    >>> as_csr([[3, 4], [], [5]])
    (array([0, 2, 2, 3]), array([3, 4, 5]))
    """
    if isinstance(ids, tuple):
        return ids
    return np.cumsum([0, *map(len, ids)]), np.concatenate([[], *ids]).astype(int)


class _Views:
    """The towers of a model. A plain object: Keras would save them twice."""

    user: Model
    item: Model


@keras.saving.register_keras_serializable(package="recsys")
class MatchModel(Model):
    """A model whose score of a user and an item is the dot product of two vectors.

    `fit(x)` needs no labels: the item of a row is the positive one, negatives are
    drawn inside. `predict(x)` scores the (user, item) pairs of the rows.

    The towers are parts of the graph that end in the layers `user_vector` and
    `item_vector`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._views = _Views()
        self._views.user = self._part(USER)
        self._views.item = self._part(ITEM)

    def _part(self, layer: str) -> Model:
        """The part of the graph that a layer's output depends on."""
        output = self.get_layer(layer).output
        seen, ahead = set(), [output]
        while ahead:
            made_by = ahead.pop()._keras_history
            node = made_by.operation._inbound_nodes[made_by.node_index]
            if node not in seen:
                seen.add(node)
                ahead += node.input_tensors
        names = {node.operation.name for node in seen}
        inputs = {name: t for name, t in self.input.items() if name in names}
        return Model(inputs, output, name=layer.replace("vector", "model"))

    @property
    def user_model(self) -> Model:
        """From the columns of a user to `(rows, dim)`."""
        return self._views.user

    @property
    def item_model(self) -> Model:
        """From item ids to `(rows, dim)`."""
        return self._views.item

    def item_matrix(self) -> np.ndarray[Any, Any]:
        """Returns the vectors of all item ids, `(vocabulary_size, dim)`.

        Rows of ids that stand for no item mean nothing.
        """
        loss = self._softmax()
        (item_id,) = self.item_model.input
        ids = np.arange(loss.vocabulary_size, dtype="int32")
        vectors: np.ndarray[Any, Any] = self.item_model.predict(
            {item_id: ids}, batch_size=65536, verbose=0
        )
        return vectors

    def recommend(
        self,
        users: Any,
        k: int = 10,
        exclude: list[Any] | tuple[Any, Any] | None = None,
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Returns the best items of the whole catalogue for each user.

        Args:
            users: Columns of the user model, or a frame.
            k: Items per user.
            exclude: Items a user must not get, e.g. those already seen: a list with
                one array of ids for each user, or `(offsets, ids)` as `top_k` takes.

        Returns:
            Ids and scores, `(rows, k)` each, best first; id -1 where a user has less
            than k items left.
        """
        vectors = self.user_model.predict(users, batch_size=8192, verbose=0)
        first = self._softmax().reserved
        if exclude is not None:
            exclude = as_csr(exclude)
        return top_k(vectors, self.item_matrix(), k, exclude=exclude, reserved=first)

    def _softmax(self) -> SampledSoftmax:
        (layer,) = (x for x in self.layers if isinstance(x, SampledSoftmax))
        return layer
