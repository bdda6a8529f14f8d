"""BST: Behavior Sequence Transformer for E-commerce Recommendation in Alibaba.

Chen et al., DLP-KDD 2019, https://arxiv.org/abs/1905.06874 (figure 1, eq. 1-6)

    user, context, item ─> embeddings ────────────────────────────┐
                                + time 0 ┐                        v
    history ─> embeddings + times ───────┴─> transformer ──────> MLP ─> sigmoid
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.inputs.ending import mlp_model
from recsys.layers import normalization
from recsys.layers.attention import MultiHeadAttention
from recsys.layers.base import Layer
from recsys.layers.masking import masked_sum
from recsys.layers.transformer import FeedForward
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "bst"]

OUTPUTS = ("target", "mean", "concat")


class BehaviourTransformer(Layer):
    r"""A transformer over the behaviours and, behind them, the target (eq. 1-6).

        S' = LN(S + dropout(MultiHead(S)))
        F = LN(S' + dropout(leaky_relu(S' W_1 + b_1) W_2 + b_2))

    of S = e + P[time], the target having time 0.

    Parameters of width d: `4 d^2 + 4 d` of the attention, `2 d dff + dff + d` of the
    feed-forward part, `4 d` of the norms, for each block, and `num_times d`.

    Masking: behaviours that are not `valid` are seen by nobody.

    Args:
        num_times: Rows of P.
        num_blocks: How often; the paper found one to be best.
        num_heads: Heads.
        dff: Width inside the feed-forward part; default: four times d.
        dropout: Fraction dropped in training.
        output: `"target"`: the last vector; `"mean"`: of all; `"concat"`: all side by
            side, zeros for padding (the paper).
    Call arguments:
        inputs: `[target, history]`, `(batch, d)` and `(batch, length, d)`.
        valid: `(batch, length)`, bool.
        times: `(batch, length)`, ids of P.
    Returns:
        `(batch, d)`, or `(batch, (length + 1) d)`.
    Raises:
        ValueError: If the output is unknown.
    """

    held = {"output": "output_kind"}  # Keras has an attribute `output`

    def __init__(
        self,
        num_times: int,
        num_blocks: int = 1,
        num_heads: int = 8,
        dff: int | None = None,
        dropout: float = 0.0,
        output: str = "target",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if output not in OUTPUTS:
            raise ValueError(
                f"Layer {self.name!r}: output must be one of {OUTPUTS}. "
                f"Received: output={output!r}"
            )
        self.num_times = num_times
        self.num_blocks = num_blocks
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.output_kind = output

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = input_shape[1][-1]
        same = {"dtype": self.dtype_policy}
        self.times = self.add_weight(
            shape=(self.num_times, width), initializer="uniform", name="times"
        )
        self.attentions, self.drops, self.norms, self.ffns = [], [], [], []
        for i in range(self.num_blocks):
            attention = MultiHeadAttention(
                num_heads=self.num_heads, name=f"attention_{i}", **same
            )
            self.attentions.append(attention)
            self.drops.append(
                normalization.make_dropout(self.dropout, name=f"dropout_{i}", **same)
            )
            self.norms.append(normalization.layer_norm(name=f"norm_{i}", **same))
            self.ffns.append(
                FeedForward(
                    width,
                    self.dff or 4 * width,
                    self.dropout,
                    "leaky_relu",
                    name=f"ffn_{i}",
                    **same,
                )
            )
            for layer in (attention, self.norms[-1], self.ffns[-1]):
                layer.build((input_shape[0][0], 1, width))

    def call(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor,
        times: Tensor,
        training: bool = False,
    ) -> Tensor:
        target, history = inputs
        times = ops.pad(times, ((0, 0), (0, 1)))
        valid = ops.concatenate([valid, ops.ones_like(valid[:, :1])], axis=1)
        s = ops.concatenate([history, ops.expand_dims(target, 1)], axis=1)
        s = s + ops.take(self.times, times, axis=0)
        for attention, drop, norm, ffn in zip(
            self.attentions, self.drops, self.norms, self.ffns, strict=True
        ):
            s = norm(s + drop(attention(s, valid=valid), training=training))
            s = ffn(s, training=training)
        if self.output_kind == "target":
            return s[:, -1]
        if self.output_kind == "mean":
            count = ops.sum(ops.cast(valid, s.dtype), axis=1, keepdims=True)
            return masked_sum(s, valid) / count
        s = ops.where(ops.expand_dims(valid, -1), s, 0)
        return ops.reshape(s, (-1, s.shape[1] * s.shape[2]))

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        batch, length, width = input_shape[1]
        return (batch, width * (length + 1 if self.output_kind == "concat" else 1))


@factory("history", may_be_zero=("num_blocks",))
def bst(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (1024, 512, 256),
    activation: Activation = "leaky_relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    num_blocks: int = 1,
    num_heads: int = 8,
    dff: int | None = None,
    output: str = "target",
) -> Model:
    """Builds BST: the target is the last step of the sequence of behaviours.

    Time is a history field of the group with `role="time"`, or else the place counted
    back from the target. Each group has a transformer of its own.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP and in the transformer,
            in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        num_blocks, num_heads, dff: Arguments of `BehaviourTransformer`; blocks may
            be 0.
        output: What of the transformer the MLP gets: `"target"`, `"mean"` or, as in
            the paper, `"concat"`, whose width is that of the whole history and which
            minds on which side of it the padding is.

    Raises:
        ValueError: If there is no history or no target of its width, or the output is
            unknown.
    """
    embed = FieldEmbedder(fields)
    histories = embed.histories(fields, apart=["time"], needed_by="bst")
    parts = [embed([f for f in fields if f.belong != "history"]).concat()]
    for history in histories:
        transformer = BehaviourTransformer(
            history.num_times,
            num_blocks,
            num_heads,
            dff,
            dropout,
            output,
            name=layer_name(f"dnn_transformer_{history.group}"),
        )
        parts.append(
            transformer(
                [history.target, history.sequence],
                valid=history.valid,
                times=history.times,
            )
        )
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("bst", embed, concat(parts), task, mlp)
