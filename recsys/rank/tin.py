"""TIN: Temporal Interest Network for User Response Prediction.

Zhou et al., WWW 2024, https://arxiv.org/abs/2308.08487 (figure 3, eq. 3-6)

    user, context, item ─> embeddings ──────────────────────────────┐
                                + time 0 ┐                          v
    history ─> embeddings + times ───────┴> a_t (e_t * q), sum ──> MLP ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.inputs.ending import mlp_model
from recsys.layers.history_transformer import TIM
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "tin"]


@factory("history")
def tin(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    attention_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds TIN: what a behaviour means for the target depends on when it was.

    Time is a history field of the group with `role="time"`, or else the place counted
    back from the target. Each group has a table of times of its own, `(times, H)`.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP. The default is this library's; the paper has
            others, the authors' code (80, 40).
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        attention_kwargs: Arguments of `TIM`; by default the paper's attention, which
            has no projections.

    Raises:
        ValueError: If there is no history or no target of its width.
    """
    embed = FieldEmbedder(fields)
    histories = embed.histories(fields, apart=["time"], needed_by="tin")
    parts = [embed([f for f in fields if f.belong != "history"]).concat()]
    for history in histories:
        kwargs = {"max_len": history.num_times - 1, **(attention_kwargs or {})}
        module = TIM(**kwargs, name=layer_name(f"dnn_tim_{history.group}"))
        parts.append(
            module(
                [history.target, history.sequence],
                valid=history.valid,
                times=history.times,
            )
        )
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("tin", embed, concat(parts), task, mlp)
