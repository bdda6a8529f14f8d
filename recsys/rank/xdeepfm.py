"""xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender
Systems.

Lian et al., KDD 2018, https://arxiv.org/abs/1803.05170 (figure 5, eq. 6-9)

    fields ──┬─> one weight per value ──> first order ──┐
             └─> embeddings ──┬─> CIN ─> sum over dim ──(+)──> sigmoid
                              └─> concat ─> MLP ────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "xdeepfm"]


class CIN(Layer):
    r"""Compressed interaction network (eq. 6 and 7).

        X^k_h = f(\sum_{ij} W^{kh}_{ij} X^{k-1}_i * X^0_j),   p^k_h = \sum_d X^k_{hd}

    X^0 are the embeddings. A layer is one matrix product, over all pairs of a map of
    the layer before and a field.

    Args:
        units: Number of maps of each layer.
        activation: f, see `get_activation`; the paper's best is none.
        split_half: Whether one half of a layer's maps feeds the next layer and the
            other is pooled; otherwise all do both, as in eq. 6. The last layer is
            pooled whole.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
    Call arguments:
        inputs: `(batch, num_fields, dim)`.
    Returns:
        The sums p, layer after layer, `(batch, number of pooled maps)`.
    Raises:
        ValueError: If there are no layers, a size is less than 1, or maps to be
            split are odd.
    Example:
    >>> cin = CIN([1])
    >>> cin.build((None, 2, 2))
    >>> cin.set_weights([np.ones((4, 1))])
    >>> cin(np.array([[[1.0, 2.0], [3.0, 4.0]]])).numpy()  # 4^2 + 6^2
    array([[52.]], dtype=float32)
    """

    def __init__(
        self,
        units: Sequence[int],
        activation: Activation | dict[str, Any] | None = None,
        split_half: bool = False,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        odd = split_half and any(size % 2 for size in units[:-1])
        if not units or min(units) < 1 or odd:
            raise ValueError(
                f"Layer {self.name!r}: units must be sizes of at least 1, and even "
                "ones where split_half cuts them. "
                f"Received: units={tuple(units)}, split_half={split_half}"
            )
        self.units = tuple(units)
        self.activation = activation
        self.split_half = split_half
        self.l2_reg = l2_reg
        self.activations = [
            get_activation(activation, name=f"activation_{i}", dtype=self.dtype_policy)
            for i, _ in enumerate(self.units)
        ]

    def build(self, input_shape: Shape) -> None:
        num_fields, dim = input_shape[1:]
        self.kernels = []
        maps = num_fields
        for i, size in enumerate(self.units):
            self.kernels.append(
                self.add_weight(
                    shape=(maps * num_fields, size),
                    initializer="glorot_uniform",
                    regularizer=keras.regularizers.L2(self.l2_reg)
                    if self.l2_reg
                    else None,
                    name=f"kernel_{i}",
                )
            )
            self.activations[i].build((None, dim, size))
            maps = size // 2 if self.split_half else size

    def call(self, inputs: Tensor) -> Tensor:
        x0 = ops.transpose(inputs, (0, 2, 1))  # (batch, dim, num_fields)
        x, pooled = x0, []
        for i, kernel in enumerate(self.kernels):
            pairs = ops.expand_dims(x, 3) * ops.expand_dims(x0, 2)
            pairs = ops.reshape(pairs, (-1, x0.shape[1], kernel.shape[0]))
            x = maps = self.activations[i](ops.matmul(pairs, kernel))
            if self.split_half and i + 1 < len(self.units):
                x, maps = ops.split(maps, 2, axis=-1)
            pooled.append(ops.sum(maps, axis=1))
        return ops.concatenate(pooled, axis=-1)


@factory("one_dim", not_empty=("cin_units",))
def xdeepfm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    cin_units: Sequence[int] = (100, 100),
    cin_activation: Activation | None = None,
    split_half: bool = False,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds xDeepFM: linear part, CIN and MLP on shared embeddings.

    Parameters of CIN, with F fields and layers of H_k maps: `sum of H_k H_{k-1} F`
    with `H_0 = F`, and a weight for each pooled map.

    Args:
        fields: All fields, of one `dim`; CIN averages histories, and leaves raw
            fields to the other parts.
        task: The task; of a multiclass one each class has weights of its own.
        cin_units: Number of maps of each layer of CIN.
        cin_activation: Activation of CIN; the paper's best is none.
        split_half: Whether only one half of the maps feeds the next layer, see `CIN`.
        hidden_units: Sizes of the MLP; none leaves the deep part out. The default is
            this library's; the paper has (400, 400).
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of CIN and MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How the deep part pools histories, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim`, or `cin_units` are not as `CIN`
            wants them.
    """
    embed = FieldEmbedder(fields)
    cin = CIN(cin_units, cin_activation, split_half, l2_reg, name="dnn_cin")
    maps = cin(embed(fields).stack())
    classes = task.num_classes
    end = Tower((), num_logits=classes, use_bias=False, name="dnn_cin_logit")
    logits = [embed.linear(fields, classes), end(maps)]
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
    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="xdeepfm")
