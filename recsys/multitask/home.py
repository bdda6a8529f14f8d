"""HoME: Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou.

Wang et al., KDD 2025, https://arxiv.org/abs/2408.05430 (figure 4)

    embeddings ──┬─> shared experts ───────┬─> m_0 ─┬─> shared experts ───────┐
                 └─> experts of category ──┴─> m_c ─┼─> experts of category ──┼─> tower
                                                    └─> experts of task ──────┘
    all experts: x * feature gate(x) ─> linear ─> batch norm ─> Swish
    all mixtures: gate over what is seen + self gate over what is owned
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.experts import Experts
from recsys.layers.gates import GatingNetwork, Mixture
from recsys.layers.heads import check_tasks, task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "home"]


class FeatureGate(Layer):
    r"""Gives each expert an input of its own: the bits of x, weighed.

        x_k = x * \sum_i softmax_i(x W_k) 2 \sigma(x B_ki A_ki)

    The matrices B A are of low rank. At B = 0 all weights are 1.

    Args:
        num_experts: Number of experts.
        num_pairs: Pairs of matrices of each expert.
        rank: Rank of the pairs; default: a sixteenth of the width, 4 at least.
        l2_reg: Penalty `l2_reg * sum of squares` on the matrices.
    Call arguments:
        inputs: `(batch, d)`.
    Returns:
        `(batch, num_experts, d)`.
    """

    def __init__(
        self,
        num_experts: int,
        num_pairs: int = 2,
        rank: int | None = None,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_experts = num_experts
        self.num_pairs = num_pairs
        self.rank = rank
        self.l2_reg = l2_reg

    def build(self, input_shape: Shape) -> None:
        width, n = input_shape[-1], self.num_experts * self.num_pairs
        rank = self.rank or max(4, width // 16)
        limit = math.sqrt(6 / (width + rank))
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        self.down, self.up = (
            self.add_weight(
                shape=shape,
                initializer=keras.initializers.RandomUniform(-limit, limit),
                regularizer=regularizer,
                name=name,
            )
            for shape, name in (((n, width, rank), "down"), ((n, rank, width), "up"))
        )
        if self.num_pairs > 1:
            self.choice = keras.layers.Dense(
                n, use_bias=False, dtype="float32", name="choice"
            )
            self.choice.build((None, width))

    def call(self, inputs: Tensor) -> Tensor:
        low = ops.matmul(ops.expand_dims(inputs, 0), self.down)  # (pairs, batch, rank)
        each = 2 * ops.sigmoid(ops.matmul(low, self.up))
        split = (self.num_experts, self.num_pairs, -1, inputs.shape[-1])
        each = ops.reshape(each, split)
        if self.num_pairs == 1:
            gate = ops.transpose(ops.squeeze(each, axis=1), (1, 0, 2))
        else:
            scores = ops.reshape(self.choice(inputs), (-1, *split[:2]))
            shares = ops.cast(ops.softmax(scores), each.dtype)
            gate = ops.einsum("bki,kibd->bkd", shares, each)
        return gate * ops.expand_dims(inputs, 1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_experts, input_shape[-1])


class SelfGate(Layer):
    """Mixes the experts one owns: softmax of their scores, of a single one sigmoid.

    Call arguments:
        inputs: `[x (batch, d), experts (batch, n, width)]`.
    Returns:
        `(batch, width)`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        x, experts = input_shape
        self.scores = keras.layers.Dense(
            experts[1], use_bias=False, dtype="float32", name="scores"
        )
        self.scores.build(x)
        self.mixture = Mixture(name="mixture", dtype=self.dtype_policy)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, experts = inputs
        scores = self.scores(x)
        one = experts.shape[1] == 1
        return self.mixture(
            [ops.sigmoid(scores) if one else ops.softmax(scores), experts]
        )

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], input_shape[1][-1])


