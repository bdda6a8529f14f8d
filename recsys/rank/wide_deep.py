"""Wide & Deep: Wide & Deep Learning for Recommender Systems.

Cheng et al., DLRS 2016, https://arxiv.org/abs/1606.07792 (figure 1, eq. 1-3)

    fields ──┬─> one weight per value ────────────────> wide ──┐
             ├─> cross-products ─> one weight per cross ─> wide (+)──> sigmoid
             └─> embeddings ─> concat ─> MLP ─────────> deep ──┘
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.layers.table import Embedding
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "Task", "wide_deep"]


_SPREAD = -1640531535  # 2^32 / golden ratio, as an int32: products wrap around evenly


class CrossProduct(Layer):
    """The id of a combination of ids: the AND of the paper's eq. 1.

    Every combination has an id of its own if there are `num_buckets` ids for them;
    else combinations are hashed and share ids.

    Args:
        vocabulary_sizes: Those of the columns that are combined.
        num_buckets: Ids to give out at most.
    Call arguments:
        inputs: List of ids, each `(batch,)`.
    Returns:
        `(batch,)`, int32, in [0, `size`).
    Example:
    >>> CrossProduct((3, 5))([np.array([1, 2]), np.array([0, 4])]).numpy()
    array([ 5, 14], dtype=int32)
    """

    def __init__(
        self, vocabulary_sizes: Sequence[int], num_buckets: int = 100_000, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.num_buckets = num_buckets
        self.size = min(prod(vocabulary_sizes), num_buckets)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        exact = self.size == prod(self.vocabulary_sizes)
        code = ops.cast(inputs[0], "int32")
        for ids, size in zip(inputs[1:], self.vocabulary_sizes[1:], strict=True):
            code = code * (size if exact else _SPREAD) + ops.cast(ids, "int32")
        return code if exact else ops.mod(code, self.size)

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        return keras.KerasTensor(inputs[0].shape, dtype="int32")


@factory()
def wide_deep(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    crosses: Sequence[Sequence[str]] = (),
    num_buckets: int = 100_000,
    hidden_units: Sequence[int] = (1024, 512, 256),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds Wide & Deep: logistic regression on crosses beside an MLP.

    The paper trains the wide part by FTRL with L1 and the deep part by AdaGrad; so does
    `compile(optimizer={"embedding_linear": FTRL(l1_regularization_strength=0.01),
    "dnn_bias": "ftrl", "default": "adagrad"})`.

    Parameters: `sum of V (d + 1)` over the tables, one weight for each cross, one bias,
    and the MLP.

    Args:
        fields: Fields of both parts.
        task: The task; of a multiclass one each class has weights of its own.
        crosses: Names of the fields of each cross-product, which hold one id each,
            e.g. `[("gender", "category")]`.
        num_buckets: Weights of one cross at most; more combinations are hashed.
        hidden_units: Sizes of the MLP; none leaves the deep part out.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How the deep part pools histories, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If a cross names fewer than two fields, or one that is not a column
            of single ids.
    """
    embed = FieldEmbedder(fields)
    classes = task.num_classes
    logits = [embed.linear(fields, classes)]
    logits += [_cross(embed, fields, names, num_buckets, classes) for names in crosses]
    if hidden_units:
        deep = embed(fields, history_agg, agg_kwargs).concat()
        tower = Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits=classes,
            use_bias=False,
            name="dnn_mlp",
        )
        logits.append(tower(deep))

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="wide_deep")


def _cross(
    embed: FieldEmbedder,
    fields: Sequence[Field],
    names: Sequence[str],
    buckets: int,
    num_logits: int,
) -> Tensor:
    """The first-order logit of one cross-product, `(batch, num_logits)`."""
    single = {
        field.name: field.vocabulary_size
        for field in embed.resolve(fields)
        if field.is_table and field.belong != "history" and field.length == 1
    }
    if len(names) < 2 or not single.keys() >= set(names):
        raise ValueError(
            "A cross must name at least two fields that hold one id each, of "
            f"{sorted(single)}. Received: {tuple(names)}"
        )
    name = "_x_".join(names)
    cross = CrossProduct(
        [single[n] for n in names], buckets, name=layer_name(f"cross_{name}")
    )
    table = Embedding(
        cross.size, num_logits, "zeros", name=layer_name(f"embedding_linear__{name}")
    )
    return table(cross([embed.column(n) for n in names]))
