"""How much each column adds to one prediction.

Sundararajan, Taly and Yan, ICML 2017, https://arxiv.org/abs/1703.01365 (eq. 1, 3)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.layers.content import ContentEmbedding
from recsys.layers.table import Embedding
from recsys.train._keras import node_of, nodes_behind
from recsys.train.model import Model


@dataclass(frozen=True)
class Attribution:
    """What a prediction is made of.

    Attributes:
        columns: What each column adds to the logit; the sum is `logit - start`, up to
            the error of the steps.
        places: Of a column of lists, what each place of the row's list adds; the sum is
            what the column adds.
        start: The logit where all embeddings and numbers are 0.
        logit: The logit of the row.
    """

    columns: Mapping[str, float]
    places: Mapping[str, NDArray[np.float64]]
    start: float
    logit: float


def integrated_gradients(
    model: Model, task: str, columns: Mapping[str, NDArray[np.generic]], steps: int = 64
) -> Attribution:
    """Returns what each column adds to the logit of a task, for one row.

    The path leads from embeddings, and numbers, of 0 to those of the row; which places
    of a list are filled stays as it is.

    Args:
        model: The model, on TensorFlow.
        task: Name of the task.
        columns: The input, `(1, ...)` each.
        steps: Points of the path.

    Raises:
        ValueError: If there is no such task.
    """
    head = model.heads.get(task)
    if head is None:
        raise ValueError(
            f"task must be one of {[*model.heads]}. Received: task={task!r}"
        )
    embedded = _embedded(model)
    tensors = [tensor for _, tensor in embedded]
    rows = {n: tf.convert_to_tensor(columns[n]) for n in model.input}
    # Where the path ends: numbers as they are, and what tables give.
    ends = [rows[n] for n in rows if rows[n].dtype.is_floating]
    ends += keras.Model(model.input, tensors)(rows, training=False)
    of = [n for n in rows if rows[n].dtype.is_floating] + [n for n, _ in embedded]
    behind = keras.Model([*model.input.values(), *tensors], _output(model, task))

    def logit_at(points: list[tf.Tensor]) -> tf.Tensor:
        numbers = dict(zip(of, points, strict=True))
        given = [numbers[n] if rows[n].dtype.is_floating else rows[n] for n in rows]
        behind([*given, *points[-len(tensors) :]], training=False)
        return tf.reduce_sum(head.kept.take()[-1])

    total = [tf.zeros_like(end) for end in ends]
    for step in range(steps):
        with tf.GradientTape() as tape:
            points = [(step + 0.5) / steps * end for end in ends]
            tape.watch(points)
            logit = logit_at(points)
        gradients = tape.gradient(logit, points, unconnected_gradients="zero")
        total = [one + more for one, more in zip(total, gradients, strict=True)]
    found = dict.fromkeys(model.input, 0.0)
    places = {
        name: np.zeros(rows[name].shape[1]) for name in rows if rows[name].ndim > 1
    }
    for name, end, each in zip(of, ends, total, strict=True):
        adds = (each * end).numpy().astype(np.float64) / steps
        found[name] += float(adds.sum())
        if name in places:
            places[name] += adds.reshape(adds.shape[1], -1).sum(axis=1)
    start = float(logit_at([tf.zeros_like(end) for end in ends]))
    return Attribution(found, places, start, float(logit_at(ends)))


def _embedded(model: Model) -> list[tuple[str, keras.KerasTensor]]:
    """What tables and vectors give, each with the column that is looked up."""
    names = {id(tensor): name for name, tensor in model.input.items()}
    found = []
    for node in nodes_behind(model.outputs):
        if isinstance(node.operation, (Embedding, ContentEmbedding)):
            ids = node.input_tensors[0]
            while id(ids) not in names:  # unknown ids are one, or ids have vectors
                ids = node_of(ids).input_tensors[0]
            found.append((names[id(ids)], node.outputs[0]))
    return found


def _output(model: Model, task: str) -> keras.KerasTensor:
    outputs = model.output
    found: keras.KerasTensor = outputs[task] if isinstance(outputs, dict) else outputs
    return found
