"""HSTU for ranking: Actions Speak Louder than Words, Trillion-Parameter Sequential
Transducers for Generative Recommendations.

Zhai et al., ICML 2024, https://arxiv.org/abs/2402.17152 (figure 3, eq. 1-3)

    user, context, item ─> embeddings ───────────────────────────────┐
                                     └─────────┐                     v
    history ─> behaviour, action, behaviour, action, ..., target ─> MLP ─> sigmoid
                              HSTU layers, causal
"""

from collections.abc import Sequence
from dataclasses import replace

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.inputs.ending import mlp_model
from recsys.layers.base import Layer
from recsys.layers.hstu import HSTULayer
from recsys.layers.normalization import layer_norm
from recsys.layers.search import TopSteps
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "hstu_rank"]


class TargetFirst(Layer):
    """One sequence of the target, then behind each other action and behaviour.

    Masking: the target is always valid.

    Call arguments:
        inputs: `[target, behaviours]` or `[target, behaviours, actions]`, `(batch, d)`
            and `(batch, length, d)` each, newest first.
        valid: `(batch, length)`, bool.
        times: `(batch, length)`, time ids; the target's is 0.
    Returns:
        Tokens `(batch, N, d)`, which are valid, and their times, `(batch, N)` each; N
        is `length + 1`, with actions `2 length + 1`.
    """

    def call(
        self, inputs: Sequence[Tensor], valid: Tensor, times: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        target, *kinds = inputs
        n = len(kinds)
        # A behaviour's action comes after it in time, so before it here.
        tokens = ops.stack(kinds[::-1], axis=2)
        tokens = ops.reshape(tokens, (-1, n * valid.shape[1], target.shape[-1]))
        tokens = ops.concatenate([ops.expand_dims(target, 1), tokens], axis=1)
        valid = ops.repeat(valid, n, axis=1)
        valid = ops.concatenate([ops.ones_like(valid[:, :1]), valid], axis=1)
        return tokens, valid, ops.pad(ops.repeat(times, n, axis=1), ((0, 0), (1, 0)))

    def compute_output_spec(
        self, inputs: Sequence[Tensor], valid: Tensor, times: Tensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        batch, width = inputs[0].shape
        n = (len(inputs) - 1) * valid.shape[1] + 1
        return (
            keras.KerasTensor((batch, n, width), self.compute_dtype),
            keras.KerasTensor((batch, n), "bool"),
            keras.KerasTensor((batch, n), "int32"),
        )


class First(Layer):
    """The first vector of a sequence, normalised: `(batch, n, d)` to `(batch, d)`."""

    def build(self, input_shape: Shape) -> None:
        self.norm = layer_norm(name="norm", dtype=self.dtype_policy)
        self.norm.build((input_shape[0], input_shape[2]))

    def call(self, inputs: Tensor) -> Tensor:
        return self.norm(inputs[:, 0])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])


@factory("history", may_be_zero=("num_layers",))
def hstu_rank(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    num_layers: int = 2,
    d_model: int = 32,
    num_heads: int = 2,
    qk_dim: int = 16,
    v_dim: int = 16,
) -> Model:
    """Builds a ranking model of HSTU layers over behaviours, actions and the target.

    Attributes of a history that share a table with an item field say what was acted
    on; the others (kind of action, dwell) what was done: a token of its own behind
    that of the item, which does not see it. The target is the last token, whose action
    is what is predicted. A history field with `role="time"` gives a bias by the
    difference of two tokens' ids. Each group has layers of its own. The head is ours:
    the paper trains one large model on whole sequences.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP and in the HSTU layers,
            in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        num_layers: HSTU layers, may be 0.
        d_model: Width of a token.
        num_heads, qk_dim, v_dim: Arguments of `HSTULayer`.

    Raises:
        ValueError: If there is no history that shares a table with an item field.
    """
    tables = {field.emb for field in fields if field.belong == "item"}
    items = [
        f
        for f in fields
        if f.belong != "history" or f.emb in tables or f.role == "time"
    ]
    embed = FieldEmbedder(fields)
    parts = [embed([f for f in fields if f.belong != "history"]).concat()]
    for history in embed.histories(items, apart=["time"], needed_by="hstu_rank"):
        name = history.group
        group = [f for f in fields if f.belong == "history" and f.group == name]
        actions = [f for f in group if f not in items]
        timed = any(field.role == "time" for field in group)

        order = TopSteps(history.length, name=layer_name(f"dnn_order_{name}"))
        index, found = order(history.valid, history.valid)  # the most recent first
        behaviours = embed.select(history, index, found)
        of_item = keras.layers.Dense(d_model, name=layer_name(f"dnn_item_{name}"))
        kinds = [of_item(history.target), of_item(behaviours.sequence)]
        if actions:
            done = embed.select(
                replace(history, fields=tuple(embed.resolve(actions))), index, found
            ).sequence
            kinds.append(
                keras.layers.Dense(d_model, name=layer_name(f"dnn_action_{name}"))(done)
            )
        x, valid, times = TargetFirst(name=layer_name(f"dnn_tokens_{name}"))(
            kinds, valid=found, times=behaviours.times
        )
        for i in range(num_layers):
            layer = HSTULayer(
                num_heads,
                qk_dim,
                v_dim,
                history.num_times if timed else 0,
                dropout,
                name=layer_name(f"dnn_hstu_{name}_{i}"),
            )
            x = layer(x, valid=valid, times=times)
        parts.append(First(name=layer_name(f"dnn_first_{name}"))(x))
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("hstu_rank", embed, concat(parts), task, mlp)
