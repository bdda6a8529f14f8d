"""CAN: Feature Co-Action for Click-Through Rate Prediction.

Bian et al., WSDM 2022, https://arxiv.org/abs/2011.05625 (figure 3, eq. 3-7)

    user, context, item ─> embeddings ──────────────────────────────┐
                └─> parameters of an MLP ─┐                         v
    history ─> embeddings, powers ────────┴─> MLP of each, sum ──> MLP ─> sigmoid
        └────> DIN's activation unit ───────────────────────────────^
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.inputs.ending import mlp_model
from recsys.layers.base import Layer
from recsys.layers.masking import masked_sum
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "can"]


class CoAction(Layer):
    r"""An MLP whose weights are one feature's, applied to the other's (eq. 3-7).

        h_0 = p^c (element by element),  h_{l+1} = tanh(h_l W_l),   c = 1 ... orders

    without biases; behind the last layer there is no tanh. The outputs of all layers
    and orders are side by side, summed over the behaviours.

    Masking: behaviours that are not `valid` do not count.

    Args:
        units: Widths of the layers, that of p first.
        orders: Powers of p.
        order_indep: Whether each power has weights of its own.
    Call arguments:
        inputs: `[weights, p]`, `(batch, num_weights)`, see `num_weights`, and
            `(batch, length, units[0])`.
        valid: `(batch, length)`, bool; `None` means all.
    Returns:
        `(batch, orders * sum(units[1:]))`.
    Raises:
        ValueError: If there is no layer or no order.
    """

    def __init__(
        self,
        units: Sequence[int] = (16, 8, 4),
        orders: int = 3,
        order_indep: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(units) < 2 or min(units) < 1 or orders < 1:
            raise ValueError(
                f"Layer {self.name!r}: needs units of two layers or more, and an "
                f"order of at least 1. Received: units={units}, orders={orders}"
            )
        self.units = tuple(units)
        self.orders = orders
        self.order_indep = order_indep

    @property
    def num_weights(self) -> int:
        """Width of the embedding that holds the weights."""
        of_one = sum(a * b for a, b in zip(self.units, self.units[1:], strict=False))
        return of_one * (self.orders if self.order_indep else 1)

    def call(self, inputs: Sequence[Tensor], valid: Tensor | None = None) -> Tensor:
        weights, p = inputs
        features, start = [], 0
        for order in range(1, self.orders + 1):
            h, start = p**order, start if self.order_indep else 0
            for depth in range(1, len(self.units)):
                a, b = self.units[depth - 1], self.units[depth]
                kernel = ops.reshape(weights[:, start : start + a * b], (-1, a, b))
                h = ops.matmul(h if depth == 1 else ops.tanh(h), kernel)
                last = depth == len(self.units) - 1
                features.append(masked_sum(h if last else ops.tanh(h), valid))
                start += a * b
        return ops.concatenate(features, axis=-1)

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return (input_shape[0][0], self.orders * sum(self.units[1:]))


@factory("history")
def can(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    units: Sequence[int] = (16, 8, 4),
    orders: int = 3,
    order_indep: bool = False,
) -> Model:
    """Builds CAN: DIN, and MLPs of one feature's weights on another's embedding.

    Each pair has features of its own tables: the weights of an id, `(vocabulary,
    num_weights)` of small numbers, and the input of an id, `(vocabulary, units[0])`.
    Fields that share a table share these too.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        pairs: Names of the field that gives the weights, one id a row, and of the
            field they are applied to, a history or one id a row; default: each item
            field with the history that shares its table.
        units, orders, order_indep: Arguments of `CoAction`.

    Raises:
        ValueError: If there is no history or no target of its width, no pair, or one
            of fields that do not fit.
    """
    embed = FieldEmbedder(fields)
    histories = embed.histories(fields, needed_by="can")
    valid = {history.group: history.valid for history in histories}
    parts = [embed(fields, "attention").concat()]
    for weigher, weighed in _pairs(fields, pairs):
        name = layer_name(f"dnn_coaction_{weigher.name}_{weighed.name}")
        unit = CoAction(units, orders, order_indep, name=name)
        # Small: the powers of an order explode.
        small = keras.initializers.RandomNormal(stddev=0.1)
        weights = embed.lookup(
            weigher, "embedding_coaction_weights__", unit.num_weights, small
        )
        p = embed.lookup_values(weighed, "embedding_coaction_input__", units[0], small)
        if weighed.belong == "history":
            parts.append(unit([weights, p], valid=valid[weighed.group]))
        else:
            parts.append(unit([weights, keras.layers.Reshape((1, -1))(p)]))
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("can", embed, concat(parts), task, mlp)


def _pairs(
    fields: Sequence[Field], names: Sequence[tuple[str, str]] | None
) -> list[tuple[Field, Field]]:
    by_name = {field.name: field for field in fields}
    if names is None:
        items = [field for field in fields if field.belong == "item"]
        histories = [field for field in fields if field.belong == "history"]
        pairs = [(i, h) for i in items for h in histories if i.emb == h.emb]
    else:
        pairs = [(by_name[a], by_name[b]) for a, b in names if {a, b} <= {*by_name}]
    for weigher, weighed in pairs:
        if weigher.belong == "history" or weigher.length > 1:
            raise ValueError(
                f"Field {weigher.name!r}: a field that gives weights must have one id "
                f"a row. Received: {weigher}"
            )
        if weighed.belong != "history" and weighed.length > 1:
            raise ValueError(
                f"Field {weighed.name!r}: weights are applied to a history or to one "
                f"id a row. Received: {weighed}"
            )
    if not pairs or len(pairs) < len(names or ()):
        raise ValueError(
            "can needs pairs of fields of the model. "
            f"Received: pairs={names}, fields {[*by_name]}"
        )
    return pairs
