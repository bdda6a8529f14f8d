"""Wukong: Towards a Scaling Law for Large-Scale Recommendation.

Zhang et al., ICML 2024, https://arxiv.org/abs/2403.02545 (figure 2, eq. 1-7)

    embeddings X ─┬─> X X^T Y ─> LayerNorm ─> MLP ──┐
                  ├─> W X ─────────────────────────(concat)─(+)─> LayerNorm ─> X
                  └─────────────────────────────────────────┘
    last X ─> MLP ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import FeedForwardLayer, Tower
from recsys.layers.normalization import layer_norm
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "wukong"]


class WukongLayer(Layer):
    """One layer: factorization machines beside a linear compression (section 3.3).

        FM(X)  = MLP(LN(flat(X X^T Y))) as num_fm vectors
        Lin(X) = W X, num_linear vectors
        X'     = LN([FM(X), Lin(X)] + R X)

    X (X^T Y) is computed from the right: the cost is linear in the number of vectors.
    R is the identity if X' has as many vectors as X, else trained.

    Args:
        num_fm: Vectors from the factorization machines.
        num_linear: Vectors from the linear compression.
        rank: Columns of Y, the compressed side of the products.
        hidden_units: Sizes of the MLP before its last layer, which has no activation.
        activation: Activation of the MLP.
    Call arguments:
        inputs: `(batch, num_vectors, dim)`.
    Returns:
        `(batch, num_fm + num_linear, dim)`.
    """

    def __init__(
        self,
        num_fm: int,
        num_linear: int,
        rank: int,
        hidden_units: Sequence[int] = (),
        activation: Activation = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_fm = num_fm
        self.num_linear = num_linear
        self.rank = rank
        self.hidden_units = hidden_units
        self.activation = activation
        same = {"dtype": self.dtype_policy}
        self.mlp = FeedForwardLayer(hidden_units, activation, name="mlp", **same)
        self.norm_products = layer_norm(name="norm_fm", **same)
        self.norm = layer_norm(name="norm", **same)

    def build(self, input_shape: Shape) -> None:
        n, dim = input_shape[1:]
        total = self.num_fm + self.num_linear
        self.y = self.add_weight(
            shape=(n, self.rank), initializer="glorot_uniform", name="y"
        )
        self.w = self.add_weight(
            shape=(self.num_linear, n), initializer="glorot_uniform", name="w"
        )
        if n != total:
            self.r = self.add_weight(
                shape=(total, n), initializer="glorot_uniform", name="r"
            )
        self.same_size = n == total
        flat = (input_shape[0], n * self.rank)
        self.norm_products.build(flat)
        self.mlp.build(flat)
        width = self.mlp.compute_output_shape(flat)[-1]
        self.last = keras.layers.Dense(
            self.num_fm * dim, name="last", dtype=self.dtype_policy
        )
        self.last.build((None, width))
        self.norm.build((None, total, dim))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        n, dim = inputs.shape[1:]
        by_column = ops.transpose(inputs, (0, 2, 1))  # (batch, dim, n)
        products = ops.matmul(inputs, ops.matmul(by_column, self.y))
        flat = self.norm_products(ops.reshape(products, (-1, n * self.rank)))
        fm = self.last(self.mlp(flat, training=training))
        fm = ops.reshape(fm, (-1, self.num_fm, dim))
        linear = ops.matmul(self.w, inputs)
        shortcut = inputs if self.same_size else ops.matmul(self.r, inputs)
        return self.norm(ops.concatenate([fm, linear], axis=1) + shortcut)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_fm + self.num_linear, input_shape[2])


@factory("one_dim", may_be_zero=("num_layers", "num_linear"))
def wukong(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_layers: int = 2,
    num_fm: int = 16,
    num_linear: int = 16,
    rank: int = 8,
    fm_hidden_units: Sequence[int] = (64,),
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds Wukong: stacked factorization machines, each on the vectors of the last.

    Parameters of a layer on n vectors: `n rank` of Y, `2 n rank` of the inner norm, the
    MLP from `n rank` to `num_fm d`, `num_linear n`, `2 d`, and `(num_fm + num_linear)
    n` where the number of vectors changes.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to the last MLP.
        task: The task.
        num_layers: Layers, may be 0; each doubles the degree of the interactions.
        num_fm: Vectors a layer makes from products.
        num_linear: Vectors a layer makes by linear compression, may be 0.
        rank: Columns of Y, the compressed side of the products.
        fm_hidden_units: Sizes of the MLPs in the layers.
        hidden_units: Sizes of the last MLP. The default is this library's; the paper
            has others.
        activation: Activation of the MLPs.
        dropout: Fraction dropped behind each layer of the last MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the last MLP.
        use_bn: Whether the last MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim`.
    """
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    x = features.stack()
    for i in range(num_layers):
        layer = WukongLayer(
            num_fm, num_linear, rank, fm_hidden_units, activation, name=f"dnn_layer_{i}"
        )
        x = layer(x)
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )
    logit = tower(concat([keras.layers.Flatten()(x), *features.raw()]))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="wukong")
