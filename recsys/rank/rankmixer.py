"""RankMixer: Scaling Up Ranking Models in Industrial Recommenders.

ByteDance, 2025, https://arxiv.org/abs/2507.15551 (section 3)

    concat ─> T slices ─> T tokens ─┬─> mix ─(+)─> norm ─┬─> FFN ─(+)─> norm
                                    └─────────┘          └─────────┘
    mean of the tokens ─> MLP ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.layers.normalization import layer_norm
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "rankmixer"]


class Tokenizer(Layer):
    """Cuts a vector into equal slices and projects each to a token by its own weights.

    Zeros are appended where the slices would not be equal.

    Args:
        num_tokens: Number of slices, T.
        dim: Width of a token.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(num_tokens, batch, dim)`.
    """

    def __init__(self, num_tokens: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.dim = dim

    def build(self, input_shape: Shape) -> None:
        self.slice = -(-input_shape[-1] // self.num_tokens)
        self.kernel, self.bias = _token_weights(
            self, "", self.num_tokens, self.slice, self.dim
        )

    def call(self, inputs: Tensor) -> Tensor:
        missing = self.num_tokens * self.slice - inputs.shape[-1]
        x = ops.pad(inputs, ((0, 0), (0, missing))) if missing else inputs
        x = ops.reshape(x, (-1, self.num_tokens, self.slice))
        return ops.matmul(ops.transpose(x, (1, 0, 2)), self.kernel) + self.bias

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (self.num_tokens, input_shape[0], self.dim)


class RankMixerBlock(Layer):
    """Mixing of tokens without weights, and a network for each token (eq. 2-8).

        s_h = the h-th of T chunks of every token, side by side
        S = LN(Mix(X) + X)
        X' = LN(W_2^t gelu(W_1^t S_t + b_1^t) + b_2^t + S_t)

    gelu is its approximation by tanh, which every export knows.

    Args:
        expansion: Inner width of a token's network over that of the token.
    Call arguments:
        inputs: `(num_tokens, batch, dim)`, `dim` divisible by `num_tokens`.
    Returns:
        `inputs.shape`.
    Raises:
        ValueError: If `dim` is not divisible by the number of tokens.
    """

    def __init__(self, expansion: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.expansion = expansion
        same = {"dtype": self.dtype_policy}
        self.norm_mixed = layer_norm(name="norm_mixed", **same)
        self.norm = layer_norm(name="norm", **same)

    def build(self, input_shape: Shape) -> None:
        tokens, _, dim = input_shape
        if dim % tokens:
            raise ValueError(
                f"Layer {self.name!r}: the width of a token must be divisible by the "
                f"number of tokens. Received: dim={dim}, num_tokens={tokens}"
            )
        inner = self.expansion * dim
        self.kernel_1, self.bias_1 = _token_weights(self, "_1", tokens, dim, inner)
        self.kernel_2, self.bias_2 = _token_weights(self, "_2", tokens, inner, dim)
        self.norm_mixed.build(input_shape)
        self.norm.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        s = self.norm_mixed(mix(inputs) + inputs)
        hidden = ops.gelu(ops.matmul(s, self.kernel_1) + self.bias_1)
        return self.norm(ops.matmul(hidden, self.kernel_2) + self.bias_2 + s)


def mix(x: Tensor) -> Tensor:
    """Swaps tokens and chunks: token t gets the t-th chunk of every token."""
    tokens, _, dim = x.shape
    chunks = ops.reshape(x, (tokens, -1, tokens, dim // tokens))
    return ops.reshape(ops.transpose(chunks, (2, 1, 0, 3)), (tokens, -1, dim))


def _token_weights(
    layer: Layer, suffix: str, tokens: int, rows: int, columns: int
) -> tuple[keras.Variable, keras.Variable]:
    """A kernel and a bias for each token; Glorot's limit is that of one kernel."""
    limit = (6 / (rows + columns)) ** 0.5
    kernel = layer.add_weight(
        shape=(tokens, rows, columns),
        initializer=keras.initializers.RandomUniform(-limit, limit),
        name=f"kernel{suffix}",
    )
    bias = layer.add_weight(
        shape=(tokens, 1, columns), initializer="zeros", name=f"bias{suffix}"
    )
    return kernel, bias


class MeanToken(Layer):
    """From `(num_tokens, batch, dim)` to the mean of the tokens, `(batch, dim)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.mean(inputs, axis=0)


@factory(may_be_zero=("num_blocks",))
def rankmixer(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_tokens: int = 8,
    token_dim: int = 64,
    num_blocks: int = 2,
    expansion: int = 4,
    hidden_units: Sequence[int] = (),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds RankMixer, the dense variant: tokens that mix without attention.

    Parameters: `W D + T D` for tokens from W inputs (padded to a multiple of T), and
    `T (2 k D^2 + (k + 1) D) + 4 D` for a block, k being the expansion; the logit.

    Args:
        fields: The fields, of any widths, in order of meaning: a token is a slice of
            their concatenation.
        task: The task.
        num_tokens: Number of tokens, T.
        token_dim: Width of a token, D, divisible by `num_tokens`.
        num_blocks: Number of blocks, may be 0.
        expansion: Inner width of a token's network over that of the token.
        hidden_units: Sizes of an MLP between the mean of the tokens and the logit.
        activation: Activation of that MLP.
        dropout: Fraction dropped behind each of its layers, in [0, 1).
        l2_reg: Penalty on its kernels.
        use_bn: Whether it normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If `token_dim` is not divisible by `num_tokens`.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    x = Tokenizer(num_tokens, token_dim, name="dnn_tokens")(x)
    for i in range(num_blocks):
        x = RankMixerBlock(expansion, name=f"dnn_block_{i}")(x)
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )
    logit = tower(MeanToken(name="mean_token")(x))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="rankmixer")
