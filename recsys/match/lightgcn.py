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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from recsys.feature import Field
from recsys.layers.graph import GRAPH, InteractionGraph
from recsys.layers.matching.match_loss import MatchLoss
from recsys.layers.matching.sampled import SampledBPR
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.match._towers import Towers, user_id
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Tensor

__all__ = ["Field", "lightgcn"]


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

    def row_losses(
        self,
        user: Tensor,
        item: Tensor,
        ids: Tensor,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        graph, jit = self._graph()
        vectors = graph.propagate(jit)
        users = ops.cast(ops.reshape(x[self.user], (-1,)), "int32")
        loss = self.of_vectors(graph, vectors, users, ids)
        for nodes in (users, ids[:, 0] + graph.num_users):
            loss += self.penalty(graph, nodes)
        return loss

    def penalty(self, graph: InteractionGraph, nodes: Tensor) -> Tensor:
        """Returns what nodes cost, `nodes.shape`."""
        e = ops.take(graph.embeddings, nodes, axis=0)
        return self.l2_reg / 2 * ops.sum(ops.square(e), axis=-1)

    def of_vectors(
        self, graph: InteractionGraph, vectors: Tensor, users: Tensor, ids: Tensor
    ) -> Tensor:
        """Returns the loss of each row but for users' and items' penalty, `(batch,)`.

        Args:
            graph: Graph of the vectors.
            vectors: Vectors of all nodes, `(nodes, dim)`.
            users: `(batch,)`.
            ids: Ids of the items, `(batch, 1)`.
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
        self, graph: InteractionGraph, vectors: Tensor, users: Tensor, ids: Tensor
    ) -> Tensor:
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
        self, graph: InteractionGraph, vectors: Tensor, users: Tensor, ids: Tensor
    ) -> Tensor:
        def of_items(ids: Tensor) -> Tensor:
            return ops.take(vectors, ids + graph.num_users, axis=0)

        user = ops.take(vectors, users, axis=0)
        return self.among(user, of_items(ids[:, 0]), ids, of_items)


LOSSES: dict[str, type[GraphLoss]] = {"bpr": GraphBPR, "softmax": GraphSoftmax}


@factory("item", "user", "one_dim", "graph", may_be_zero=("num_layers",))
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
    users, items = map(np.asarray, interactions)
    if users.ndim != 1 or users.shape != items.shape or not len(users):
        raise ValueError(
            "lightgcn: interactions must be user ids and item ids, as many, (pairs,). "
            f"Received: shapes {users.shape} and {items.shape}"
        )
    for ids in (users, items):
        if ids.dtype.kind not in "iu":
            raise ValueError(
                f"lightgcn: interactions must be integers. Received: {ids.dtype}"
            )
    for field, ids, first in ((user, users, 0), (item, items, item.reserved)):
        if ids.min() < first or ids.max() >= field.vocabulary_size:
            raise ValueError(
                f"Field {field.name!r}: ids of interactions must be in [{first}, "
                f"{field.vocabulary_size}). Received: {ids.min()} to {ids.max()}"
            )
    users, items = users.astype("int64"), items.astype("int64")
    pairs = np.unique(users * item.vocabulary_size + items)
    return pairs // item.vocabulary_size, pairs % item.vocabulary_size
