"""What weighs the rows of one task by its labels."""

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.train import routing
from recsys.train.columns import LARGEST

if TYPE_CHECKING:
    import tensorflow as tf


def checked(heads: routing.Heads, class_weight: Any) -> dict[int, float]:
    """Returns the weight of each class, 1 of those that are not given.

    Args:
        heads: The outputs of the model.
        class_weight: Weights by label; or a list of one for each class.

    Raises:
        ValueError: If `fit` cannot weigh the rows of one task like that.
    """
    names = routing.tasks(heads)
    if len(names) > 1:
        raise ValueError(
            "class_weight needs a single task; weigh the rows of each by "
            f"sample_weight={{task: ...}}. Received: tasks {names}"
        )
    head = heads[names[0]]
    kind = "" if head is None else head.task
    classes = {"binary": 2, "multiclass": getattr(head, "num_classes", 0)}.get(kind)
    given = class_weight
    if isinstance(given, (list, tuple, np.ndarray)):
        if len(given) != (classes or len(given)):
            raise ValueError(
                f"class_weight as a list must have one entry for each of {classes} "
                f"classes. Received: {len(given)} entries"
            )
        given = dict(enumerate(given))
    if not isinstance(given, Mapping) or not all(
        isinstance(each, Real) for pair in given.items() for each in pair
    ):
        raise ValueError(
            "class_weight must be a dict of the weight of each label, as {0: 1.0, 1: "
            f"5.0}}, or a list. Received: class_weight={class_weight!r}"
        )
    for label, weight in given.items():
        if classes and label not in range(classes):
            raise ValueError(
                f"class_weight must be keyed by labels of task {names[0]!r}, 0 to "
                f"{classes - 1}. Received: {label!r}"
            )
        if not 0 <= weight <= LARGEST:
            raise ValueError(
                "class_weight must be finite and at least 0. "
                f"Received: {weight!r} for label {label!r}"
            )
    every = dict.fromkeys(range(classes or 0), 1.0)
    return every | {label: float(weight) for label, weight in given.items()}


def of_rows(
    labels: Mapping[str, NDArray[Any]], weights: Mapping[int, float]
) -> NDArray[Any]:
    """Returns the weights of the labels' classes, `(rows,)`; 1 where one is missing.

    Args:
        labels: Those of one task, by its name.
        weights: What `checked` returned.
    """
    (label,) = labels.values()
    one_hot = label.ndim > 1 and label.shape[1] > 1
    label = label.argmax(axis=1) if one_hot else label.reshape(-1)
    found = np.ones(len(label), "float32")
    for value, weight in weights.items():
        found[label == value] = weight
    return found


def on_dataset(
    heads: routing.Heads, dataset: "tf.data.Dataset", weights: Mapping[int, float]
) -> "tf.data.Dataset":
    """Returns a dataset of `(x, y)` with the weights of the labels' classes.

    Keras' own fails where a label is missing, or the class of one has no weight.

    Raises:
        ValueError: If a strategy has shared the dataset out.
    """
    import tensorflow as tf

    if not hasattr(dataset, "map"):
        raise ValueError(
            "class_weight must be given with a dataset before a strategy shares it "
            "out, or be a part of its batches, (x, y, sample_weight). "
            f"Received: {type(dataset).__name__}"
        )

    def weighed(x: Any, y: Any, *_: None) -> tuple[Any, Any, Any]:
        of = next(iter(routing.labels_by_output(y, heads).values()))
        of = tf.reshape(tf.cast(of, "float64"), [tf.shape(of)[0], -1])
        one_hot = tf.shape(of)[1] > 1
        label = tf.where(one_hot, tf.cast(tf.argmax(of, axis=1), "float64"), of[:, 0])
        found = tf.ones_like(label, "float32")
        for value, weight in weights.items():
            found = tf.where(label == value, tf.constant(weight, "float32"), found)
        return x, y, found

    return dataset.map(weighed)
