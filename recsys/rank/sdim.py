"""SDIM: Sampling Is All You Need on Modeling Long-Term User Behaviors.

Cao et al., CIKM 2022, https://arxiv.org/abs/2205.10249 (figure 2, eq. 5-10)

    user, context, item ─> embeddings ────────────────────────────┐
                └─> hashes ─┐                                     v
    long history ─> hashes ─┴─> sum of those that collide ──────> MLP ─> sigmoid
    short history ───────────> DIN's activation unit ─────────────^
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat, split_histories
from recsys.inputs.ending import mlp_model
from recsys.layers.base import Layer
from recsys.layers.search import SimHash
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "sdim"]


class HashAttention(Layer):
    r"""The behaviours whose signature is that of the target, for several signatures.

        S_g = \sum_t [sig_g(e_t) = sig_g(q)] e_t,   u = mean_g S_g / ||S_g||

    A signature are `signature_bits` signs of random projections; two vectors of angle
    \theta share it with probability (1 - \theta / \pi)^bits. Nothing is trained here,
    but gradients flow to the behaviours that collide.

    Masking: behaviours that are not `valid` collide with nothing.

    Args:
        num_bits: Signs in all.
        signature_bits: Signs of a signature, which must divide them.
        seed: Seed of the random directions.
    Call arguments:
        inputs: `[target, history]`, `(batch, d)` and `(batch, length, d)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, d)`, of length 1 at most; zero if nothing collides.
    Raises:
        ValueError: If the bits cannot be divided.
    """

    def __init__(
        self, num_bits: int = 48, signature_bits: int = 3, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if signature_bits < 1 or num_bits % signature_bits:
            raise ValueError(
                f"Layer {self.name!r}: signature_bits must divide num_bits. Received: "
                f"num_bits={num_bits}, signature_bits={signature_bits}"
            )
        self.num_bits = num_bits
        self.signature_bits = signature_bits
        self.seed = seed
        self.hash = SimHash(num_bits, seed, name="hash")

    def build(self, input_shape: Sequence[Shape]) -> None:
        self.hash.build(input_shape[1])

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        target, history = inputs
        agree = self.hash(history) * ops.expand_dims(self.hash(target), 1)
        groups = self.hash.num_bits // self.signature_bits
        shape = (-1, history.shape[1], groups, self.signature_bits)
        collide = ops.min(ops.reshape(agree, shape), axis=-1) > 0
        collide = ops.cast(collide & ops.expand_dims(valid, -1), history.dtype)
        sums = ops.matmul(ops.transpose(collide, (0, 2, 1)), history)
        squares = ops.sum(ops.square(sums), axis=-1, keepdims=True)
        return ops.mean(sums * ops.rsqrt(ops.maximum(squares, 1e-24)), axis=1)

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return tuple(input_shape[0])


@factory("history")
def sdim(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    num_bits: int = 48,
    signature_bits: int = 3,
    seed: int = 0,
    short_groups: Sequence[str] = (),
) -> Model:
    """Builds SDIM: the behaviours that share hashes with the target.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        num_bits, signature_bits, seed: Arguments of `HashAttention`.
        short_groups: Histories that are not hashed but get an activation unit.

    Raises:
        ValueError: If there is no long history or no target of its width, or the bits
            cannot be divided.
    """
    embed = FieldEmbedder(fields)
    long, short = split_histories(fields, short_groups)
    parts = [embed(short, "attention").concat()]
    for history in embed.histories(long, needed_by="sdim"):
        attend = HashAttention(
            num_bits, signature_bits, seed, name=layer_name(f"dnn_hash_{history.group}")
        )
        pair = [history.target, history.sequence]
        parts.append(attend(pair, valid=history.valid))
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("sdim", embed, concat(parts), task, mlp)
