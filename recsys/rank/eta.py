"""ETA: End-to-End User Behavior Retrieval in Click-Through Rate Prediction Model.

Chen et al., 2021, https://arxiv.org/abs/2108.04468 (figure 2, eq. 1-9)

    user, context, item ─> embeddings ───────────────────────────────┐
                └─> hash ─┐            └────────┐                    v
    long history ─> hash ─┴─> k nearest ─> attention ──────────────> MLP ─> sigmoid
    short history ─────────> DIN's activation unit ──────────────────^
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat, split_histories
from recsys.inputs.ending import mlp_model
from recsys.layers.attention import MultiHeadAttention
from recsys.layers.base import Layer
from recsys.layers.masking import zero_if_empty
from recsys.layers.search import SimHash, TopSteps
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "eta"]


class Agreement(Layer):
    """How many more bits of each behaviour's hash agree with the target's than not.

    The Hamming distance is (bits - agreement) / 2.

    Args:
        num_bits, seed: Arguments of `SimHash`.
    Call arguments:
        inputs: `[target, history]`, `(batch, d)` and `(batch, length, d)`.
    Returns:
        `(batch, length)`, float32, from -num_bits to num_bits.
    """

    def __init__(self, num_bits: int = 64, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_bits = num_bits
        self.seed = seed
        self.hash = SimHash(num_bits, seed, name="hash")

    def build(self, input_shape: Sequence[Shape]) -> None:
        self.hash.build(input_shape[1])

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        target, history = (self.hash(x) for x in inputs)
        return ops.matmul(history, ops.expand_dims(target, -1))[..., 0]

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[1][:2])


class TargetAttention(Layer):
    """Multi-head attention of the target over what was found (eq. 7-9).

    Masking: behaviours that are not `valid` get weight 0; of none the result is zero.

    Args:
        num_heads: Heads.
    Call arguments:
        inputs: `[target, behaviours]`, `(batch, d)` and `(batch, k, d)`.
        valid: `(batch, k)`, bool.
    Returns:
        `(batch, d)`.
    """

    def __init__(self, num_heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.attention = MultiHeadAttention(
            num_heads=num_heads, name="attention", dtype=self.dtype_policy
        )

    def build(self, input_shape: Sequence[Shape]) -> None:
        (batch, width), behaviours = input_shape
        self.attention.build((batch, 1, width), behaviours)

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        target, behaviours = inputs
        query = ops.expand_dims(target, 1)
        attended = self.attention(query, behaviours, valid=valid)[:, 0]
        return zero_if_empty(attended, valid)

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return tuple(input_shape[0])


@factory("history")
def eta(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    num_bits: int = 64,
    k: int = 50,
    num_heads: int = 2,
    seed: int = 0,
    short_groups: Sequence[str] = (),
) -> Model:
    """Builds ETA: attention over the behaviours whose hashes are nearest.

    Hashes are of the embeddings that are trained; no gradient flows through them, nor
    to behaviours that are not found. Parameters of a group of width H: `4 H^2 + 4 H`
    of the attention, and `H num_bits` fixed ones of the hash.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        num_bits: Bits of a hash.
        k: Behaviours to find.
        num_heads: Heads of the attention.
        seed: Seed of the random directions of the hash.
        short_groups: Histories that are not searched but get an activation unit.

    Raises:
        ValueError: If there is no long history or no target of its width.
    """
    embed = FieldEmbedder(fields)
    long, short = split_histories(fields, short_groups)
    parts = [embed(short, "attention").concat()]
    for history in embed.histories(long, needed_by="eta"):
        name, target = history.group, history.target
        agreement = Agreement(num_bits, seed, name=layer_name(f"dnn_hash_{name}"))(
            [target, history.sequence]
        )
        top = TopSteps(k, name=layer_name(f"dnn_top_{name}"))
        index, found = top(agreement, history.valid)
        nearest = embed.select(history, index, found).sequence
        attend = TargetAttention(num_heads, name=layer_name(f"dnn_attention_{name}"))
        parts.append(attend([target, nearest], valid=found))
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("eta", embed, concat(parts), task, mlp)
