"""AFM: Attentional Factorization Machines.

Xiao et al., IJCAI 2017, https://arxiv.org/abs/1708.04617 (figure 1, eq. 2-7)

    fields ──┬─> one weight per value ──────────────> first order ──┐
             └─> embeddings ─> products of pairs ─> attention ─(+)──> sigmoid
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.interaction.pairs import pair_embeddings
from recsys.layers.normalization import make_dropout
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Shape, Tensor

__all__ = ["Field", "Task", "afm"]


class PairAttention(Layer):
    r"""Pools the products of pairs by an attention network (eq. 4-6).

        p_ij = v_i * v_j
        a_ij = softmax over the pairs of h^T ReLU(W p_ij + b)
        pooled = \sum_{i<j} a_ij p_ij

    Args:
        units: Width of the attention network.
        l2_reg: Penalty on W.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, dim)`.
    Raises:
        ValueError: If there is one embedding, and no pair.
    """

    def __init__(self, units: int, l2_reg: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.l2_reg = l2_reg

    def build(self, input_shape: Sequence[Shape]) -> None:
        if len(input_shape) < 2:
            raise ValueError(
                f"Layer {self.name!r}: there must be two fields with embeddings to "
                f"form a pair. Received: {len(input_shape)}"
            )
        same = {"dtype": self.dtype_policy}
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        self.hidden = keras.layers.Dense(
            self.units, "relu", kernel_regularizer=regularizer, name="hidden", **same
        )
        self.score = keras.layers.Dense(1, use_bias=False, name="score", **same)
        self.hidden.build((None, None, input_shape[0][-1]))
        self.score.build((None, None, self.units))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        left, right = pair_embeddings(inputs)
        pairs = left * right
        score = self.score(self.hidden(pairs))  # (num_pairs, batch, 1)
        # Keras' softmax warns of the single pair that two fields have.
        attention = ops.exp(score - ops.logsumexp(score, axis=0, keepdims=True))
        return ops.sum(attention * pairs, axis=0)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


@factory("one_dim")
def afm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    attention_units: int = 16,
    dropout: float = 0.0,
    l2_reg: float = 0.0,
) -> Model:
    """Builds AFM: a factorization machine that learns how much each pair counts.

    Memory and time grow with the number of pairs of fields.

    Parameters: `sum of V (d + 1)` over the tables, one bias, `d t + 2 t` for attention
    of width t, and d for the projection.

    Args:
        fields: The fields, all of one `dim`. Several values and histories are averaged.
        task: The task; of a multiclass one each class has weights of its own.
        attention_units: Width of the attention network.
        dropout: Fraction of the pooled vector dropped, in [0, 1).
        l2_reg: Penalty on the kernel of the attention network.

    Raises:
        ValueError: If the fields differ in `dim`, or form no pair.
    """
    embed = FieldEmbedder(fields)
    attention = PairAttention(attention_units, l2_reg, name="dnn_attention")
    pooled = attention(embed(fields).of_one_dim())
    if dropout:
        pooled = make_dropout(dropout, name="dnn_dropout")(pooled)
    second_order = keras.layers.Dense(
        task.num_classes, use_bias=False, dtype="float32", name="dnn_projection"
    )(pooled)
    logits = [embed.linear(fields, task.num_classes), second_order]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="afm")
