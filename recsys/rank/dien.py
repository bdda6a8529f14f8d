"""DIEN: Deep Interest Evolution Network for Click-Through Rate Prediction.

Zhou et al., AAAI 2019, https://arxiv.org/abs/1809.03672 (figure 1, eq. 2-15)

    user, context, item ─> embeddings ───────────────────────────────┐
                                ├─> attention ┐                      v
    history ─> embeddings ─> GRU ─────────────┴─> AUGRU ─> state ──> MLP ─> sigmoid
                              └─> does h_t tell behaviour t + 1 from another item?
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import EmbeddedHistory, FieldEmbedder, concat
from recsys.inputs.ending import mlp_model
from recsys.layers.attention import BilinearAttention
from recsys.layers.losses import LossLayer
from recsys.layers.recurrent import AttentionGRU, GRUStates
from recsys.layers.sampling import draw_unseen
from recsys.layers.table import gather_rows
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "Task", "dien"]


class InterestLoss(LossLayer):
    r"""Auxiliary loss: a state knows the next behaviour from an item not clicked.

        L = -mean over t of log \sigma(<h_t, e_{t+1}>) + log(1 - \sigma(<h_t, f_{t+1}>))

    over the steps whose next step is valid too (eq. 6-7, without the projection of the
    published code). Eq. 6 takes the mean over rows of the sum over steps: the paper's
    weight alpha is `alpha * (mean number of such steps of a row)` here, where it does
    not grow with the length of histories.

    The item of f is drawn alike from those that the history does not hold. Its other
    attributes are looked up in `catalogue`; without one they are those of the
    behaviour, so that only the items differ.

    Args:
        table: Name of the model's layer that embeds items.
        num_items: Ids of items, reserved ones included.
        offset: Where the item's embedding starts in a behaviour.
        reserved: Ids below it are no items.
        others: Of each further attribute with a catalogue, the name of its table and
            where its embedding starts.
        weight, sample_weight: Arguments of `LossLayer`.
    Call arguments:
        inputs: `[states, behaviours, item ids]`, `(batch, length, d)` twice and
            `(batch, length)`.
        valid: `(batch, length)`, bool.
    Returns:
        The states.
    """

    def __init__(
        self,
        table: str,
        num_items: int,
        offset: int = 0,
        reserved: int = 1,
        others: Sequence[tuple[str, int]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.num_items = num_items
        self.offset = offset
        self.reserved = reserved
        self.others = [tuple(other) for other in others]
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, *_: Any) -> None:
        if self.others:
            self.catalogue = self.add_weight(
                shape=(self.num_items, len(self.others)),
                initializer="zeros",
                trainable=False,
                dtype="int32",
                name="catalogue",
            )

    def bind(self, model: Any) -> None:
        self._layer = model.get_layer

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        self.kept.put((*inputs, valid))
        return inputs[0]

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        states, behaviours, ids, valid = self.kept.take()[-1]
        drawn, any_left = draw_unseen(
            ops.where(valid, ids, 0),
            self.reserved,
            self.num_items - self.reserved,
            ids.shape[1] - 1,
            self.seed_generator,
        )
        counts = ops.cast(valid[:, :-1] & valid[:, 1:] & any_left, "float32")
        state, clicked = states[:, :-1], behaviours[:, 1:]
        logits = [
            ops.sum(ops.cast(state * e, "float32"), axis=-1)
            for e in (clicked, self._behaviours(drawn, clicked))
        ]
        losses = ops.softplus(-logits[0]) + ops.softplus(logits[1])
        count = ops.sum(counts)
        self.num.put(count)
        return ops.sum(counts * losses) / ops.maximum(count, 1.0)

    def _behaviours(self, drawn: Tensor, clicked: Tensor) -> Tensor:
        """The behaviours with another item in place of their own."""
        replaced: list[tuple[Any, ...]] = [(self.offset, self.table, drawn)]
        known: Any = gather_rows(self.catalogue, drawn) if self.others else None
        for i, (name, start) in enumerate(self.others):
            replaced.append((start, name, known[..., i]))
        parts, end = [], 0
        for start, name, ids in sorted(replaced, key=lambda part: part[0]):
            rows = self._layer(name)(ids)
            parts += [clicked[..., end:start], rows]
            end = start + rows.shape[-1]
        return ops.concatenate([*parts, clicked[..., end:]], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return tuple(input_shape[0])


@factory("history")
def dien(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    evolution: str = "augru",
    auxiliary: float = 1.0,
    catalogue: Mapping[str, Any] | None = None,
) -> Model:
    """Builds DIEN: interests are states of a GRU, and evolve towards the target.

    Histories of one group are one sequence of their attributes side by side; each
    group has networks of its own. Parameters of a group of width H: `6 H^2 + 6 H` of
    the GRU, `H^2` of the attention, `6 H^2 + 3 H` of the AUGRU.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        evolution: `"augru"`, `"agru"` or `"aigru"`, see `AttentionGRUCell`.
        auxiliary: Factor on `InterestLoss`, for each group; 0 leaves it out. It is not
            the paper's alpha, as the loss is a mean over steps.
        catalogue: What a drawn item is: history field -> its id for each id of the
            item, `(vocabulary_size,)`. See `InterestLoss` for fields not in it.

    Raises:
        ValueError: If there is no history or no target of its width, or the catalogue
            names other fields or has other lengths.
    """
    embed = FieldEmbedder(fields)
    histories = embed.histories(fields, needed_by="dien")
    parts = [embed([f for f in fields if f.belong != "history"]).concat()]
    for history in histories:
        name, valid = history.group, history.valid
        states = GRUStates(name=layer_name(f"dnn_extractor_{name}"))(
            history.sequence, valid
        )
        if auxiliary:
            states = _interest_loss(embed, history, states, auxiliary, catalogue or {})
        attend = BilinearAttention(name=layer_name(f"dnn_attention_{name}"))
        evolve = AttentionGRU(
            states.shape[-1], evolution, name=layer_name(f"dnn_evolution_{name}")
        )
        attention = attend([history.target, states], valid=valid)
        parts.append(evolve(states, attention, valid))
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("dien", embed, concat(parts), task, mlp)


def _interest_loss(
    embed: FieldEmbedder,
    history: EmbeddedHistory,
    states: Tensor,
    weight: float,
    catalogue: Mapping[str, Any],
) -> Tensor:
    starts = np.cumsum([0, *(field.dim for field in history.fields)])
    start = dict(zip([field.name for field in history.fields], starts, strict=False))
    item = history.item
    others = [field for field in history.fields if field.name in catalogue]
    layer = InterestLoss(
        layer_name(f"embedding_{item.emb}"),
        item.vocabulary_size,
        int(start[item.name]),
        item.reserved,
        [
            (layer_name(f"embedding_{field.emb}"), int(start[field.name]))
            for field in others
        ],
        weight=weight,
        name=layer_name(f"dnn_interest_{history.group}"),
    )
    states = layer(
        [states, history.sequence, embed.column(item.name)], valid=history.valid
    )
    if others:
        columns = [np.asarray(catalogue[field.name]) for field in others]
        for field, column in zip(others, columns, strict=True):
            if field == item or column.shape != (item.vocabulary_size,):
                raise ValueError(
                    f"catalogue: {field.name!r} must be an attribute besides the "
                    f"item, with one id for each of {item.vocabulary_size} items. "
                    f"Received: shape {column.shape}"
                )
        layer.catalogue.assign(np.stack(columns, axis=1))
    return states
