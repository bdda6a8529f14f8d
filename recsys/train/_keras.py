"""What Keras and TensorFlow do not promise, and the library leans on.

All of it is here, and each name has a test in `tests/train/test_keras.py`: an upgrade
fails there first, and is mended here.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import keras

from recsys.types import Gradient, Shape, Tensor

LITERT = {
    "_experimental_lower_tensor_list_ops": True,
    "_experimental_default_to_single_batch_in_tensor_list_ops": True,
}
"""With which an export to LiteRT needs no operations of TensorFlow for lists."""


# The graph of a functional model.


def maker(tensor: keras.KerasTensor) -> Any:
    """Returns the layer, or other operation, that a tensor comes from."""
    return tensor._keras_history.operation


def place(tensor: keras.KerasTensor) -> tuple[str, int]:
    """Returns where a tensor comes from, in a model and in the models inside it."""
    made_by = tensor._keras_history
    return made_by.operation.name, made_by.tensor_index


def node_of(tensor: keras.KerasTensor) -> Any:
    """Returns the call that a tensor comes from."""
    made_by = tensor._keras_history
    return made_by.operation._inbound_nodes[made_by.node_index]


def nodes(layer: keras.layers.Layer) -> Sequence[Any]:
    """Returns the calls of a layer."""
    calls: Sequence[Any] = layer._inbound_nodes
    return calls


def nodes_behind(tensors: Sequence[keras.KerasTensor]) -> Iterator[Any]:
    """Yields each call that tensors depend on, once, their own first."""
    seen, ahead = set(), [*tensors]
    while ahead:
        node = node_of(ahead.pop())
        if node not in seen:
            seen.add(node)
            yield node
            ahead += node.input_tensors


def sources(dataset: Any) -> Sequence[Any]:
    """Returns the datasets that a `tf.data.Dataset` is derived from."""
    found: Sequence[Any] = dataset._inputs()
    return found


# Files of weights.


def shapes_of_layers(model: keras.Model) -> Counter[Shape]:
    """Returns how many weights of layers, by shape, a file of a model has."""
    found: Counter[Shape] = Counter()
    for layer in model._flatten_layers():
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        found.update(tuple(store[key].shape) for key in store if key.isdigit())
    return found


def files_of_weights(path: Path) -> set[Path]:
    """Returns the files that hold the weights: those that a `.json` names, or itself.

    Raises:
        OSError: If it is a `.json` that names none.
    """
    if path.suffix != ".json":
        return {path}
    with suppress(ValueError, KeyError, TypeError):
        names = keras.tree.flatten(json.loads(path.read_text())["weight_map"])
        if names:
            return {path.parent / name for name in names}
    raise OSError("a .json that names no files")


def shapes_in_file(path: Path) -> Counter[Shape]:
    """Returns how many weights of layers a file has, by shape.

    Those of layers are numbered, as are those of optimizers, which models inside it may
    have, too; what else a model has is stored by name.
    """
    found: Counter[Shape] = Counter()

    def count(name: str, node: Any) -> None:
        numbered = name.rpartition("/")[2].isdigit() and isinstance(node, h5py.Dataset)
        if numbered and "optimizer" not in name.split("/"):
            found[node.shape] += 1

    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as part:
            with h5py.File(part) as file:
                file.visititems(count)
        return found
    for each in files_of_weights(path):
        with h5py.File(each) as file:
            file.visititems(count)
    return found


# Training.


class OwnModel(keras.Model):
    """A model that says what Keras may ask of it."""

    _to_skip = 0  # steps of `fit` that are to read their batches, and do nothing else

    def _columns_of(self, inputs: Any) -> Any:
        """Returns what is to go into the graph."""
        return inputs

    def _standardize_inputs(self, inputs: Any) -> Any:
        return super()._standardize_inputs(self._columns_of(inputs))

    def _logs_of_epoch(self, logs: Any) -> dict[str, Any]:
        """Returns the logs of an epoch, given those of its last step."""
        raise NotImplementedError

    def _get_metrics_result_or_logs(self, logs: Any) -> dict[str, Any]:
        return self._logs_of_epoch(logs)

    @property
    def _mean_loss(self) -> keras.metrics.Mean:
        """The metric that is logged as `loss`."""
        return self._loss_tracker

    def _build_losses(self, outputs: Mapping[str, Tensor]) -> None:
        """Makes what Keras would make of the losses of outputs in the first step."""
        if self._compile_loss is not None:
            self._compile_loss.build(outputs, outputs)

    def _begin_at(self, epoch: int | None) -> None:
        """Has the `fit` that is about to begin start at an epoch, and skip no step."""
        self._initial_epoch = epoch
        self._to_skip = 0

    def add_state(
        self, name: str, initializer: Any, shape: Shape, trainable: bool
    ) -> keras.Variable:
        """Adds a weight that is no part of a layer, float32."""
        self._tracker.unlock()  # as Keras does to add weights to a built layer
        try:
            return self.add_weight(
                shape=shape,
                initializer=initializer,
                dtype="float32",
                trainable=trainable,
                autocast=False,
                name=name,
            )
        finally:
            self._tracker.lock()

    def _remove_state(self, variable: keras.Variable) -> None:
        """Forgets a weight of `add_state`."""
        self._untrack_variable(variable)


def asked_by_fit(arguments: Mapping[str, Any]) -> bool:
    """Whether it is `fit` that calls `evaluate`, on data that it has checked."""
    return bool(arguments.get("_use_cached_eval_dataset"))


def finish(callbacks: keras.callbacks.CallbackList) -> None:
    """Waits for the callbacks that run beside the training."""
    callbacks._flush_futures()


# Optimizers.


class OwnOptimizer(keras.optimizers.Optimizer):
    """An optimizer that decays and clips by itself."""

    def _place_of(self, variable: keras.Variable) -> int:
        """Returns the position of a variable among those of the optimizer."""
        index: int = self._get_variable_index(variable)
        return index

    def _decays(self, variable: keras.Variable) -> bool:
        """Whether weight decay is on for a variable."""
        return bool(self.weight_decay) and bool(self._use_weight_decay(variable))

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        """Nothing: it is part of the step, and touches the rows of the batch only."""

    def _clipped(self, gradients: Sequence[Gradient]) -> Sequence[Gradient]:
        """Returns the gradients, clipped as Keras does."""
        clipped: Sequence[Gradient] = super()._clip_gradients(gradients)
        return clipped

    def _clip_gradients(self, gradients: Sequence[Gradient]) -> Sequence[Gradient]:
        return self._clipped(gradients)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """Returns gradients summed over replicas; of one they are as they are.

        TensorFlow would sum those of one, too, by a function with a gradient of its
        own, and keep the graph of the step for as long as the process lives.
        """
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)


class PartedOptimizer(keras.optimizers.MultiOptimizer):
    """Several optimizers, known before the first variable."""

    def _take_parts(self, optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
        self._inner_optimizers = [*optimizers]


def parts(optimizer: keras.optimizers.Optimizer) -> Sequence[Any]:
    """Returns the optimizers that one is made of, which may be itself alone."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return parts(optimizer.inner_optimizer)
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return [part for each in optimizer._inner_optimizers for part in parts(each)]
    return [optimizer]


def schedules(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Returns what computes the learning rate of each part, or none."""
    given = [getattr(part, "_learning_rate", None) for part in parts(optimizer)]
    return [rate if callable(rate) else None for rate in given]


def without_rates(value: Any) -> Any:
    """Returns an optimizer as it is, but for numbers in place of what computes rates.

    Its config cannot hold everything that Keras trains with. The optimizer itself,
    which other threads may train with or save, is not written to.
    """
    if isinstance(value, (list, tuple)):
        return [without_rates(each) for each in value]
    if isinstance(value, dict):
        return {key: without_rates(each) for key, each in value.items()}
    if not isinstance(value, keras.optimizers.Optimizer):
        return value
    found = object.__new__(type(value))
    vars(found).update(without_rates(vars(value)))
    if callable(vars(found).get("_learning_rate")):
        vars(found)["_learning_rate"] = 0.0
    return found


def exempt_from_decay(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> None:
    """Turns weight decay off for variables, beside those it is off for already."""
    for part in parts(optimizer):
        known: set[Any] = getattr(part, "_exclude_from_weight_decay", set())
        keys = {part._var_key(variable) for variable in variables}
        part._exclude_from_weight_decay = known | keys
