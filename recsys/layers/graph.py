"""A graph of users and items, and propagation over it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers.elementary import UnitLength
from recsys.layers.losses import Derived
from recsys.layers.table import gather_rows
from recsys.types import Tensor

GRAPH = "embedding_graph"


class InteractionGraph(Derived):
    r"""Vectors of users and items, averaged over the graph of who chose what.

        e_u^{(k+1)} = \sum_{i in N_u} e_i^{(k)} / \sqrt{|N_u| |N_i|}, and so e_i^{(k+1)}
        e = 1 / (K + 1) \sum_{k=0}^K e^{(k)}                              (eq. 3, 4)

    Only e^{(0)} is trained. Called on ids it looks up e as `refresh` left it; losses
    ask `propagate`, whose cost is that of the whole graph. The graph is a weight that
    is not trained, so that a file of the model holds it: users and then items are its
    nodes, and the neighbours of node v are `neighbours[offsets[v]:offsets[v + 1]]`.

    Args:
        num_users, num_items: Numbers of ids, those that stand for none included.
        num_edges: Distinct pairs of a user and an item.
        dim: Width of a vector.
        num_layers: K.
        normalize: Whether e is divided by its length.
    Call arguments:
        ids: `(batch,)`.
        of_items: Whether they are of items, not of users.
    Returns:
        `(batch, dim)`, float32.
    """

    offsets: keras.Variable
    nodes: keras.Variable

    def __init__(
        self,
        num_users: int,
        num_items: int,
        num_edges: int,
        dim: int,
        num_layers: int = 3,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_users = num_users
        self.num_items = num_items
        self.num_edges = num_edges
        self.dim = dim
        self.num_layers = num_layers
        self.normalize = normalize
        self.unit = UnitLength(name="unit")

    def build(self, *_: Any) -> None:
        nodes, ends = self.num_users + self.num_items, 2 * self.num_edges
        self.embeddings = self.add_weight(
            shape=(nodes, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
            name="embeddings",
        )
        self.vectors = self.add_weight(
            shape=(nodes, self.dim),
            initializer="zeros",
            trainable=False,
            name="vectors",
        )
        for name, size in (("offsets", nodes + 1), ("nodes", ends)):
            setattr(self, name, self._integers(name, size))
        self.neighbours = self._integers("neighbours", ends)

    def _integers(self, name: str, size: int) -> keras.Variable:
        return self.add_weight(
            shape=(size,),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            autocast=False,
            name=name,
        )

    def connect(self, users: np.ndarray, items: np.ndarray) -> None:
        """Takes the edges, `num_edges` distinct pairs."""
        ends = np.concatenate([users, items + self.num_users])
        others = np.concatenate([items + self.num_users, users])
        order = np.lexsort((others, ends))
        degrees = np.bincount(ends, minlength=self.num_users + self.num_items)
        self.offsets.assign(np.cumsum([0, *degrees]).astype("int32"))
        self.nodes.assign(ends[order].astype("int32"))
        self.neighbours.assign(others[order].astype("int32"))
        self.refresh()

    def refresh(self) -> None:
        self.vectors.assign(ops.stop_gradient(self.propagate()))

    def call(self, ids: Tensor, of_items: bool = False) -> Tensor:
        return gather_rows(self.vectors, ids + self.num_users if of_items else ids)

    def num_ids(self, of_items: bool = False, **_: Any) -> int:
        """Returns how many ids of users or items there are."""
        return self.num_items if of_items else self.num_users

    def compute_output_spec(
        self, ids: Tensor, of_items: bool = False
    ) -> keras.KerasTensor:
        return keras.KerasTensor((*ids.shape, self.dim), "float32")

    def propagate(self, jit: bool = False) -> Tensor:
        """Returns e of all nodes, `(num_users + num_items, dim)`.

        Args:
            jit: Whether it is to be compiled by XLA.
        """
        offsets = ops.convert_to_tensor(self.offsets)
        degree = ops.cast(offsets[1:] - offsets[:-1], "float32")
        share = ops.where(degree > 0, ops.rsqrt(ops.maximum(degree, 1)), 0)
        share = ops.expand_dims(share, 1)
        sum_of_neighbours = self._sum_of_neighbours(jit)
        layer = total = ops.convert_to_tensor(self.embeddings)
        for _ in range(self.num_layers):
            layer = share * sum_of_neighbours(share * layer)
            total = total + layer
        mean = total / (self.num_layers + 1)
        return self.unit(mean) if self.normalize else mean

    def _sum_of_neighbours(self, jit: bool) -> Callable[[Tensor], Tensor]:
        """The product with the adjacency matrix."""
        nodes, neighbours = (
            ops.convert_to_tensor(ends) for ends in (self.nodes, self.neighbours)
        )
        number = self.num_users + self.num_items
        if keras.backend.backend() != "tensorflow" or jit or not self.num_edges:
            return lambda x: ops.segment_sum(
                ops.take(x, neighbours, axis=0), nodes, num_segments=number
            )
        import tensorflow as tf

        # A tenth of the time of gathering and adding, which write all edges' vectors.
        matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
            indices=tf.cast(tf.stack([nodes, neighbours], axis=1), "int64"),
            values=tf.ones(2 * self.num_edges),
            dense_shape=[number, number],
        )

        def product(x: Tensor) -> Tensor:
            summed: Tensor = tf.raw_ops.SparseMatrixMatMul(a=matrix, b=x)
            return summed

        # The matrix is symmetric: what goes back is the same product.
        return tf.custom_gradient(lambda x: (product(x), product))  # type: ignore[no-any-return]

    def strangers(
        self,
        users: Tensor,
        num: int | None,
        reserved: int,
        seed: keras.random.SeedGenerator,
    ) -> tuple[Tensor, Tensor]:
        """Draws, for each user, items that are no neighbours, each of them alike.

        The items a user has not chosen are in order; the r-th of them is `reserved + r`
        and one more for each chosen item up to there. No draw is thrown away.

        Args:
            users: `(batch,)`.
            num: Draws of each; `None` means all such items, each once.
            reserved: Ids below it are no items.
            seed: Generator.

        Returns:
            Ids and which of them are there, `(batch, num)`, int32 and bool.
        """
        users = ops.expand_dims(users, 1)
        start = gather_rows(self.offsets, users)
        degree = gather_rows(self.offsets, users + 1) - start
        left = self.num_items - reserved - degree
        if num is None:
            r = ops.arange(self.num_items - reserved, dtype="int32")
            r = ops.expand_dims(r, 0) + ops.zeros_like(users)
        else:
            shape = (ops.shape(users)[0], num)
            u = keras.random.uniform(shape, dtype="float32", seed=seed)
            r = ops.cast(u * ops.cast(left, "float32"), "int32")
            r = ops.minimum(r, left - 1)  # of a product rounded up; -1 if none is left
        low, high = ops.zeros_like(r), degree + ops.zeros_like(r)
        for _ in range(int(self.num_items).bit_length()):  # by halves: how many to pass
            middle = (low + high) // 2
            place = ops.minimum(start + middle, 2 * self.num_edges - 1)
            item = gather_rows(self.neighbours, place) - self.num_users
            passed = (low < high) & (item - reserved - middle <= r)
            low = ops.where(passed, middle + 1, low)
            high = ops.where(passed, high, middle)
        there = (r >= 0) & (r < left)
        return ops.where(there, reserved + r + low, reserved), there
