r"""LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation.

He et al., SIGIR 2020, https://arxiv.org/abs/2002.02126 (figure 2, eq. 3-8, 11, 15)

    users, items ──> e^(0) ─> graph ─> e^(1) ─> graph ─> e^(2) ─> graph ─> e^(3)
                       └────────────────┴───────────────┴───────────────┴──> mean
    user ──> its mean ──┐
                        <., .> ─> BPR, or softmax
    item ──> its mean ──┘

The softmax over items of normalised vectors, in place of BPR, is Wu et al., TOIS 2024,
https://arxiv.org/abs/2201.02327 (eq. 4, section 5).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature import Field
from recsys.layers.elementary import UnitLength
from recsys.layers.embedding import gather_rows
from recsys.layers.losses import Derived
from recsys.layers.matching.match_loss import MatchLoss
from recsys.layers.matching.sampled import SampledBPR
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.match._towers import Towers, user_id
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel

__all__ = ["Field", "lightgcn"]

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

    def _integers(self, name: str, size: int) -> Any:
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

    def call(self, ids: Any, of_items: bool = False) -> Any:
        return gather_rows(self.vectors, ids + self.num_users if of_items else ids)

    def num_ids(self, of_items: bool = False, **_: Any) -> int:
        """Returns how many ids of users or items there are."""
        return self.num_items if of_items else self.num_users

    def compute_output_spec(self, ids: Any, of_items: bool = False) -> Any:
        return keras.KerasTensor((*ids.shape, self.dim), "float32")

    def propagate(self, jit: bool = False) -> Any:
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

    def _sum_of_neighbours(self, jit: bool) -> Callable[[Any], Any]:
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

        def product(x: Any) -> Any:
            return tf.raw_ops.SparseMatrixMatMul(a=matrix, b=x)

        # The matrix is symmetric: what goes back is the same product.
        return tf.custom_gradient(lambda x: (product(x), product))  # type: ignore[no-any-return]

    def strangers(
        self, users: Any, num: int | None, reserved: int, seed: Any
    ) -> tuple[Any, Any]:
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


class GraphLoss(MatchLoss):
    r"""A loss of the vectors of a graph, and a penalty on what is trained.

        penalty = l2_reg / 2 (|e_u^{(0)}|^2 + |e_i^{(0)}|^2)

    (The paper's is on all of e^{(0)}; that on the rows of the batch is the authors'.)

    Args:
        vocabulary_size, num_negatives, reserved, temperature, weight, sample_weight:
            Of `SampledBPR` or `SampledSoftmax`.
        user: Column of the user's id.
        l2_reg: Weight of the penalty.
    Call arguments and returns: as `MatchLoss`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        user: str,
        num_negatives: int | None = 1,
        l2_reg: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, num_negatives=num_negatives, **kwargs)
        self.user = user
        self.l2_reg = l2_reg

    def bind(self, model: Any) -> None:
        """Finds the graph, and whether its products are to be compiled."""
        super().bind(model)

        def graph() -> tuple[InteractionGraph, bool]:
            return model.get_layer(GRAPH), model.jit_compile

        self._graph = graph

    def rows(
        self, user: Any, item: Any, ids: Any, x: Mapping[str, Any], training: bool
    ) -> Any:
        graph, jit = self._graph()
        vectors = graph.propagate(jit)
        users = ops.cast(ops.reshape(x[self.user], (-1,)), "int32")
        loss = self.of_vectors(graph, vectors, users, ids)
        for nodes in (users, ids[:, 0] + graph.num_users):
            loss += self.penalty(graph, nodes)
        return loss

    def penalty(self, graph: InteractionGraph, nodes: Any) -> Any:
        """Returns what nodes cost, `nodes.shape`."""
        e = ops.take(graph.embeddings, nodes, axis=0)
        return self.l2_reg / 2 * ops.sum(ops.square(e), axis=-1)

    def of_vectors(
        self, graph: InteractionGraph, vectors: Any, users: Any, ids: Any
    ) -> Any:
        """Returns the loss of each row but for users' and items' penalty, `(batch,)`.

        Args:
            graph: Of the vectors.
            vectors: Of all nodes, `(nodes, dim)`.
            users: `(batch,)`.
            ids: Of the items, `(batch, 1)`.
        """
        raise NotImplementedError


class GraphBPR(GraphLoss, SampledBPR):
    r"""BPR of the vectors of a graph (eq. 15).

        loss = mean_j -log \sigma(<e_u, e_i - e_j> / temperature)
               + l2_reg / 2 (|e_u^{(0)}|^2 + |e_i^{(0)}|^2 + mean_j |e_j^{(0)}|^2)

    where j are items the user has not chosen.

    Args, call arguments and returns: of `GraphLoss`.
    """

    def of_vectors(
        self, graph: InteractionGraph, vectors: Any, users: Any, ids: Any
    ) -> Any:
        drawn, counts = graph.strangers(
            users, self.num_negatives, self.reserved, self.seed_generator
        )
        counts &= drawn != ids
        nodes = users, ids[:, 0] + graph.num_users, drawn + graph.num_users
        u, i, j = (ops.take(vectors, n, axis=0) for n in nodes)
        positive = ops.sum(u * i, axis=1) / self.temperature
        negative = ops.matmul(j, ops.expand_dims(u, 2))[..., 0] / self.temperature
        loss = self.of_scores(positive, negative, counts)

        count = ops.maximum(ops.sum(ops.cast(counts, "float32"), axis=1), 1)
        penalties = ops.where(counts, self.penalty(graph, nodes[2]), 0)
        return loss + ops.sum(penalties, axis=1) / count


