"""STEM, STEM-AL: Unleashing the Power of Embeddings for Multi-Task Recommendation.

Su et al., AAAI 2024, https://arxiv.org/abs/2308.13537 (figure 3, eq. 4-8); STEM-AL:
Pan et al., KDD 2024, https://arxiv.org/abs/2403.00793 (section 5)

    fields ──┬─> tables of task 1 ─> experts of 1 ──┬────> gate of 1 ─> tower ─> sigmoid
             │                                  (stop)──┐     │
             ├─> shared tables ───> shared experts ─────┼─────┤
             │                                  (stop)──┼─────┘
             └─> tables of task 2 ─> experts of 2 ──┴───┴> gate of 2 ─> tower ─> sigmoid

A gate of task t reads the sum of the embeddings of t and the shared ones.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import keras

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.elementary import StopGradient
from recsys.layers.experts import Experts
from recsys.layers.gates import GatingNetwork
from recsys.layers.heads import check_tasks, task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = [
    "Field",
    "Task",
    "assign_field_for_shared",
    "build_embeddings",
    "flexible_group",
    "stem",
]

Group = Mapping[Task | tuple[Task, ...], Sequence[Field]]


def flexible_group(group: Group | None) -> dict[tuple[Task, ...], Sequence[Field]]:
    """Returns groups of tasks and their fields; a single task is a group of one."""
    return {
        key if isinstance(key, tuple) else (key,): fields
        for key, fields in (group or {}).items()
    }


def assign_field_for_shared(fields: Sequence[Sequence[Field]]) -> Sequence[Field]:
    """Returns the fields of medium width: those of the shared tables by default."""
    by_width = sorted(fields, key=lambda group: max(field.dim for field in group))
    return by_width[len(by_width) // 2]


def build_embeddings(
    fields: Sequence[Field],
    inputs_dict: dict[str, Tensor],
    prefix: str,
    history_agg: str,
    **agg_kwargs: Any,
) -> Tensor:
    """Embeds fields in the form of version 1; `FieldEmbedder` is the new way.

    Args:
        fields: All fields, histories among them.
        inputs_dict: Keras inputs by name; filled, and what it has is used.
        prefix: Start of the tables' names, e.g. `"embedding/click/"`.
        history_agg: How histories are pooled, see `get_agg_layer`.
        **agg_kwargs: Arguments of that layer.

    Returns:
        `(batch, sum of widths)`.
    """
    embed = FieldEmbedder(fields)
    embed.inputs = inputs_dict
    name = prefix.replace("/", "_").removeprefix("embedding").strip("_")
    embed = embed.another(name) if name else embed
    return embed(fields, history_agg, agg_kwargs).concat()


@factory(not_empty=("experts_dim",))
def stem(
    task_group: Group | Sequence[Field],
    auxiliary_task_group: Group | None = None,
    shared_group: Sequence[Field] | None = None,
    stop_gradients: bool = True,
    experts_dim: int | Sequence[int] = 64,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    task_list: Sequence[Task] | None = None,
    num_layers: int = 1,
    num_experts: int = 1,
    num_shared_experts: int = 1,
    gate_units: Sequence[int] = (128, 64),
    strict: bool = True,
) -> Model:
    """Builds STEM: tables and experts of each task, and shared ones.

    A task reads the experts of all tasks, but trains only its own and the shared ones
    (all-forward, task-specific-backward): what one task dislikes is not unlearned by
    another. In a gate the experts come in the order of the tasks, the shared last.

    With `auxiliary_task_group` it is STEM-AL: main tasks read the auxiliary ones,
    which read only their own experts, and nothing is shared unless `shared_group` is
    given. To serve it without the towers of the auxiliary tasks::

        Model(model.input, {"click": model.output["click"]})

    Args:
        task_group: The fields, with `task_list`; or for each task its fields. A tuple
            of tasks as key shares its tables. The fields of two groups have the same
            columns, and tables of any `dim`.
        auxiliary_task_group: As `task_group`, for tasks that only help.
        shared_group: Fields of the shared tables. Default: `assign_field_for_shared`,
            and with auxiliary tasks none.
        stop_gradients: Whether a task leaves the experts of others as they are.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower. The default is this library's; the paper has
            others.
        activation: Activation of experts, towers and hidden layers of gates.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled in each set of tables, see
            `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        task_list: The tasks, each a group of its own; only if `task_group` is fields.
        num_layers: Levels of experts and gates, as in PLE.
        num_experts: Experts of each task in a level.
        num_shared_experts: Shared experts of a level.
        gate_units: Sizes of hidden layers of a gate.
        strict: Whether between two levels the shared stream, too, leaves the experts
            of tasks as they are. (The authors' code does not stop there, so that with
            two levels a task trains the tables of others.)

    Raises:
        ValueError: If tasks and fields are not given in one of the two ways, groups
            have no field or disagree about a column, or tasks share a name, see
            `check_tasks`.
    """
    if isinstance(task_group, Mapping) == (task_list is not None):
        raise ValueError(
            "stem needs fields and task_list, or task_group, a dict from tasks to "
            f"fields. Received: {task_group}, task_list={task_list}"
        )
    given: Any = task_group
    if task_list is not None:
        check_tasks(task_list)
        given = dict.fromkeys(task_list, task_group)
    main, auxiliary = flexible_group(given), flexible_group(auxiliary_task_group)
    tasks = [*chain(*main, *auxiliary)]
    check_tasks(tasks)
    names = {
        ", ".join(task.name for task in group): [field.name for field in fields]
        for group, fields in chain(main.items(), auxiliary.items())
    }
    if shared_group is not None:
        names["shared"] = [field.name for field in shared_group]
    if not all(names.values()):
        raise ValueError(
            f"stem: each group must have a field at least. Received: {names}"
        )
    if shared_group is None and not auxiliary:
        shared_group = assign_field_for_shared([*main.values()])

    embed = FieldEmbedder(shared_group or next(iter(main.values())))
    shared = None
    if shared_group is not None:
        shared = embed(shared_group, history_agg, agg_kwargs).concat()
    streams: dict[str, Any] = {}
    for group, fields in chain(main.items(), auxiliary.items()):
        own = embed.another("_".join(task.name for task in group), fields=fields)
        x = own(fields, history_agg, agg_kwargs).concat()
        streams |= {task.name: x for task in group}
    mains = {task.name for task in chain(*main)}

    for level in range(num_layers):

        def experts(name: str, x: Tensor, number: int, at: int = level) -> Tensor:
            return Experts(
                number,
                experts_dim,
                activation,
                l2_reg,
                dropout,
                use_bn,
                name=layer_name(f"dnn_level_{at}_experts_{name}"),
            )(x)

        def mixture(
            name: str, x: Tensor, groups: Sequence[Tensor], at: int = level
        ) -> Tensor:
            gate = GatingNetwork(
                sum(group.shape[1] for group in groups),
                layer_name(f"dnn_level_{at}_gate_{name}"),
                l2_reg,
                dropout,
                use_bn,
                hidden_units=gate_units,
                activation=activation,
            )
            return gate([x, *groups])

        of = {name: experts(name, x, num_experts) for name, x in streams.items()}
        stopped = {name: StopGradient()(each) for name, each in of.items()}
        common = []
        if shared is not None:
            common = [experts("shared", shared, num_shared_experts)]
        others = stopped if stop_gradients else of
        mixed = {}
        for name, x in streams.items():
            groups = [of[name]]
            if name in mains:
                groups = [of[t] if t == name else others[t] for t in of] + common
                x = _query(x, shared)
            mixed[name] = mixture(name, x, groups)
        if shared is not None and level < num_layers - 1:
            all_of = stopped if stop_gradients and strict else of
            shared = mixture("shared", shared, [*all_of.values(), *common])
        streams = mixed

    outputs = task_towers(
        tasks,
        [streams[task.name] for task in tasks],
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="stem")


def _query(own: Tensor, shared: Tensor | None) -> Tensor:
    """What a gate reads: the sum, or side by side what differs in width."""
    if shared is None:
        return own
    if own.shape[-1] == shared.shape[-1]:
        return keras.layers.Add()([own, shared])
    return concat([own, shared])
