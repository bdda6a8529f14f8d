"""From a configuration to a compiled model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras

from recsys.about import about
from recsys.data.pipeline import FeaturePipeline
from recsys.feature import Task
from recsys.registry import create_model
from recsys.runs import measures
from recsys.runs.config import Schedule, Training
from recsys.runs.matching.checks import check_match, check_no_match
from recsys.runs.matching.kind import is_match
from recsys.runs.reading import Read
from recsys.runs.stages.first import first_stage
from recsys.runs.tracking import check_tracking
from recsys.train import optimizers
from recsys.train.model import Model


def build(read: Read, pipeline: FeaturePipeline) -> Model:
    """Returns the model of a configuration, not yet compiled.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.

    Raises:
        ValueError: If the model does not exist, cannot be built from these fields and
            arguments, or has another number of tasks than there are labels; with the
            line of the file.
    """
    chosen, labels = read.config.model, read.schema.labels
    try:
        known = about(chosen.name)
        tasks = [Task(each.name, each.belong, each.num_classes) for each in labels]
        if known.tasks == "one" and len(tasks) != 1:
            raise ValueError(
                f"{chosen.name} answers one task, and schema.labels must have one; "
                "`recsys models multitask` lists models of several. "
                f"Received: {[task.name for task in tasks]}"
            )
        if not tasks:
            raise ValueError(
                "schema.labels must have a label to train for. Received: none"
            )
        asked: dict[str, Any] = (
            {"task": tasks[0]} if known.tasks == "one" else {"task_list": tasks}
        )
        fields = pipeline.fields(chosen.dim)
        made = create_model(chosen.name, fields, **asked, **chosen.arguments)
        model = cast(Model, made)
    except (TypeError, ValueError) as error:
        keys = ("model", "arguments") if "argument" in str(error) else ("model", "name")
        raise ValueError(f"{read.origin.where(*keys)}: {error}") from error
    rate = read.config.training.keep_negatives
    if rate < 1:
        (head,) = model.heads.values()
        if head is None:
            raise ValueError(
                f"{read.origin.where('training', 'keep_negatives')}: "
                f"{chosen.name} must end in a head to shift its logit"
            )
        head.logit_shift = math.log(rate)
    return model


def check_names(read: Read) -> None:
    """Raises `ValueError` if a name is unknown, before any work is done.

    Names are those of models, metrics, losses and optimizers.

    Or if a section is none for this model.
    """
    try:
        about(read.config.model.name)
    except ValueError as error:
        raise ValueError(f"{read.origin.where('model', 'name')}: {error}") from error
    check_tracking(read)
    _optimizer_of(read, 1)
    if read.config.match is not None:
        _optimizer_of(first_stage(read), 1)
    if is_match(read.config):
        check_match(read)
    else:
        check_no_match(read)
        metrics_of(read)
        _check_losses(read)


def metrics_of(read: Read, rows: int = 1) -> Any:
    """Returns the metrics of `compile`: for every task alike, or by task.

    Args:
        read: The configuration.
        rows: Most rows that a metric is to hold. Of very many, the default are none
            within groups, which would hold all of them.

    Raises:
        ValueError: If there is no such metric; with the line.
    """
    names, group = read.config.evaluation.metrics, group_of(read)

    def made(names: Sequence[str]) -> list[keras.metrics.Metric]:
        return [measures.metric_of(name, group, rows) for name in names]

    try:
        kinds = {label.name: label.belong for label in read.schema.labels}
        if names:
            return made(names)
        few = group is not None and rows <= measures.MOST_ROWS
        within = [measures.WITHIN_GROUPS] if few else []
        chosen = {
            kind: [*measures.OF_KIND[kind], *(within if kind == "binary" else ())]
            for kind in kinds.values()
        }
        if len(chosen) == 1:
            return made(*chosen.values())
        return {name: made(chosen[kind]) for name, kind in kinds.items()}
    except ValueError as error:
        where = read.origin.where("evaluation", "metrics")
        raise ValueError(f"{where}: {error}") from error


def group_of(read: Read) -> str | None:
    """Returns the key of the groups that metrics look at, if there is one.

    Raises:
        ValueError: If `evaluation.group` is none of them.
    """
    chosen, groups = read.config.evaluation.group, [*read.schema.groups]
    if chosen is None:
        return groups[0] if groups else None
    if chosen not in groups:
        raise ValueError(
            f"{read.origin.where('evaluation', 'group')}: evaluation.group must be one "
            f"of schema.groups, {groups}. Received: {chosen!r}"
        )
    return chosen


def compile_model(model: Model, read: Read, steps: int, rows: int) -> None:
    """Compiles a model as a configuration says.

    Args:
        model: The model.
        read: The configuration.
        steps: Steps of all epochs.
        rows: Rows of the largest part.

    Raises:
        ValueError: If an optimizer, loss or metric is unknown; with the line.
    """
    training = read.config.training
    given = training.loss
    losses = {label.name: measures.LOSSES[label.belong] for label in read.schema.labels}
    loss: Any = {**losses, **given} if isinstance(given, Mapping) else given or losses
    told: dict[str, Any] = {}
    if not is_match(read.config):
        told = {"loss": loss, "metrics": metrics_of(read, rows)}
    optimizer = _optimizer_of(read, steps)
    try:
        model.compile(optimizer, **told)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{read.origin.where('training')}: {error}") from error


def _check_losses(read: Read) -> None:
    given, labels = (
        read.config.training.loss,
        [each.name for each in read.schema.labels],
    )
    of_tasks = given if isinstance(given, Mapping) else dict.fromkeys(labels, given)
    for task, name in of_tasks.items():
        where = read.origin.where("training", "loss", task)
        if task not in labels:
            raise ValueError(
                f"{where}: training.loss must be of labels, {', '.join(labels)}. "
                f"Received: {task!r}"
            )
        if name is None or name in ("crossentropy", "ce"):  # as `compile` takes them
            continue
        try:
            keras.losses.get(name)
        except ValueError as error:
            raise ValueError(
                f"{where}: training.loss must be the name of a loss of Keras, such as "
                f"{', '.join(sorted({*measures.LOSSES.values()}))}. Received: {name!r}"
            ) from error


def _optimizer_of(read: Read, steps: int) -> keras.optimizers.Optimizer:
    try:
        return _optimizer(read.config.training, steps)
    except ValueError as error:
        key = "schedule" if "training.schedule" in str(error) else "optimizer"
        where = read.origin.where("training", key)
        raise ValueError(f"{where}: {error}") from error


def _optimizer(training: Training, steps: int) -> keras.optimizers.Optimizer:
    if isinstance(training.optimizer, Mapping):
        return optimizers.get(
            {
                prefix: _of_rate(optimizers.get(name), training, steps)
                for prefix, name in training.optimizer.items()
            }
        )
    return _of_rate(optimizers.get(training.optimizer), training, steps)


def _of_rate(
    optimizer: Any, training: Training, steps: int
) -> keras.optimizers.Optimizer:
    config = optimizer.get_config()
    if training.learning_rate is not None:
        config["learning_rate"] = training.learning_rate
    if training.schedule is not None:
        config["learning_rate"] = _schedule(
            training.schedule, config["learning_rate"], steps
        )
    made: keras.optimizers.Optimizer = type(optimizer).from_config(config)
    return made


def _schedule(schedule: Schedule, rate: float, steps: int) -> Any:
    schedules = keras.optimizers.schedules
    if schedule.by == "linear":
        return schedules.PolynomialDecay(rate, steps, schedule.end)
    if schedule.by == "exponential":
        if not schedule.end:
            raise ValueError(
                "training.schedule.end must be above 0 of an exponential one. "
                "Received: 0"
            )
        return schedules.ExponentialDecay(rate, steps, schedule.end / rate)
    return schedules.CosineDecay(rate, steps, schedule.end / rate)
