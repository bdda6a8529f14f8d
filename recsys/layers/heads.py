"""From logits to predictions of tasks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import keras
from keras import ops

from recsys.feature import Task
from recsys.feature._names import given_name, layer_name
from recsys.layers.base import Layer
from recsys.layers.kept import Kept
from recsys.layers.mlp import Tower, as_shapes
from recsys.types import Activation, Shape, Tensor, Tensors


class PredictLayer(Layer):
    """The head of a task: from logits to a prediction, in float32.

    The prediction is exactly the activation of the logit, sigmoid for a binary
    task, softmax for a multiclass one and exp for a count; no bias is added on the
    way. The logit is kept for the loss of the step (`recsys.train.Model`).

    Args:
        task: `"binary"`, `"regression"`, `"multiclass"` or `"count"`.
        num_classes: Classes of a multiclass task.
        as_logit: Whether to return the logit itself.
        use_bias: Bias of the Dense layer, where there is one.
        is_task: Whether losses and metrics given for all tasks are for this one too;
            off for what follows from tasks, and has labels only by its name.
        requires: Name of a binary task that must be 1 where this one is, as a
            conversion needs a click.
        logit_shift: Added to the logit in use, and not in training: the logarithm of
            the share of negatives that training keeps, so that predictions are rates
            of all rows.
    Call arguments:
        inputs: `(batch, num_logits)`, or a list of them, which is summed; an input
            of another width passes a Dense layer to become a logit.
    Returns:
        `(batch, num_logits)`; one logit unless the task is multiclass.
    Raises:
        ValueError: If the task is unknown, logits in a list differ in width, or there
            is one logit for several classes.
    """

    def __init__(
        self,
        task: str,
        num_classes: int = 1,
        as_logit: bool = False,
        use_bias: bool = True,
        is_task: bool = True,
        requires: str | None = None,
        logit_shift: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        Task(given_name(self.name), task, num_classes)  # type: ignore[arg-type]  # checks them
        self.task = task
        self.num_classes = num_classes
        self.as_logit = as_logit
        self.use_bias = use_bias
        self.is_task = is_task
        self.requires = requires
        self.logit_shift = logit_shift
        self.kept = Kept()

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        shapes = as_shapes(input_shape)
        widths = {shape[-1] for shape in shapes}
        if self.num_classes > 1 and 1 in widths:
            raise ValueError(
                f"Task {given_name(self.name)!r}: this model computes one logit a row, "
                "for any but a multiclass task, which has one for each class. "
                f"Received: belong={self.task!r}, num_classes={self.num_classes}"
            )
        if len(widths) > 1:
            raise ValueError(
                f"Task {given_name(self.name)!r}: logits that are summed must have one "
                f"width. Received: widths {sorted(widths)}"
            )
        if widths != {self.num_classes}:
            self.dense = keras.layers.Dense(
                self.num_classes, use_bias=self.use_bias, dtype="float32", name="logit"
            )
            self.dense.build(shapes[0])

    def call(self, inputs: Tensors, training: bool | None = None) -> Tensor:
        if isinstance(inputs, (list, tuple)):
            inputs = sum(inputs[1:], start=inputs[0])
        logit = inputs
        if hasattr(self, "dense"):
            logit = self.dense(logit)
        if self.logit_shift and not training:
            logit = logit + self.logit_shift
        self.kept.put(logit)
        if self.as_logit or self.task == "regression":
            return logit
        activations = {"binary": ops.sigmoid, "multiclass": ops.softmax}
        return activations.get(self.task, ops.exp)(logit)


@overload
def predict(
    task: Task, logits: Tensor | Sequence[Tensor]
) -> Tensor | dict[str, Tensor]: ...
@overload
def predict(
    task: Sequence[Task], logits: Iterable[Tensor | Sequence[Tensor]]
) -> dict[str, Tensor]: ...
def predict(task: Task | Sequence[Task], logits: Any) -> Tensor | dict[str, Tensor]:
    """Ends a model: from logits to the outputs of its tasks.

    Args:
        task: The task, or several.
        logits: The logit of the task, `(batch, num_classes)`, or a list of logits to
            be summed. For several tasks, an iterable of one such entry for each.

    Returns:
        For one task its prediction, or with `return_logit` the dict `{task.name:
        prediction, "logit": logit}`. For several, a dict of predictions by name in
        the order of the tasks.

    Raises:
        ValueError: If several tasks do not have a logit each; see `check_tasks`.
    """
    if isinstance(task, Task):
        head = _head(task)
        if not task.return_logit:
            return head(logits)
        logit = PredictLayer(task.belong, as_logit=True, name="logit")(logits)
        return {task.name: head(logit), "logit": logit}
    check_tasks(task)
    other = hasattr(logits, "shape") or isinstance(logits, (str, Mapping))
    listed = [*logits] if isinstance(logits, Iterable) and not other else []
    if len(listed) != len(task):
        raise ValueError(
            "predict: logits must be a list, one for each task. "
            f"Received: tasks {[t.name for t in task]}, logits={logits!r}"
        )
    return {t.name: _head(t)(logit) for t, logit in zip(task, listed, strict=True)}


def _head(task: Task) -> PredictLayer:
    name = layer_name(task.name)
    return PredictLayer(task.belong, task.num_classes, name=name)


def check_tasks(task_list: Sequence[Task]) -> None:
    """Raises `ValueError` if tasks cannot be the outputs of one model.

    There must be one at least, and none may share its name with another or with what
    models name themselves.
    """
    names = [task.name for task in task_list]
    if not names or len(set(names)) < len(names) or {"shared", "logit"} & set(names):
        raise ValueError(
            "Tasks must have distinct names, none of them 'shared' or 'logit'. "
            f"Received: {names}"
        )


def task_towers(
    task_list: Sequence[Task],
    inputs: Sequence[Tensor],
    hidden_units: Sequence[int],
    activation: Activation,
    l2_reg: float,
    dropout: float,
    use_bn: bool,
) -> dict[str, Tensor]:
    """Ends a model of several tasks: a tower and a head for each.

    Args:
        task_list: The tasks.
        inputs: What the tower of each task gets, `(batch, width)`.
        hidden_units, activation, l2_reg, dropout, use_bn: Of the towers, which are
            named `dnn_tower_<task>`.

    Raises:
        ValueError: See `check_tasks`.
    """
    logits = [
        Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits=task.num_classes,
            name=layer_name(f"dnn_tower_{task.name}"),
        )(x)
        for task, x in zip(task_list, inputs, strict=True)
    ]
    return predict(task_list, logits)
