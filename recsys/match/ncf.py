"""NCF, GMF, MLP, NeuMF: Neural Collaborative Filtering.

He et al., WWW 2017, https://arxiv.org/abs/1708.05031 (figures 2-3, eq. 7-12)

    user ──┬─> p ───┐
    item ──┼─> q ───┴─> p * q ────────────────┐
           │                                  h . [., .] ─> sigmoid
    user ──┼─> p' ──┐                         │
    item ──┴─> q' ──┴─> concat ─> MLP, ReLU ──┘
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.feature import Field
from recsys.inputs import concat
from recsys.layers.base import Layer
from recsys.layers.matching.sampled import SampledCrossentropy
from recsys.layers.mlp import Tower
from recsys.match._towers import Towers, user_id
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "ncf"]

KINDS = ("neumf", "mlp", "gmf")


class ByElement(Layer):
    """Multiplies each element of a vector by a weight: h of GMF.

    Call arguments:
        inputs: `(batch, dim)`.
    """

    def build(self, input_shape: Shape) -> None:
        self.h = self.add_weight(shape=input_shape[-1:], initializer="ones", name="h")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.h


class NeuralCrossentropy(SampledCrossentropy):
    r"""Cross-entropy of a score that an MLP computes from both vectors (eq. 7, 12).

        s = \sum_{d < num_factors} u_d v_d + h . MLP([u, v] behind num_factors)

    Args:
        vocabulary_size, num_negatives, ...: Of `NegativesOfRows`.
        num_factors: Elements at the start of both vectors that are multiplied.
        hidden_units, activation, dropout, l2_reg: Layers of the MLP.
    Call arguments and returns: as `MatchLoss`.
    """

    is_dot_product = False

    def __init__(
        self,
        *args: Any,
        num_factors: int = 0,
        hidden_units: Sequence[int] = (64, 32, 16, 8),
        activation: Activation = "relu",
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.num_factors = num_factors
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.dropout = dropout
        self.l2_reg = l2_reg
        self.mlp = Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bias=False,
            name="mlp",
            dtype="float32",
        )

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        width = sum(shape[-1] - self.num_factors for shape in input_shape[:2])
        self.mlp.build((input_shape[0][0], 1, width))

    def call(self, inputs: Sequence[Tensor], valid: Tensor | None = None) -> Tensor:
        user, item, *_ = inputs
        self.kept.put((*inputs, valid))
        return self.scores(user, ops.expand_dims(item, 1), training=False)

    def scores(self, user: Tensor, vectors: Tensor, training: bool) -> Tensor:
        n = self.num_factors
        products = super().scores(user[:, :n], vectors[..., :n], training)
        each = ops.expand_dims(ops.zeros_like(products), 2)  # pair
        pairs = [each + ops.expand_dims(user[:, n:], 1), each + vectors[..., n:]]
        deep = self.mlp(ops.concatenate(pairs, axis=-1), training=training)
        return products + deep[..., 0]


@factory("item", "user")
def ncf(
    fields: Sequence[Field],
    kind: str = "neumf",
    hidden_units: Sequence[int] = (64, 32, 16, 8),
    num_factors: int = 8,
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    *,
    num_negatives: int | None = 4,
    unseen: str | None = None,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds NCF: a matrix factorization, an MLP, or both on tables of their own.

    Only `"gmf"` is a dot product, of `p * h` and q: the others rank pairs of users and
    items with `predict`, and have no `user_model`. h starts at one, which makes GMF a
    matrix factorization.

    Args:
        fields: The item and the user; others are not used. Their `dim` is the width of
            p' and q'.
        kind: `"neumf"`, or one of its parts: `"mlp"` or `"gmf"`.
        hidden_units: Sizes of the layers of the MLP.
        num_factors: Width of p and q.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind its layers, in [0, 1).
        l2_reg: Penalty on their kernels.
        num_negatives: Items drawn, anew in each step; without `unseen` for each batch.
        unseen: Column of `x` with items of the user that are no negatives.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item or no user of one id, or no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"ncf: kind must be one of {KINDS}. Received: kind={kind!r}")
    towers = Towers(fields, "ncf")
    users: list[Any] = []
    items: list[Any] = []
    for field, vectors in ((user_id(towers, "ncf"), users), (towers.item, items)):
        if kind != "mlp":
            vectors.append(towers.embed.lookup(field, "embedding_gmf__", num_factors))
        if kind != "gmf":
            vectors.append(towers.embed([field]).concat())
    if kind != "mlp":
        users[0] = ByElement(name="dnn_h")(users[0])
    common: dict[str, Any] = {
        "reserved": towers.item.reserved,
        "unseen": unseen,
        "sample_weight": sample_weight,
    }
    size = towers.item.vocabulary_size
    loss = (
        SampledCrossentropy(size, num_negatives, name="score", **common)
        if kind == "gmf"
        else NeuralCrossentropy(
            size,
            num_negatives,
            num_factors=0 if kind == "mlp" else num_factors,
            hidden_units=hidden_units,
            activation=activation,
            dropout=dropout,
            l2_reg=l2_reg,
            name="dnn_score",
            **common,
        )
    )
    return towers.model("ncf", concat(users), concat(items), loss)
