"""DIN's attention: a network for each behaviour and the target."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.masking import masked_softmax
from recsys.layers.mlp import FeedForwardLayer
from recsys.types import Activation, Shape, Tensor


class AttentionLayer(Layer):
    r"""Local activation unit of DIN (Zhou et al. 2018, figure 2 and eq. 3).

        w_t = MLP([q, e_t, q - e_t, q * e_t]),   v = \sum_t w_t e_t

    The weights are not normalised, to keep the strength of an interest: two equal
    behaviours count twice. `softmax=True` is the authors' published code, weights
    `softmax(w / sqrt(width))`.

    Sum and weights are eq. 3, but what the MLP reads is that of the published code:
    figure 2 draws q, e_t and their out product. So are its sizes, with a sigmoid there;
    the figure has one hidden layer of 36 with PReLU or Dice.

    Args:
        ffn_hidden_units: Sizes of the MLP's hidden layers.
        ffn_activation: Their activation.
        query_ffn: Whether the query passes a Dense layer to the history's width
            first. Needed when the widths differ.
        query_activation: Activation of that layer.
        softmax: Whether to normalise the weights.
    Call arguments:
        inputs: `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
    Returns:
        `(batch, width of the history)`.
    Raises:
        ValueError: If the widths differ and there is no `query_ffn`.
    Reference:
        Deep Interest Network for Click-Through Rate Prediction, KDD 2018.
    """

    def __init__(
        self,
        ffn_hidden_units: Sequence[int] = (80, 40),
        ffn_activation: Activation | dict[str, Any] = "dice",
        query_ffn: bool = False,
        query_activation: Activation | dict[str, Any] = "prelu",
        softmax: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ffn_hidden_units = tuple(ffn_hidden_units)
        self.ffn_activation = ffn_activation
        self.query_ffn = query_ffn
        self.query_activation = query_activation
        self.softmax = softmax
        same = {"dtype": self.dtype_policy}
        self.ffn = FeedForwardLayer(
            self.ffn_hidden_units, ffn_activation, name="ffn", **same
        )
        self.score = keras.layers.Dense(1, name="score", **same)

    def build(self, input_shape: Sequence[Shape]) -> None:
        query, history = input_shape
        width = history[-1]
        if self.query_ffn:
            same = {"dtype": self.dtype_policy}
            self.query_dense = keras.layers.Dense(width, name="query", **same)
            self.query_act = get_activation(
                self.query_activation, name="query_activation", **same
            )
            self.query_dense.build(query)
            self.query_act.build((query[0], width))
        elif query[-1] != width:
            raise ValueError(
                f"Layer {self.name!r}: the target must be as wide as the history, "
                f"{width}, or pass query_ffn=True. Received: width {query[-1]}"
            )
        self.ffn.build((*history[:-1], 4 * width))
        self.score.build(self.ffn.compute_output_shape((*history[:-1], 4 * width)))

    def call(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        _, history = inputs
        weights = self.scores(inputs, valid, training)
        if self.softmax:
            weights = masked_softmax(weights / history.shape[-1] ** 0.5, valid)
        if valid is not None:
            history = ops.where(ops.expand_dims(valid, -1), history, 0)
        return ops.einsum("bl,bld->bd", weights, history)

    def scores(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        """Returns w, before any softmax; anything at padding, `(batch, length)`."""
        query, history = inputs
        if self.query_ffn:
            query = self.query_act(self.query_dense(query))
        weights = self._first_layer(query, history)
        if self.ffn_hidden_units:
            weights = self.score(self.ffn.behind_first(weights, valid, training))
        return weights[..., 0]

    def _first_layer(self, query: Tensor, history: Tensor) -> Tensor:
        """Returns [q, e, q - e, q * e] W + b, with nothing 4 times as wide as e.

        That is e (W_e - W_- + diag(q) W_*) + q (W_q + W_-) + b.
        """
        dense = self.ffn.dense[0] if self.ffn_hidden_units else self.score
        w_q, w_e, w_minus, w_times = ops.split(ops.convert_to_tensor(dense.kernel), 4)
        of_query = ops.matmul(query, w_q + w_minus) + dense.bias
        kernels = w_e - w_minus + ops.expand_dims(query, -1) * w_times
        return ops.matmul(history, kernels) + ops.expand_dims(of_query, 1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        batch, _, width = input_shape[1]
        return batch, width
