"""AdaF2M2: Comprehensive Learning and Responsive Leveraging Features.

DASFAA 2025, https://arxiv.org/abs/2501.15816 (section 3)

    embeddings ──┬────────> x weights of the state ─┐
                 │                                  ├─> interaction ─> MLP ─> sigmoid
                 └─> K copies, features masked ─────┘   (of the copies: auxiliary loss)
    state: activity, ids, norms of ids ─> Dense, sigmoid ─> weights
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.interaction.expert import InteractionExpert
from recsys.layers.losses import LossLayer
from recsys.layers.mask_embedding import MaskEmbedding
from recsys.layers.mlp import Tower
from recsys.layers.row_means import mean_of_rows
from recsys.rank.gwpfm import field_groups
from recsys.train.factory import factory
from recsys.train.losses import AugmentedBinaryCrossentropy
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "InteractionExpert", "Task", "adaf2m2"]


class StateAwareAdapter(Layer):
    """Weighs the embedding of each feature by the state of user and item.

        n = |id|,  s = [signals, id, n, log n, sqrt n, n^2 for each id]
        a = sigmoid(W s + b),  e_f <- a_f e_f

    Norms are clipped to [1e-7, 1e7]. The embedding of a user with much history is
    longer than that of a new one.

    Args:
        stop_gradient: Whether the weights leave the tables of the state as they are.
    Call arguments:
        inputs: `(embeddings, ids, signals)`, lists of `(batch, dim)`; the last may be
            empty.
    Returns:
        List like `embeddings`.
    """

    def __init__(self, stop_gradient: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_gradient = stop_gradient

    def build(self, input_shape: Sequence[Sequence[Shape]]) -> None:
        embeddings, ids, signals = input_shape
        width = sum(shape[-1] for shape in [*ids, *signals]) + 4 * len(ids)
        self.dense = keras.layers.Dense(
            len(embeddings), "sigmoid", dtype=self.dtype_policy, name="dense"
        )
        self.dense.build((None, width))

    def call(self, inputs: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        embeddings, ids, signals = inputs
        norms = [_norms(each) for each in ids]
        state = ops.concatenate([*signals, *ids, *norms], axis=-1)
        if self.stop_gradient:
            state = ops.stop_gradient(state)
        weights = ops.split(self.dense(state), len(embeddings), axis=-1)
        return [a * e for a, e in zip(weights, embeddings, strict=True)]


def _norms(embedding: Tensor) -> Tensor:
    """Four functions of the length of a vector, `(batch, 4)`."""
    square = ops.sum(ops.square(ops.cast(embedding, "float32")), -1, keepdims=True)
    n = ops.sqrt(ops.clip(square, 1e-14, 1e14))
    norms = ops.concatenate([n, ops.log(n), ops.sqrt(n), ops.square(n)], axis=-1)
    return ops.cast(norms, embedding.dtype)


class MultiForward(LossLayer):
    """A network that in training also predicts rows whose features are masked.

        logit = MLP(interaction(weighted embeddings))
        loss = mean over K copies of loss(label, MLP(interaction(masked embeddings)))

    Args:
        task: `"binary"` or `"regression"`.
        interaction: Layer from a list of `(batch, dim)` to `(batch, width)`.
        tower: Layer from `(batch, width)` to the logit.
        mask: `MaskEmbedding` of the features that may be masked.
        maskable: Which of the embeddings may be.
    Call arguments:
        inputs: `(weighted, embeddings, raw)`: lists of `(batch, dim)`, and a list of
            what the tower gets beside the interaction, which may be empty.
    Returns:
        Logit of the weighted embeddings, `(batch, 1)`.
    """

    def __init__(
        self,
        task: str,
        interaction: Any,
        tower: Any,
        mask: Any,
        maskable: Sequence[bool],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task = task
        self.interaction, self.tower, self.mask = interaction, tower, mask
        self.maskable = tuple(maskable)

    def build(self, input_shape: Sequence[Sequence[Shape]]) -> None:
        weighted, embeddings, raw = input_shape
        width = self.interaction.compute_output_shape(weighted)[-1]
        masked = [s for s, may in zip(embeddings, self.maskable, strict=True) if may]
        for layer, shape in (
            (self.interaction, weighted),
            (self.tower, (None, width + sum(shape[-1] for shape in raw))),
            (self.mask, masked),
        ):
            if not layer.built:  # from a file they come built
                layer.build(shape)

    def call(
        self, inputs: Sequence[Sequence[Tensor]], training: bool = False
    ) -> Tensor:
        weighted, embeddings, raw = inputs
        if training:
            masked = self._masked(embeddings)
            copies = [ops.repeat(x, self.mask.num_sample, axis=0) for x in raw]
            self.kept.put(self._forward(masked, copies, training))
        return self._forward(weighted, raw, training)

    def _masked(self, embeddings: Sequence[Tensor]) -> list[Tensor]:
        pairs = list(zip(embeddings, self.maskable, strict=True))
        masked = iter(self.mask([e for e, may in pairs if may]))
        return [
            next(masked) if may else ops.repeat(e, self.mask.num_sample, axis=0)
            for e, may in pairs
        ]

    def _forward(
        self, embeddings: Sequence[Tensor], raw: Sequence[Tensor], training: bool
    ) -> Tensor:
        crossed = self.interaction(embeddings)
        if raw:
            crossed = ops.concatenate([crossed, *raw], axis=-1)
        logit: Tensor = self.tower(crossed, training=training)
        return logit

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor | float:
        kept = self.kept.take()
        if not kept:  # only a training step makes copies
            return 0.0
        task = next(iter(labels))  # a model with the output "logit" labels it too
        label, weight = labels[task], weights[task]
        if self.loss_fn is not None or self.task == "binary":
            loss = self.loss_fn or AugmentedBinaryCrossentropy()
            return loss(label, kept[-1], weight)
        z = ops.reshape(kept[-1], (-1, self.mask.num_sample))
        error = ops.square(z - ops.cast(label, z.dtype))
        return mean_of_rows(ops.mean(error, axis=-1), weight)

    def compute_output_shape(self, input_shape: Sequence[Sequence[Shape]]) -> Shape:
        return (input_shape[0][0][0], 1)


@factory()
def adaf2m2(
    fields: Sequence[Field],
    state_non_id_fields: Sequence[Field] = (),
    state_id_fields: Sequence[Field] | None = None,
    num_sample: int = 2,
    interaction: InteractionExpert = InteractionExpert.CrossNet,
    interaction_params: Mapping[str, Any] | None = None,
    task: Task = Task("ctr"),
    min_probability: float = 0.1,
    max_probability: float = 0.5,
    mask_history: bool = True,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    aux_weight: float = 0.2,
    stop_gradient: bool = False,
) -> Model:
    """Builds AdaF2M2: training on masked features, and features weighed by state.

    The auxiliary loss, `aux_weight` times the mean loss of the masked copies, is part
    of every training step; evaluation, prediction and files have none of it.

    Parameters: those of the interaction and its MLP, one vector for each feature that
    may be masked, and the adapter's `(S + 1) F`, S being the width of the state.

    Args:
        fields: The features, F embeddings. Histories are pooled to features.
        state_non_id_fields: What else tells how much is known of user and item: active
            days, counts of interactions.
        state_id_fields: Ids of user and item. Default: the first single id among the
            user fields, and among the item fields. One that names a column of `fields`
            and declares no table, as in version 1, is that field.
        num_sample: Masked copies of each row, K.
        interaction: What the features interact by; the method works with any.
        interaction_params: Arguments of that layer.
        task: A binary or regression task.
        min_probability: Least probability that a feature of a copy is masked.
        max_probability: The largest.
        mask_history: Whether pooled histories are masked too.
        hidden_units: Sizes of the MLP behind the interaction. The default is this
            library's; the paper has others.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        aux_weight: Weight of the auxiliary loss.
        stop_gradient: Whether the adapter leaves the tables of the ids as they are.

    Raises:
        ValueError: If the task is another, no field can tell the state, or none may be
            masked.
    """
    if task.belong not in ("binary", "regression"):
        raise ValueError(
            f"Task {task.name!r}: adaf2m2 needs a binary or regression task. "
            f"Received: belong={task.belong!r}"
        )
    if state_id_fields is None:
        state_id_fields = _first_ids(fields)
    declared = {field.name: field for field in fields}
    state_id_fields = [
        field if field.is_table else declared.get(field.name, field)
        for field in state_id_fields
    ]
    # Layers in a layer begin with its optimizer key: in a file they are built first.
    params = {"name": "dnn_interaction", **(interaction_params or {})}
    grouped = interaction is InteractionExpert.GwPFM  # has a vector for each group
    group_of = field_groups(fields)
    num_groups = max(group_of.values()) + 1
    lists = [each for each in (fields, state_id_fields, state_non_id_fields) if each]
    embed = FieldEmbedder(*lists, times=num_groups if grouped else 1)
    features = embed(fields, history_agg, agg_kwargs)
    embeddings = features.of_one_dim() if interaction.one_dim else features.tensors()

    if grouped:
        groups = [group_of[name] for name in features.names()]
        params |= {"num_groups": num_groups, "field_group_idx": groups}
    layer = interaction.init_layer(**params)

    ids = embed(state_id_fields).tensors() if state_id_fields else []
    signals = [embed(state_non_id_fields).concat()] if state_non_id_fields else []
    if not ids and not signals:
        raise ValueError(
            "adaf2m2 needs state_id_fields or state_non_id_fields: no user or item "
            f"field holds one id. Received: {[f.name for f in fields]}"
        )
    adapter = StateAwareAdapter(stop_gradient, name="dnn_adapter")
    weighted = adapter((embeddings, ids, signals))

    maskable = [
        mask_history or field.belong != "history"
        for part in features.parts
        for field in part.fields
        if field.vocabulary_size
    ]
    if not any(maskable):
        raise ValueError(
            "adaf2m2 needs a field to mask; with mask_history=False one that is no "
            f"history. Received: {[(f.name, f.belong) for f in fields]}, "
            f"mask_history={mask_history}"
        )
    tower = Tower(hidden_units, activation, l2_reg, dropout, use_bn, name="dnn_mlp")
    mask = MaskEmbedding(num_sample, min_probability, max_probability, name="dnn_mask")
    forward = MultiForward(
        task.belong,
        layer,
        tower,
        mask,
        maskable,
        weight=aux_weight,
        name="dnn_multi_forward",
    )
    logit = forward((weighted, embeddings, features.raw()))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="adaf2m2")


def _first_ids(fields: Sequence[Field]) -> list[Field]:
    """The first single id of the user and of the item."""
    single = [field for field in fields if field.is_table and field.length == 1]
    return [
        next(field for field in single if field.belong == belong)
        for belong in ("user", "item")
        if any(field.belong == belong for field in single)
    ]