@factory(not_empty=("experts_dim",))
def home(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    categories: Mapping[str, Sequence[str]] | None = None,
    num_experts: int = 1,
    num_shared_experts: int = 1,
    experts_dim: int | Sequence[int] = 64,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "swish",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = True,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    feature_gate: bool = True,
    self_gate: bool = True,
    shared_meta: Literal["own", "all"] = "own",
) -> Model:
    """Builds HoME: experts for all, for a category of tasks, and for each task.

    A task sees the experts of its own category only. There is no code of the authors:
    the three parts (normalised experts, feature gates, self gates) are the paper's,
    their wiring, and that several low-rank pairs make a feature gate, our reading.

        m_0 = gate_0(x) M_0 + self(x) M_0
        m_c = gate_c(x) [M_0, M_c] + self(x) M_c
        h_t = gate_t([m_0, m_c]) [S_0(m_0), S_c(m_c), P_t(m_c)] + self(m_c) P_t

    Args:
        fields: All fields.
        task_list: The tasks.
        categories: The names of the tasks of each category, e.g. `{"watch": ["long"],
            "interact": ["like", "share"]}`. Default: one of all tasks, named `all`.
        num_experts: Experts of each category in either level, and of each task.
        num_shared_experts: Shared experts in either level.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower. The default is this library's; the paper has
            others.
        activation: Activation of experts and towers; behind the normalisation.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether the layers of experts normalise. (Towers do not.)
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        feature_gate: Whether each expert weighs the bits of its input.
        self_gate: Whether a mixture adds what its owner's experts say.
        shared_meta: `"all"`: the shared mixture of the lower level reads the experts
            of the categories, too, as in PLE.

    Raises:
        ValueError: If a task is not in exactly one category, or tasks share a name,
            see `check_tasks`.
    """
    check_tasks(task_list)
    names = [task.name for task in task_list]
    categories = {"all": names} if categories is None else categories
    of = [name for members in categories.values() for name in members]
    if sorted(of) != sorted(names) or "shared" in categories:
        raise ValueError(
            f"categories must name each task of {names} once, and none be 'shared'. "
            f"Received: {dict(categories)}"
        )

    def experts(name: str, x: Tensor, number: int) -> Tensor:
        if feature_gate:
            x = FeatureGate(
                number, l2_reg=l2_reg, name=layer_name(f"dnn_feature_gate_{name}")
            )(x)
        return Experts(
            number,
            experts_dim,
            activation,
            l2_reg,
            dropout,
            use_bn,
            name=layer_name(f"dnn_experts_{name}"),
        )(x)

    def mixture(
        name: str, x: Tensor, seen: Sequence[Tensor], own: Tensor, at: Tensor
    ) -> Tensor:
        gate = GatingNetwork(
            sum(group.shape[1] for group in seen),
            layer_name(f"dnn_gate_{name}"),
            l2_reg,
        )
        mixed = gate([x, *seen])
        if not self_gate:
            return mixed
        added = SelfGate(name=layer_name(f"dnn_self_gate_{name}"))([at, own])
        return keras.layers.Add()([mixed, added])

    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    shared = experts("meta_shared", x, num_shared_experts)
    of_category = {c: experts(f"meta_{c}", x, num_experts) for c in categories}
    seen = [shared, *of_category.values()] if shared_meta == "all" else [shared]
    m_0 = mixture("meta_shared", x, seen, shared, x)
    s_0 = experts("shared", m_0, num_shared_experts)
    mixed: dict[str, Any] = {}
    for category, members in categories.items():
        own = of_category[category]
        m_c = mixture(f"meta_{category}", x, [shared, own], own, x)
        s_c = experts(f"category_{category}", m_c, num_experts)
        query = concat([m_0, m_c])
        for name in members:
            p_t = experts(f"task_{name}", m_c, num_experts)
            mixed[name] = mixture(f"task_{name}", query, [s_0, s_c, p_t], p_t, m_c)
    outputs = task_towers(
        task_list,
        [mixed[name] for name in names],
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn=False,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="home")
