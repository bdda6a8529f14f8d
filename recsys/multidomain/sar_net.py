"""SAR-Net: A Scenario-Aware Ranking Network for Personalized Fair Recommendation.

Shen et al., CIKM 2021, https://arxiv.org/abs/2110.06475 (figure 2, section 3)

    history ─> attention by items x attention by scenarios ─┐
    all others ─> embeddings ───────────────────────────────┴─> h
    domain ─> beta_p * h + gamma_p ──┬─> experts of the domain ──┐
                                     ├─> experts of all domains ─┼─> mixture ─> sigmoid
                                     └─> gate ───────────────────┘
    fairness coefficient ─> bias of each expert, in training only; weight of the row
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, OutOfRange, concat
from recsys.layers.activation_unit import AttentionLayer
from recsys.layers.base import Layer
from recsys.layers.grouped import known_or_last, members
from recsys.layers.heads import predict
from recsys.layers.losses import LossLayer
from recsys.layers.masking import masked_softmax
from recsys.layers.mlp import as_shapes
from recsys.layers.row_means import mean_of_rows
from recsys.layers.scalar_experts import LEAST, MOST, DebiasExperts
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "Task", "fairness_coefficient", "sar_net"]


def fairness_coefficient(pv: ArrayLike, pred_sum: ArrayLike) -> NDArray[np.float64]:
    """Returns how little an item's exposure in a scenario was made by intervention.

    `(pred_sum / pv)` over its mean, cut off at 0.1 and 10: items that are shown more
    than they are predicted to be liked have a small one. The paper makes it of these
    two numbers; the form is ours.

    Args:
        pv: Rows of each item and scenario, at least 1.
        pred_sum: Sum of a model's predictions on them.

    Example:
    >>> fairness_coefficient([10, 10], [1.0, 3.0])
    array([0.5, 1.5])
    """
    rate = np.asarray(pred_sum, "float64") / np.asarray(pv, "float64")
    return np.asarray(np.clip(rate / rate.mean(), LEAST, MOST))


class CrossScenarioAttention(Layer):
    r"""Behaviours that are like the target and happened in a place like this one.

        u = \sum_t softmax_t(att_I(x_t, x)) softmax_t(att_S(c_t, c)) x_t

    The product of the two is not normalised again.

    Masking: behaviours that are not `valid` count in neither softmax.

    Args:
        hidden_units: Sizes of both activation units, see `AttentionLayer`.
        activation: Activation of them.
        renormalise: Whether the products are divided by their sum.
    Call arguments:
        inputs: `[x (batch, d), x_t (batch, length, d), c (batch, k),
            c_t (batch, length, k)]`, or the first two.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, d)`; zero for an empty history.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (80, 40),
        activation: Activation | dict[str, Any] = "dice",
        renormalise: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.renormalise = renormalise

    def build(self, input_shape: Sequence[Shape]) -> None:
        shapes = as_shapes(input_shape)
        self.attentions = []
        for i, name in enumerate(("items", "scenarios")[: len(shapes) // 2]):
            attention = AttentionLayer(
                self.hidden_units, self.activation, name=name, dtype=self.dtype_policy
            )
            attention.build(shapes[2 * i : 2 * i + 2])
            self.attentions.append(attention)

    def call(
        self, inputs: Sequence[Tensor], valid: Tensor, training: bool = False
    ) -> Tensor:
        return ops.einsum(
            "bl,bld->bd",
            self.shares(inputs, valid, training),
            ops.where(ops.expand_dims(valid, -1), inputs[1], 0),
        )

    def shares(
        self, inputs: Sequence[Tensor], valid: Tensor, training: bool = False
    ) -> Tensor:
        """Returns the weights of the behaviours, `(batch, length)`."""
        shares: Any = 1.0
        for i, attention in enumerate(self.attentions):
            pair = inputs[2 * i : 2 * i + 2]
            shares *= masked_softmax(attention.scores(pair, valid, training), valid)
        if self.renormalise:
            total = ops.sum(shares, axis=-1, keepdims=True)
            shares = shares / ops.where(total > 0, total, 1)
        weights: Tensor = shares
        return weights

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return tuple(input_shape[0])


class ScenarioTransform(Layer):
    r"""Scales and shifts each unit as the domain says: \beta_p * h + \gamma_p.

    At first, and always for an unknown domain, nothing is changed.

    Args:
        num_domain: Number of domains.
    Call arguments:
        inputs: `[h (batch, width), domain ids (batch,)]`.
    Returns:
        `(batch, width)`.
    """

    def __init__(self, num_domain: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_domain = num_domain

    def build(self, input_shape: Sequence[Shape]) -> None:
        shape = (self.num_domain, input_shape[0][-1])
        self.beta = self.add_weight(shape=shape, initializer="ones", name="domain_beta")
        self.gamma = self.add_weight(
            shape=shape, initializer="zeros", name="domain_gamma"
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        h, ids = inputs
        domains = known_or_last(ids, self.num_domain)
        of = ops.cast(members(domains, self.num_domain + 1), h.dtype)
        beta = ops.pad(self.beta, ((0, 1), (0, 0)), constant_values=1)
        gamma = ops.pad(self.gamma, ((0, 1), (0, 0)))
        return h * ops.matmul(of, beta) + ops.matmul(of, gamma)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class FairnessWeight(LossLayer):
    """Weighs each row's cross-entropy by its fairness coefficient.

    The loss here is `mean((FC - 1) * cross-entropy)`: what is missing from the
    model's own cross-entropy to `mean(FC * cross-entropy)`.

    Args:
        task: Name of the binary task.
    Call arguments:
        inputs: `[logit (batch, 1), coefficients (batch,)]`.
    Returns:
        The logit.
    """

    def __init__(self, task: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.task = task

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.kept.put(inputs)
        return inputs[0]

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        logit, fc = self.kept.take()[-1]
        label = ops.cast(labels[self.task], logit.dtype)
        losses = ops.reshape(ops.softplus(logit) - label * logit, (-1,))
        fc = ops.reshape(ops.cast(fc, logit.dtype), (-1,))
        return mean_of_rows((fc - 1) * losses, weights[self.task])

    def divisor(self, rows: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        return valid[self.task]


@factory("domain_id", may_be_zero=("num_specific_experts", "num_shared_experts"))
def sar_net(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    num_specific_experts: int = 2,
    num_shared_experts: int = 8,
    attention_hidden_units: Sequence[int] = (80, 40),
    attention_activation: Activation = "dice",
    *,
    expert_hidden_units: Sequence[int] = (),
    expert_activation: Activation = "relu",
    renormalise: bool = False,
    fairness: str | None = None,
    fc_as_feature: bool = True,
    fc_as_weight: bool = True,
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds SAR-Net: behaviours of all scenarios, and experts that forget exposure.

    History fields that share the table of a domain or context field say where a
    behaviour happened; they are compared with where the row is, the others with the
    item. Histories without such fields have the attention of items alone.

    Args:
        fields: Exactly one domain field of ids. Of a history, list the items before
            the scenarios: their 0 is padding.
        task: The task.
        num_specific_experts: Experts of each domain, may be 0.
        num_shared_experts: Experts of all domains, may be 0.
        attention_hidden_units: Sizes of the activation units.
        attention_activation: Activation of them.
        expert_hidden_units: Sizes of an MLP in each expert; without any the experts
            are linear, and what is not linear is up to the gate.
        expert_activation: Activation of the MLPs.
        renormalise: See `CrossScenarioAttention`.
        fairness: Name of the field that holds the fairness coefficient of a row, a
            number of 1 where nothing is known, see `fairness_coefficient`. Inference
            takes the column too, whatever is in it.
        fc_as_feature: Whether experts have a bias by it in training.
        fc_as_weight: Whether it weighs the rows; the task is then binary, its loss
            the binary cross-entropy.
        oov_domain: See `FieldEmbedder`; an unknown domain has neither transform nor
            experts of its own.

    Raises:
        ValueError: If there is not one domain field of ids, are no experts, a history
            has no target, or there is no field `fairness`.
    """
    by_name = {field.name: field for field in fields}
    if fairness is not None and (
        fairness not in by_name
        or by_name[fairness].is_table
        or by_name[fairness].length != 1
    ):
        raise ValueError(
            "fairness must be the name of a field of one number. "
            f"Received: fairness={fairness!r}"
        )
    if fairness is not None and fc_as_weight and task.belong != "binary":
        raise ValueError(
            f"Task {task.name!r}: fc_as_weight needs a binary task. "
            f"Received: belong={task.belong!r}"
        )
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    domain = embed.domain("sar_net")
    features = [field for field in fields if field.name != fairness]
    plain = [field for field in features if field.belong != "history"]
    past = [field for field in features if field.belong == "history"]

    places = {f.emb: f for f in reversed(plain) if f.belong in ("domain", "context")}
    where = embed.resolve([field for field in past if field.emb in places])
    attended = []
    items = [field for field in features if field.emb not in places or field in plain]
    for history in embed.histories(items, needed_by="sar_net" if past else ""):
        inputs = [history.target, history.sequence]
        own = [field for field in where if field.group == history.group]
        if own:
            here = [places[field.emb] for field in own]
            inputs.append(concat([embed([field]).concat() for field in here]))
            steps = [
                embed.lookup_values(field, "embedding_", field.dim) for field in own
            ]
            inputs.append(concat(steps))
        attend = CrossScenarioAttention(
            attention_hidden_units,
            attention_activation,
            renormalise,
            name=layer_name(f"dnn_attention_{history.group}"),
        )
        attended.append(attend(inputs, valid=history.valid))

    h = concat([*attended, embed(plain).concat()])
    h = ScenarioTransform(domain.number, name="dnn_transform")([h, domain.ids])
    coefficient = [] if fairness is None else [embed.column(fairness)]
    logit = DebiasExperts(
        domain.number,
        num_specific_experts,
        num_shared_experts,
        task.num_classes,
        expert_hidden_units,
        expert_activation,
        name="dnn_experts",
    )([h, domain.ids, *(coefficient if fc_as_feature else [])])
    if coefficient and fc_as_weight:
        weigh = FairnessWeight(task.name, name="dnn_fairness")
        logit = weigh([logit, *coefficient])
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="sar_net")
