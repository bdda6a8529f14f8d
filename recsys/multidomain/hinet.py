"""HiNet: Multi-Scenario & Multi-Task Learning with Hierarchical Information Extraction.

Zhou et al., ICDE 2023, https://arxiv.org/abs/2303.06095 (figure 2, eq. 1-9)

    embeddings ─> norm ──┬─> shared sub-experts ──────────────────────────> G ─┐
                         └─> sub-experts of each domain ─┬─ the row's ────> S ─┤
    domain ─────────────────────────> attention ─────────┴─ the others' ──> A ─┤
                                                                               v
    CGC of [A, S, G] with experts, gate and tower for each domain and task ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange, concat
from recsys.layers.base import Layer
from recsys.layers.elementary import Split, Unstack
from recsys.layers.grouped import known_or_last
from recsys.layers.heads import task_towers
from recsys.layers.masking import masked_softmax
from recsys.layers.mlp import FeedForwardLayer
from recsys.layers.streams import SelectDomain, StackedExtraction, domain_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "hinet"]

Attend = Literal["others", "masked"]
Towers = Literal["scenario_task", "task"]


class ScenarioAwareAttention(Layer):
    r"""What the other domains know, weighed by the row's own (eq. 4-5).

        A = \sum_{j \ne p} softmax_{j \ne p}(e_p W + b)_j S_j

    An unknown domain attends to all; where there is no other domain, A is zero.

    Args:
        num_domain: Number of domains.
        attend: `"others"`; or `"masked"`, the authors' code: the softmax is over all
            domains and the own one's share is lost.
        stop_cross: Whether no gradient reaches the other domains.
    Call arguments:
        inputs: `[S (batch, num_domain, width), e_p (batch, dim), domain ids
            (batch,)]`.
    Returns:
        `(batch, width)`.
    Raises:
        ValueError: If there is no such `attend`.
    """

    def __init__(
        self,
        num_domain: int,
        attend: Attend = "others",
        stop_cross: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if attend not in get_args(Attend):
            raise ValueError(
                f"attend must be one of {get_args(Attend)}. Received: attend={attend!r}"
            )
        self.num_domain = num_domain
        self.attend = attend
        self.stop_cross = stop_cross

    def build(self, input_shape: Sequence[Shape]) -> None:
        _, (_, dim), _ = input_shape
        self.kernel = self.add_weight(
            shape=(self.num_domain, dim),
            initializer="glorot_uniform",
            name="domain_kernel",
        )
        self.bias = self.add_weight(
            shape=(self.num_domain,), initializer="zeros", name="domain_bias"
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        streams, own, ids = inputs
        if self.stop_cross:
            streams = ops.stop_gradient(streams)
        return ops.einsum("bp,bpe->be", self.shares(own, ids), streams)

    def shares(self, own: Tensor, ids: Tensor) -> Tensor:
        """Returns the shares of the domains, `(batch, num_domain)`."""
        ids = ops.expand_dims(known_or_last(ids, self.num_domain), 1)
        other = ops.not_equal(ids, ops.arange(self.num_domain, dtype="int32"))
        scores = ops.matmul(own, ops.transpose(self.kernel)) + self.bias
        if self.attend == "others":
            return masked_softmax(scores, other)
        shares = masked_softmax(scores, None)
        return ops.where(other, shares, ops.zeros_like(shares))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], input_shape[0][-1])


@factory(
    "domain_id",
    may_be_zero=("num_experts", "num_shared_experts"),
    not_empty=("sub_expert_units", "experts_dim"),
)
def hinet(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    num_sub_experts: int = 5,
    sub_expert_units: Sequence[int] = (128, 64),
    num_experts: int = 2,
    num_shared_experts: int = 2,
    experts_dim: int | Sequence[int] = 64,
    hidden_units: Sequence[int] = (128, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    input_norm: bool = True,
    attend: Attend = "others",
    towers: Towers = "scenario_task",
    stop_cross: bool = False,
    gate_units: Sequence[int] = (),
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds HiNet: scenarios first, then tasks.

    Of the authors' code three things are not taken over: a ReLU before each softmax, a
    softmax over an axis of one, and a loss of each domain's towers on all rows.

    Args:
        fields: Exactly one domain field of ids.
        task_list: The tasks.
        num_sub_experts: Experts of each domain, and of all, in the scenario layer.
        sub_expert_units: Sizes of the layers of these.
        num_experts: Experts of each domain and task in the task layer, may be 0.
        num_shared_experts: Shared experts of the task layer, may be 0.
        experts_dim: Sizes of the layers of these, one number for one layer.
        hidden_units: Sizes of the towers.
        activation: Activation of all of them.
        dropout: Fraction dropped behind each layer, in [0, 1); the authors' is 0.5.
        l2_reg: Penalty on the kernels.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        input_norm: Whether the embeddings are batch-normalised.
        attend: See `ScenarioAwareAttention`.
        towers: Whether experts, gates and towers of the task layer are of each domain
            and task, or of each task.
        stop_cross: Whether rows of a domain move no sub-expert of another.
        gate_units: Sizes of hidden layers between a domain's embedding and the
            attention; (128, 64) in the authors' code.
        oov_domain: See `FieldEmbedder`; an unknown domain has the mean of all domains
            for S, attends to all, and gets the mean of all logits.

    Raises:
        ValueError: If there is not one domain field of ids, are no experts, or an
            option is unknown.
    """
    if towers not in get_args(Towers):
        raise ValueError(
            f"towers must be one of {get_args(Towers)}. Received: towers={towers!r}"
        )
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    domain = embed.domain("hinet")
    x = embed(fields, history_agg, agg_kwargs).concat()
    own = embed([f for f in fields if f.name == domain.name]).concat()
    own = FeedForwardLayer(gate_units, activation, l2_reg, dropout, name="dnn_gate")(
        own
    )
    if input_norm:
        x = keras.layers.BatchNormalization(name="dnn_norm")(x)

    def extraction(
        name: str,
        number: int,
        num_own: int,
        num_common: int,
        units: int | Sequence[int],
        use_bias: bool = False,
    ) -> StackedExtraction:
        return StackedExtraction(
            number,
            num_own,
            num_common,
            units,
            activation,
            l2_reg,
            dropout,
            use_bias=use_bias,
            name=name,
        )

    sub = (num_sub_experts, 0, sub_expert_units, True)
    shared = extraction("dnn_shared", 1, *sub)([x, x])
    streams = extraction("dnn_scenario", domain.number, *sub)([x, x])
    attention = ScenarioAwareAttention(
        domain.number, attend, stop_cross, name="dnn_attention"
    )
    context = concat(
        [
            attention([streams, own, domain.ids]),
            SelectDomain(domain.number, name="dnn_own")([streams, domain.ids]),
            *Unstack()(shared),
        ]
    )

    by_domain = domain.number if towers == "scenario_task" else 1
    number = by_domain * len(task_list)
    sizes = (num_experts, num_shared_experts, experts_dim)
    mixed = extraction("dnn_cgc", number, *sizes)([context, context])
    if by_domain == 1:
        outputs = task_towers(
            task_list,
            Unstack()(mixed),
            hidden_units,
            activation,
            l2_reg,
            dropout,
            False,
        )
        return Model(inputs=embed.inputs, outputs=outputs, name="hinet")
    width = mixed.shape[-1]
    mixed = keras.layers.Reshape((by_domain, len(task_list) * width))(mixed)
    outputs = domain_towers(
        task_list,
        Split([width] * len(task_list))(mixed),
        domain.ids,
        domain.number,
        hidden_units,
        activation,
        l2_reg,
        dropout,
        False,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="hinet")
