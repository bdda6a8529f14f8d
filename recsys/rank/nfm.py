"""NFM: Neural Factorization Machines for Sparse Predictive Analytics.

He and Chua, SIGIR 2017, https://arxiv.org/abs/1708.05027 (figure 2, eq. 3-6)

    fields ──┬─> one weight per value ──────────────> first order ──┐
             └─> embeddings ─> sum of products of pairs ─> MLP ─(+)──> sigmoid
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.layers.normalization import batch_norm, make_dropout
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "Task", "nfm"]


class BiInteraction(Layer):
    r"""Pools the products of all pairs of embeddings into one vector (eq. 4).

        \sum_{i<j} v_i * v_j = 1/2 [(\sum_i v_i)^2 - \sum_i v_i^2], elementwise

    Computed in float32: the difference cancels in half precision. One field has no
    pair and gives zeros.

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, dim)`, float32.
    Example:
    >>> BiInteraction()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[3., 8.]], dtype=float32)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        total = sum(inputs[1:], start=inputs[0])
        squares = [ops.square(v) for v in inputs]
        return 0.5 * (ops.square(total) - sum(squares[1:], start=squares[0]))


@factory("one_dim")
def nfm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    pooled_dropout: float = 0.0,
    hidden_units: Sequence[int] = (64,),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = True,
) -> Model:
    """Builds NFM: an MLP on the pooled products of pairs.

    Parameters: `sum of V (d + 1)` over the tables, one bias, the MLP from d with a last
    layer without bias, and `2 d` for the normalised pool.

    Args:
        fields: The fields, all of one `dim`. Several values and histories are averaged.
        task: The task; of a multiclass one each class has weights of its own.
        pooled_dropout: Fraction of the pooled vector dropped, in [0, 1).
        hidden_units: Sizes of the MLP; none makes it a machine with trained weights of
            the dimensions.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the pooled vector and the MLP are normalised.

    Raises:
        ValueError: If the fields differ in `dim`.
    """
    embed = FieldEmbedder(fields)
    first_order = embed.linear(fields, task.num_classes)
    pooled = BiInteraction(name="dnn_pool")(embed(fields).of_one_dim())
    if use_bn:
        pooled = batch_norm(name="dnn_pool_norm")(pooled)
    if pooled_dropout:
        pooled = make_dropout(pooled_dropout, name="dnn_pool_dropout")(pooled)
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        use_bias=False,
        name="dnn_mlp",
    )
    logits = [first_order, tower(pooled)]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="nfm")
