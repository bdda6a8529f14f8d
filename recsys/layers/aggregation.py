"""From a history to one vector.

Every layer takes `[query, history]`, the query `(batch, dim)` and the history
`(batch, length, width)`, and `valid`, `(batch, length)`, true where the history has a
behaviour; the pooling layers also take the history alone. What stands at other
positions has no influence, and an empty history gives the zero vector.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature._names import layer_name
from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.embedding import PositionalEmbedding, positions_from_end
from recsys.layers.masking import masked_softmax, masked_sum, zero_if_empty
from recsys.layers.mlp import FeedForwardLayer, as_shapes
from recsys.layers.transformer import Encoder


def _history(inputs: Any) -> Any:
    return inputs[-1] if isinstance(inputs, (list, tuple)) else inputs


class _Pooling(Layer):
    """A pooling that ignores the query and keeps the width."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        *batch, _, width = as_shapes(input_shape)[-1]
        return (*batch, width)


class SumPoolingLayer(_Pooling):
    """The sum of the behaviours.

    Call arguments:
        inputs: The history, or `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
        weights: `(batch, length)`, factor of each behaviour.
    Returns:
        `(batch, width)`.
    """

    def call(self, inputs: Any, valid: Any = None, weights: Any = None) -> Any:
        history = _history(inputs)
        if weights is not None:
            history = history * ops.expand_dims(ops.cast(weights, history.dtype), -1)
        return masked_sum(history, valid)


class MeanPoolingLayer(_Pooling):
    """The mean of the behaviours; of none, zero.

    Call arguments:
        inputs: The history, or `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
        weights: `(batch, length)`, at least 0: a weighted mean.
    Returns:
        `(batch, width)`.
    Example:
    >>> history = np.array([[[1.0], [3.0], [9.0]]])
    >>> MeanPoolingLayer()(history, valid=np.array([[True, True, False]])).numpy()
    array([[2.]], dtype=float32)
    """

    def call(self, inputs: Any, valid: Any = None, weights: Any = None) -> Any:
        history = _history(inputs)
        if weights is None:
            weights = ops.ones(ops.shape(history)[:-1])
        weights = ops.expand_dims(ops.cast(weights, history.dtype), -1)
        total = masked_sum(weights, valid)
        return masked_sum(history * weights, valid) / ops.where(total > 0, total, 1)


