"""DCNv3: Towards Next Generation Deep Cross Network for CTR Prediction.

Li et al., 2024, https://arxiv.org/abs/2407.13349 (later: FCN, Fusing Exponential and
Linear Cross Network)

    fields ─> embeddings ──┬─> exponential cross network ─> logit ──┐
                           └─> linear cross network ──────> logit ──┴─> mean ─> sigmoid

In training each logit is a classifier of its own, too (Tri-BCE).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.interaction.cross import Cross, CrossStack
from recsys.layers.losses import LossLayer
from recsys.layers.mlp import Tower, as_shapes
from recsys.layers.normalization import layer_norm, make_dropout
from recsys.layers.row_means import mean_of_rows
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Shape, Tensor, Weights

__all__ = ["Field", "Task", "dcnv3"]


class SelfMaskCross(Cross):
    r"""A cross layer that masks half of what it multiplies with.

        h = x W,   c = [h, h * relu(LN(h))] + b,   x' = x_0 * c + x

    Args:
        use_ln: Whether the mask is normalised.
        dropout: Fraction of x' dropped in training, in [0, 1).
        l2_reg: See `Cross`.
    Call arguments:
        inputs: `[x0, x]`, each `(batch, ..., width)`.
    Returns:
        `(batch, ..., width)`.
    Raises:
        ValueError: If the width is odd.
    Example:
    >>> cross = SelfMaskCross(use_ln=False)
    >>> cross.build([(None, 2), (None, 2)])
    >>> cross.set_weights([np.ones((2, 1)), np.zeros(2)])
    >>> cross([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[ 10., 102.]], dtype=float32)
    """

    def __init__(
        self,
        use_ln: bool = True,
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(l2_reg, **kwargs)
        self.use_ln = use_ln
        self.dropout = dropout
        same = {"dtype": self.dtype_policy}
        if use_ln:
            self.norm = layer_norm(name="ln", **same)
        if dropout:
            self.drop = make_dropout(dropout, name="dropout", **same)

    def build(self, input_shape: Sequence[Shape]) -> None:
        shape = as_shapes(input_shape)[-1]
        width = shape[-1]
        if width % 2:
            raise ValueError(
                f"Layer {self.name!r}: the width of all embeddings side by side must "
                f"be even: one half masks the other. Received: width {width}"
            )
        self.kernel = self.add_kernel("kernel", width, width // 2)
        self.bias = self.add_bias(width)
        if self.use_ln:
            self.norm.build((*shape[:-1], width // 2))

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x0, x = inputs
        h = ops.matmul(x, self.kernel)
        mask = ops.relu(self.norm(h) if self.use_ln else h)
        y = x0 * (ops.concatenate([h, h * mask], axis=-1) + self.bias) + x
        return self.drop(y, training=training) if self.dropout else y


class LinearCrossNet(CrossStack):
    """`SelfMaskCross` layers; the degree of products grows by one in each.

    Args:
        num_layers: Number of layers.
        use_ln, dropout, l2_reg: Arguments of `SelfMaskCross`.
    Call arguments:
        inputs: `(batch, ..., width)`.
    Returns:
        `(batch, ..., width)`.
    """

    def __init__(
        self,
        num_layers: int = 4,
        use_ln: bool = True,
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_layers, l2_reg, **kwargs)
        self.use_ln = use_ln
        self.dropout = dropout

    def new_layer(self, **kwargs: Any) -> Cross:
        return SelfMaskCross(self.use_ln, self.dropout, self.l2_reg, **kwargs)


class ExponentialCrossNet(LinearCrossNet):
    """As `LinearCrossNet`, but x multiplies itself: the degree doubles each time."""

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs
        for layer in self.layers:
            x = layer([x, x])
        return x


class Heads(Layer):
    """Cuts embeddings into heads of two views.

    Each embedding is cut into `num_heads` parts and each part in halves; a head is
    its first halves of all fields, then all second halves.

    Args:
        num_heads: Number of heads.
        num_shared: How many of the last inputs every head gets whole.
    Call arguments:
        inputs: List of `(batch, width)`, widths divisible by `num_heads`.
    Returns:
        `(batch, num_heads, width of a head)`.
    Raises:
        ValueError: If there are no heads.
    Example:
    >>> e = [np.array([[1, 2, 3, 4]]), np.array([[5, 6, 7, 8]])]
    >>> Heads(2)(e).numpy()
    array([[[1., 5., 2., 6.],
            [3., 7., 4., 8.]]], dtype=float32)
    """

    def __init__(self, num_heads: int = 1, num_shared: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_heads < 1:
            raise ValueError(
                f"Layer {self.name!r}: num_heads must be at least 1. "
                f"Received: num_heads={num_heads}"
            )
        self.num_heads = num_heads
        self.num_shared = num_shared

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        own = len(inputs) - self.num_shared
        inputs = [ops.cast(tensor, self.compute_dtype) for tensor in inputs]
        parts = [ops.split(tensor, self.num_heads, axis=-1) for tensor in inputs[:own]]
        parts += [[tensor] * self.num_heads for tensor in inputs[own:]]
        heads = []
        for head in zip(*parts, strict=True):
            halves = [ops.split(part, [(part.shape[-1] + 1) // 2], -1) for part in head]
            views = [half for view in zip(*halves, strict=True) for half in view]
            heads.append(ops.concatenate(views, axis=-1))
        return ops.stack(heads, axis=1)


class TriBCE(LossLayer):
    r"""The mean of two logits, and what their own cross-entropies add to the loss.

        w_k = max(0, l_k - l),   loss = w_1 l_1 + w_2 l_2

    with l the cross-entropy of the mean and l_k of each logit, over the batch. A
    network learns for itself as much as it lags behind. The model adds l.

    Args:
        detach_weights: Whether no gradient flows through w.
        weight, sample_weight: Arguments of `LossLayer`.
    Call arguments:
        inputs: `[z_1, z_2]`, each `(batch, 1)`.
    Returns:
        The mean logit, `(batch, 1)`, float32.
    """

    def __init__(self, detach_weights: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.detach_weights = detach_weights

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.kept.put(inputs)
        return 0.5 * (inputs[0] + inputs[1])

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor | float:
        one, other = self.kept.take()[-1]
        label = ops.cast(next(iter(labels.values())), "float32")
        weight = next(iter(weights.values()), None)
        mean, *own = (
            mean_of_rows(
                ops.binary_crossentropy(label, logit, from_logits=True), weight
            )
            for logit in (0.5 * (one + other), one, other)
        )
        total: Tensor | float = 0.0
        for each in own:
            lag = ops.relu(each - mean)
            total += (ops.stop_gradient(lag) if self.detach_weights else lag) * each
        return total


@factory(may_be_zero=("num_exponential_layers", "num_linear_layers"))
def dcnv3(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_exponential_layers: int = 4,
    num_linear_layers: int = 4,
    num_heads: int = 1,
    use_ln: bool = True,
    tri_bce: bool = True,
    detach_weights: bool = False,
    dropout: float = 0.0,
    linear_dropout: float | None = None,
    l2_reg: float = 0.0,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds DCNv3: two cross networks, of exponential and of linear growth.

    Parameters of a layer, with D the width of a head: `D^2 / 2 + D`, and D of its
    normalisation.

    Args:
        fields: All fields, of any widths that are even together; raw ones are
            crossed too.
        task: A binary task; without `tri_bce` any but a multiclass one.
        num_exponential_layers: Layers of the network whose degree doubles, may be 0.
        num_linear_layers: Layers of the network whose degree grows by one, may be 0.
        num_heads: Heads; tables are that many times `Field.dim` wide. The networks
            are shared by the heads, whose logits are averaged.
        use_ln: Whether masks are normalised.
        tri_bce: Whether each network also has a loss of its own, see `TriBCE`.
        detach_weights: Whether no gradient flows through the weights of that loss.
        dropout: Fraction dropped behind each cross layer, in [0, 1).
        linear_dropout: That of the linear network; default: the same.
        l2_reg: Penalty on the kernels.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the width of a head is odd, or a task is not binary and has
            `tri_bce`.
    """
    if tri_bce and task.belong != "binary":
        raise ValueError(
            f"Task {task.name!r}: tri_bce is for binary tasks; set it to False. "
            f"Received: belong={task.belong!r}"
        )
    if linear_dropout is None:
        linear_dropout = dropout
    embed = FieldEmbedder(fields, times=num_heads)
    x = embed(fields, history_agg, agg_kwargs)
    raw = x.raw()
    heads = Heads(num_heads, len(raw), name="dnn_heads")([*x.tensors(), *raw])
    networks = [
        ExponentialCrossNet(
            num_exponential_layers, use_ln, dropout, l2_reg, name="dnn_exponential"
        ),
        LinearCrossNet(
            num_linear_layers, use_ln, linear_dropout, l2_reg, name="dnn_linear"
        ),
    ]
    logits = []
    for network in networks:
        # The mean of a linear function is that of the mean.
        crossed = keras.layers.GlobalAveragePooling1D()(network(heads))
        logits.append(Tower((), name=f"{network.name}_logit")(crossed))
    if tri_bce:
        logit = TriBCE(detach_weights, name="dnn_mean")(logits)
    else:
        logit = keras.layers.Average(name="dnn_mean")(logits)
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="dcnv3")
