"""Gradients of the loss of a training step, by variable."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

LOSSES = {
    "binary": "binary_crossentropy",
    "regression": "mse",
    "multiclass": "sparse_categorical_crossentropy",
}


def compiled(model: Any, tasks: Any, **kwargs: Any) -> Any:
    """Compiles with the loss of each kind of task."""
    loss = {task.name: LOSSES[task.belong] for task in tasks}
    model.compile("sgd", loss, **kwargs)
    return model


@contextmanager
def loss_and_tape(model: Any, x: Any, y: Any) -> Iterator[tuple[Any, tf.GradientTape]]:
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(feed, y, model(feed, training=True))
    yield loss, tape


def gradients(model: Any, x: Any, y: Any) -> dict[str, np.ndarray | None]:
    """The gradient of each trainable weight by its path, `None` where none flows.

    Args:
        model: Compiled, or it gets a cross-entropy for each task of `y`.
        x: Columns.
        y: Labels by task.
    """
    if not model.compiled:
        model.compile("sgd", dict.fromkeys(y, "binary_crossentropy"))
    variables = model.trainable_variables
    with loss_and_tape(model, x, y) as (loss, tape):
        found = tape.gradient(loss, [v.value for v in variables])
    return {
        v.path: None if g is None else tf.convert_to_tensor(g).numpy()
        for v, g in zip(variables, found, strict=True)
    }


def of_task(model: Any, x: Any, y: Any, name: str) -> dict[str, np.ndarray]:
    """The gradients of one task's loss alone, zeros where none flows."""
    model.compile("sgd", {name: "binary_crossentropy"})
    shapes = {v.path: tuple(v.shape) for v in model.trainable_variables}
    return {
        path: np.zeros(shapes[path]) if gradient is None else gradient
        for path, gradient in gradients(model, x, {name: y[name]}).items()
    }


def kernels_by_row(model: Any, x: Any, y: Any) -> set[tuple[int, ...]]:
    """Shapes `(..., rows, in, out)` in a training step, `(in, out)` that of a kernel.

    As large are kernels that are gathered, or gradients that are summed, row by row.
    Attention to histories is left out: its first kernel depends on the row's target.

    Args:
        model: Compiled.
        x: Columns; no kernel may have an axis of as many entries as they have rows.
        y: Labels.
    """
    n = len(next(iter(x.values())))
    kernels = [
        v
        for v in model.trainable_variables
        if "kernel" in v.name and "dnn_his" not in v.path
    ]
    sizes = {tuple(v.shape[-2:]) for v in kernels if min(v.shape[-2:]) > 1}
    assert sizes and n not in {size for v in kernels for size in v.shape}

    def step(feed: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(feed, y, model(feed, training=True))
        found = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return [g for g in found if g is not None]

    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    graph = tf.function(step).get_concrete_function(feed).graph
    shapes = {
        tuple(out.shape)
        for op in graph.get_operations()
        for out in op.outputs
        if out.shape.rank and out.shape.rank > 2
    }
    return {shape for shape in shapes if n in shape[:-2] and shape[-2:] in sizes}