class MaxPoolingLayer(_Pooling):
    """The largest value of each unit over the behaviours; of none, zero.

    Call arguments:
        inputs: The history, or `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
    Returns:
        `(batch, width)`.
    """

    def call(self, inputs: Any, valid: Any = None) -> Any:
        history = _history(inputs)
        if valid is None:
            return ops.max(history, axis=-2)
        valid = ops.expand_dims(valid, -1)
        largest = ops.max(ops.where(valid, history, -1e30), axis=-2)
        return ops.where(ops.any(valid, axis=-2), largest, 0)


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
        ffn_activation: str | Callable[..., Any] | dict[str, Any] = "dice",
        query_ffn: bool = False,
        query_activation: str | Callable[..., Any] | dict[str, Any] = "prelu",
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

    def build(self, input_shape: Any) -> None:
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

    def call(self, inputs: Any, valid: Any = None, training: bool = False) -> Any:
        _, history = inputs
        weights = self.scores(inputs, valid, training)
        if self.softmax:
            weights = masked_softmax(weights / history.shape[-1] ** 0.5, valid)
        if valid is not None:
            history = ops.where(ops.expand_dims(valid, -1), history, 0)
        return ops.einsum("bl,bld->bd", weights, history)

    def scores(self, inputs: Any, valid: Any = None, training: bool = False) -> Any:
        """Returns w, before any softmax; anything at padding, `(batch, length)`."""
        query, history = inputs
        if self.query_ffn:
            query = self.query_act(self.query_dense(query))
        weights = self._first_layer(query, history)
        if self.ffn_hidden_units:
            weights = self.score(self.ffn.behind_first(weights, valid, training))
        return weights[..., 0]

    def _first_layer(self, query: Any, history: Any) -> Any:
        """Returns [q, e, q - e, q * e] W + b, with nothing 4 times as wide as e.

        That is e (W_e - W_- + diag(q) W_*) + q (W_q + W_-) + b.
        """
        dense = self.ffn.dense[0] if self.ffn_hidden_units else self.score
        w_q, w_e, w_minus, w_times = ops.split(ops.convert_to_tensor(dense.kernel), 4)
        of_query = ops.matmul(query, w_q + w_minus) + dense.bias
        kernels = w_e - w_minus + ops.expand_dims(query, -1) * w_times
        return ops.matmul(history, kernels) + ops.expand_dims(of_query, 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, _, width = input_shape[1]
        return batch, width


class TransformerLayer(Layer):
    """The target attends to the history through a stack of transformer layers.

    Positions count back from the most recent behaviour.

    Args:
        num_layers: Layers of the stack.
        d_model: Width inside; a target of another width is projected to it.
            Default: width of the target.
        num_heads: Heads.
        dff: Width of the feed-forward part; `None` leaves it out.
        dropout_rate: Fraction dropped in training.
        max_len: Number of positions; default: length of the history.
        position_merge: `"sum"` or `"concat"` of behaviour and position.
    Call arguments:
        inputs: `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
    Returns:
        `(batch, d_model)`; zero for an empty history.
    """

    def __init__(
        self,
        num_layers: int = 1,
        d_model: int | None = None,
        num_heads: int = 2,
        dff: int | None = None,
        dropout_rate: float = 0.1,
        max_len: int | None = None,
        position_merge: str = "sum",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout_rate = dropout_rate
        self.max_len = max_len
        self.position_merge = position_merge
        same = {"dtype": self.dtype_policy}
        self.position = PositionalEmbedding(
            position_merge, max_length=max_len, name="pos", **same
        )
        self.encoder = Encoder(
            d_model, num_layers, num_heads, dff, dropout_rate, name="encoder", **same
        )

    def build(self, input_shape: Any) -> None:
        (batch, width), history = input_shape
        d_model = self.d_model or width
        if d_model != width:
            self.project = keras.layers.Dense(
                d_model, name="project", dtype=self.dtype_policy
            )
            self.project.build((batch, width))
        self.position.build(history)
        merged = self.position.compute_output_shape(history)
        self.encoder.build([(batch, 1, d_model), merged])

    def call(self, inputs: Any, valid: Any = None, training: bool = False) -> Any:
        query, history = inputs
        if hasattr(self, "project"):
            query = self.project(query)
        history = self.position(history, valid=valid)
        x = self.encoder(
            [ops.expand_dims(query, 1), history], valid=valid, training=training
        )[:, 0]
        return zero_if_empty(x, valid)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, width = input_shape[0]
        return batch, self.d_model or width


class TIM(Layer):
    r"""Temporal interest module of TIN (Zhou et al. 2024, eq. 3-6).

        \tilde e_t = e_t + P[f_t],   \tilde q = q + P[0]
        a = softmax_t(<\tilde e_t, \tilde q> / \sqrt{width})
        u = \sum_t a_t (\tilde e_t * \tilde q)

    f_t counts back from the target: the most recent behaviour is 1; or it is a bucket
    of the time between them. That is all with the default arguments; any of the first
    four puts projections, residuals and normalisation around it, as in a transformer.

    Args:
        num_layers: Layers of the stack.
        d_model: Width of the feed-forward part, that of the query.
        num_heads: Heads.
        dff: Width inside the feed-forward part; `None` leaves it out.
        dropout_rate: Fraction of weights dropped in training.
        max_len: Largest position; default: length of the history.
    Call arguments:
        inputs: `[query, history]`, of one width.
        valid: Which positions hold a behaviour; `None` means all.
        times: f_t, `(batch, length)`; default: counted.
    Returns:
        `(batch, width)`; zero for an empty history.
    Reference:
        Temporal Interest Network for User Response Prediction, WWW 2024.
    """

    def __init__(
        self,
        num_layers: int = 1,
        d_model: int | None = None,
        num_heads: int = 1,
        dff: int | None = None,
        dropout_rate: float = 0.0,
        max_len: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout_rate = dropout_rate
        self.max_len = max_len
        projected = (num_layers, d_model, num_heads, dff) != (1, None, 1, None)
        self.encoder = Encoder(
            d_model,
            num_layers,
            num_heads,
            dff,
            dropout_rate,
            attention_ffn=projected,
            residual=projected,
            target_aware=True,
            name="encoder",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any) -> None:
        (batch, width), history = input_shape
        self.positions = self.add_weight(
            shape=((self.max_len or history[1]) + 1, history[-1]),
            initializer="uniform",
            name="positions",
        )
        self.encoder.build([(batch, 1, width), history])

    def call(
        self,
        inputs: Any,
        valid: Any = None,
        times: Any = None,
        training: bool = False,
    ) -> Any:
        query, history = inputs
        if times is None:
            times = positions_from_end(history, valid) + 1
        times = ops.minimum(times, self.positions.shape[0] - 1)
        history = history + ops.take(self.positions, times, axis=0)
        query = ops.expand_dims(query + self.positions[0], 1)
        u = self.encoder([query, history], valid=valid, training=training)[:, 0]
        return zero_if_empty(u, valid)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


AGGREGATIONS: Mapping[str, type[keras.layers.Layer]] = {
    "mean_pooling": MeanPoolingLayer,
    "sum_pooling": SumPoolingLayer,
    "max_pooling": MaxPoolingLayer,
    "attention": AttentionLayer,
    "transformer": TransformerLayer,
    "tim": TIM,
}


def get_agg_layer(pooling: str, **kwargs: Any) -> keras.layers.Layer:
    """Returns a new layer that pools a history.

    Args:
        pooling: One of `AGGREGATIONS`.
        **kwargs: Arguments of the layer.

    Raises:
        ValueError: If there is no such aggregation.
    """
    if pooling not in AGGREGATIONS:
        raise ValueError(
            f"history_agg must be one of {', '.join(AGGREGATIONS)}. "
            f"Received: history_agg={pooling!r}"
        )
    return AGGREGATIONS[pooling](**kwargs)


def history_embedding_aggregation(
    history_embeddings: Mapping[str, Any] | Any,
    target_embeddings: Any,
    aggregation: str,
    prefix: str = "dnn_his",
    **kwargs: Any,
) -> Any:
    """Pools a history, or each of several and concatenates them.

    Args:
        history_embeddings: `(batch, length, width)`, or a dict of them by group.
        target_embeddings: `(batch, dim)`, the query of all.
        aggregation: See `get_agg_layer`.
        prefix: Start of the layers' names.
        **kwargs: Arguments of the layers.

    Returns:
        `(batch, sum of widths)`.
    """
    prefix = prefix.replace("/", "_")
    groups = (
        history_embeddings
        if isinstance(history_embeddings, Mapping)
        else {"": history_embeddings}
    )
    pooled = [
        get_agg_layer(
            aggregation,
            name=layer_name(
                "_".join(
                    part
                    for part in (prefix, aggregation, len(groups) > 1 and group)
                    if part
                )
            ),
            **kwargs,
        )([target_embeddings, history])
        for group, history in groups.items()
    ]
    if len(pooled) == 1:
        return pooled[0]
    return keras.layers.Concatenate(name=f"{prefix}_concat")(pooled)
