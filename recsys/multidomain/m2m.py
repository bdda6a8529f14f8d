"""M2M: Leaving No One Behind, a Multi-Scenario Multi-Task Meta Learning Approach.

Zhang et al., WSDM 2022, https://arxiv.org/abs/2201.06814 (figure 2, section 3)

    domain, user ──> scenario view ─────────┬───────────────┐ generates the weights of
                                            v               v
    user, item, ───> views by experts ─> meta attention ─> meta tower ─> logit, sigmoid
    context, history                        ^  for each task
    task ──────────> a view per task ───────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, OutOfRange
from recsys.layers.base import Layer
from recsys.layers.elementary import Stack, Unstack
from recsys.layers.experts import Experts
from recsys.layers.heads import check_tasks, task_towers
from recsys.layers.meta import MetaAttention, MetaTower
from recsys.layers.mlp import FeedForwardLayer
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "m2m"]


class LearnedView(Layer):
    """A learned vector, the same for each row: the view of a task without fields.

    Args:
        dim: Its width.
    Call arguments:
        inputs: Any tensor, `(batch, ...)`.
    Returns:
        `(batch, dim)`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim

    def build(self, input_shape: Shape) -> None:
        self.view = self.add_weight(
            shape=(1, self.dim), initializer="random_normal", name="view"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.tile(self.view, (ops.shape(inputs)[0], 1))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.dim)


@factory("domain", may_be_zero=("meta_tower_depth",))
def m2m(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    num_experts: int = 4,
    view_dim: int = 32,
    scenario_dim: int = 16,
    meta_tower_depth: int = 3,
    meta_unit_depth: int = 3,
    meta_unit_shared: bool = True,
    activation: Activation = "leaky_relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "transformer",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds M2M: experts mixed and refined by networks that a scenario generates.

    Weights are generated once for all experts and tasks; their scale and start are
    ours, see `MetaUnit`. With v = `view_dim`, k =
    `scenario_dim` and d = `meta_unit_depth`, those of the attention are `d (2v)^2`
    numbers a row and have `d (k + 1) ((2v)^2 + 2v)` parameters; each of the
    `meta_tower_depth` units of the tower has as many with v in place of 2v. At the
    defaults of version 1, v = 256 and k = 64, that are 3 MB a row and 51 M parameters
    of the attention alone, hence the smaller ones here.

    Args:
        fields: At least one domain field. Fields with `belong="task"` describe the
            task that their `group` names; a task without one has a learned view.
        task_list: The tasks; of counts, `Task(belong="count")`, with Poisson loss.
        num_experts: Number of experts.
        view_dim: Width v of experts and views of tasks.
        scenario_dim: Width k of the scenario view, which is made of domain and user.
        meta_tower_depth: Number of meta units in the tower, may be 0.
        meta_unit_depth: Layers of each meta unit.
        meta_unit_shared: Whether one set of meta units serves all tasks.
        activation: Activation of views, meta units and tower.
        dropout: Fraction dropped behind each of their layers, in [0, 1).
        l2_reg: Penalty on their kernels.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer; default: of a transformer, whose
            positions are appended.
        oov_domain: See `FieldEmbedder`; unknown domains have one embedding together.

    Raises:
        ValueError: If there is no domain field, nothing for the experts to read, or a
            task field of no task.
    """
    check_tasks(task_list)
    if agg_kwargs is None:
        concat = {"position_merge": "concat"}
        agg_kwargs = concat if history_agg == "transformer" else {}
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    x = embed(fields, history_agg, agg_kwargs)
    features = x.of("user", "item", "context", "history")
    if not x.of("domain").parts or not features.parts:
        raise ValueError(
            "m2m needs a field with belong='domain', and others for its experts. "
            f"Received: {[(field.name, field.belong) for field in fields]}"
        )
    names = [task.name for task in task_list]
    of_task = [field for field in fields if field.belong == "task"]
    for field in of_task:
        if field.group not in names:
            raise ValueError(
                f"Field {field.name!r}: group must be the task it describes, one of "
                f"{names}. Received: group={field.group!r}"
            )

    def view(dim: int, name: str) -> FeedForwardLayer:
        return FeedForwardLayer(dim, activation, l2_reg, dropout, name=name)

    experts = Experts(
        num_experts, view_dim, activation, l2_reg, dropout, name="dnn_experts"
    )(features.concat())
    scenario = view(scenario_dim, "dnn_scenario")(x.of("domain", "user").concat())
    tasks = []
    for name in names:
        own = [field for field in of_task if field.group == name]
        if own:
            tasks.append(
                view(view_dim, layer_name(f"dnn_task_{name}"))(embed(own).concat())
            )
        else:
            tasks.append(
                LearnedView(view_dim, name=layer_name(f"dnn_task_{name}"))(scenario)
            )

    refined = []
    together = [tasks] if meta_unit_shared else [[task] for task in tasks]
    for some, suffix in zip(together, [""] if meta_unit_shared else names, strict=True):
        ending = f"_{suffix}" if suffix else ""
        mixed = MetaAttention(
            meta_unit_depth,
            activation,
            dropout,
            l2_reg,
            name=layer_name(f"dnn_meta_attention{ending}"),
        )([experts, Stack()(some), scenario])
        tower = MetaTower(
            meta_tower_depth,
            meta_unit_depth,
            activation,
            dropout,
            l2_reg,
            name=layer_name(f"dnn_meta_tower{ending}"),
        )
        refined += Unstack()(tower([mixed, scenario]))
    outputs = task_towers(task_list, refined, (), activation, 0.0, 0.0, False)
    return Model(inputs=embed.inputs, outputs=outputs, name="m2m")