class GraphSoftmax(GraphLoss, SampledSoftmax):
    r"""Softmax over the items, of the vectors of a graph.

        loss = -log softmax_i(<e_u, e_i> / temperature)
               + l2_reg / 2 (|e_u^{(0)}|^2 + |e_i^{(0)}|^2)

    Args, call arguments and returns: of `GraphLoss`.
    """

    def of_vectors(
        self, graph: InteractionGraph, vectors: Any, users: Any, ids: Any
    ) -> Any:
        def of_items(ids: Any) -> Any:
            return ops.take(vectors, ids + graph.num_users, axis=0)

        user = ops.take(vectors, users, axis=0)
        return self.among(user, of_items(ids[:, 0]), ids, of_items)


LOSSES: dict[str, type[GraphLoss]] = {"bpr": GraphBPR, "softmax": GraphSoftmax}


@factory
def lightgcn(
    fields: Sequence[Field],
    num_layers: int = 3,
    l2_reg: float = 1e-4,
    *,
    interactions: tuple[Any, Any] | None = None,
    num_negatives: int | None = 1,
    loss: str = "bpr",
    temperature: float = 1.0,
    normalize: bool = False,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds LightGCN: vectors of users and items, averaged over who chose what.

    Rows are pairs of a user and an item it chose, e.g. the interactions themselves.
    Where the authors' sampler draws users alike, and then one of their items, give
    `sample_weight` a column in proportion to `1 / (items of the user)`.

    Each step costs a product with the whole graph for each layer, there and back,
    whatever the size of the batch, as in the paper: choose large batches. Predictions
    look up vectors that are computed once, when `fit` ends and when `predict`,
    `evaluate`, `save` or `export` begins; `model(x)` sees those of the last time.

    Tables start as N(0, 0.1^2), as the authors' do. An id without interactions keeps
    `1 / (num_layers + 1)` of the vector it was given.

    Args:
        fields: The item, and the user; others are not used. Both have one dim.
        num_layers: Products with the graph; 0 is matrix factorization.
        l2_reg: Penalty on the rows of the batch, see `GraphBPR` and `GraphSoftmax`.
        interactions: User ids and item ids of the training data, `(pairs,)` each. A
            pair that is repeated counts once. Nothing of the test data may be in it.
        num_negatives: Items drawn for each row, none of the user's own; for the
            softmax for each batch, any. `None` is all.
        loss: `"bpr"` or `"softmax"`. On vectors that are normalised, with a low
            temperature, the softmax over all items is better and much faster to train.
        temperature: Divides the scores in training.
        normalize: Whether the averaged vectors have length 1 (not in the paper).
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no user of one id as wide as the item, or there are no
            interactions or they have other ids, or the loss is unknown.
    """
    if loss not in LOSSES:
        raise ValueError(
            f"lightgcn: loss must be one of {tuple(LOSSES)}. Received: loss={loss!r}"
        )
    towers = Towers(fields, "lightgcn")
    item = towers.item
    user = user_id(towers, "lightgcn", item.dim)
    users, items = _distinct(interactions, user, item)
    graph = InteractionGraph(
        user.vocabulary_size,
        item.vocabulary_size,
        len(users),
        item.dim,
        num_layers,
        normalize,
        name=GRAPH,
    )
    user_vector = graph(towers.embed.column(user.name))
    item_vector = graph(towers.item_ids, of_items=True)
    graph.connect(users, items)
    of_pairs = LOSSES[loss](
        item.vocabulary_size,
        user.name,
        num_negatives,
        l2_reg,
        temperature=temperature,
        reserved=item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model("lightgcn", user_vector, item_vector, of_pairs)


def _distinct(
    interactions: tuple[Any, Any] | None, user: Field, item: Field
) -> tuple[np.ndarray, np.ndarray]:
    if interactions is None:
        raise ValueError(
            "lightgcn needs interactions=(user ids, item ids), the pairs of the "
            "training data. Received: interactions=None"
        )
    users, items = (np.asarray(ids).astype("int64") for ids in interactions)
    if users.ndim != 1 or users.shape != items.shape or not len(users):
        raise ValueError(
            "lightgcn: interactions must be user ids and item ids, as many, (pairs,). "
            f"Received: shapes {users.shape} and {items.shape}"
        )
    for field, ids, first in ((user, users, 0), (item, items, item.reserved)):
        if ids.min() < first or ids.max() >= field.vocabulary_size:
            raise ValueError(
                f"Field {field.name!r}: ids of interactions must be in [{first}, "
                f"{field.vocabulary_size}). Received: {ids.min()} to {ids.max()}"
            )
    pairs = np.unique(users * item.vocabulary_size + items)
    return pairs // item.vocabulary_size, pairs % item.vocabulary_size
