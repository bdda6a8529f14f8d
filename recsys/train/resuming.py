"""The callbacks of a `fit` that resumes."""

import copy
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.callbacks import CallbackList
from numpy.typing import NDArray

from recsys.data.writing import whole_file
from recsys.train._keras import OwnModel, finish
from recsys.train.described import (
    layers_of,
    numbers_of_rates,
    optimizer_of,
    shapes_of,
)
from recsys.train.order import Epochs
from recsys.train.resume_file import Resume
from recsys.train.state import equal, packed, plain_of, unpacked, warn_of_others


class Callbacks(CallbackList):
    """The callbacks of a `fit` that resumes.

    Args:
        resume: Reads and writes the states, if any.
        callbacks: The other callbacks, `Epochs` among them.
        model: The model.
        data: What is known of the data, as `feed.described` has it.
        steps: Batches of an epoch, if known.
        initial_epoch, epochs, verbose: Those of `fit`.
        remove: Whether to remove the folder when training has ended.
    """

    model: OwnModel

    def __init__(
        self,
        resume: Resume | None,
        callbacks: Sequence[Any],
        *,
        model: keras.Model,
        data: Mapping[str, str],
        steps: int | None,
        initial_epoch: int,
        epochs: int,
        verbose: Any,
        remove: bool = False,
    ) -> None:
        super().__init__(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            steps=steps,
            epochs=epochs,
            verbose=verbose,
        )
        self._resume = resume
        self._data = data
        self._first_epoch = initial_epoch
        self._remove = remove
        self._epochs = next(c for c in self.callbacks if isinstance(c, Epochs))
        self._epoch = 0
        self._last = 0  # step of this epoch at which a state was written
        self._skipped = 0  # steps of this epoch that were taken before the stop
        self._state: Any = None  # to be restored when the first epoch begins

    # What Keras calls.

    def on_train_begin(self, logs: Any = None) -> None:
        self._metrics = len(self.model.metrics_variables)
        model: Any = self.model
        self._rates = numbers_of_rates(model)
        self._loss = model._plan.loss
        self._options = optimizer_of(model)
        self._layers = layers_of(model)
        self._state = None if self._resume is None else self._resume.read()
        if self._resume is not None and self._state is not None:
            self._check(self._state[0], self._resume.folder)
            for callback in self.callbacks:
                if isinstance(callback, keras.callbacks.CSVLogger):
                    _continue(callback, self._state[0]["logs"])
        super().on_train_begin(logs)
        if self._resume is not None:
            warn_of_others(self.callbacks)
        self._begun = [plain_of(vars(callback)) for callback in self.callbacks]
        if self._resume is None or self._state is None:
            return
        state, arrays = self._state
        epoch, step, epochs = state["epoch"], state["step"], self.params["epochs"]
        if step and epoch >= epochs:
            raise ValueError(
                f"Resume: epochs must be more for the training in {self._resume.folder}"
                f", which stands in epoch {epoch + 1} after {step} steps. "
                f"Received: epochs={epochs}"
            )
        if not step and (state["stopped"] or epoch >= epochs):
            warnings.warn(
                f"Resume: the training in {self._resume.folder} had ended after "
                f"{epoch} epochs, and this run adds nothing; another folder begins "
                "another training",
                stacklevel=2,
            )
            epoch = epochs
        elif self._rates != state["rates"]:
            warnings.warn(
                "Resume: the learning rates stay those of the training in "
                f"{self._resume.folder}, which began with {state['rates']}. "
                f"Received: {self._rates}",
                stacklevel=2,
            )
        if epoch < epochs and self.params["verbose"]:
            where = f"epoch {epoch + 1} of {epochs}, after {step} steps"
            print(f"Resume: goes on in {where}, from {self._resume.folder}")
        self.model._begin_at(epoch)
        if step == 0:
            self._restore(state, arrays)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._epoch, self._skipped = epoch, self._epochs.step
        self._epochs.step = 0
        if self._state is not None:
            state, arrays = self._state
            self._state, self._skipped = None, state["step"]
            if self._skipped:
                self._restore(state, arrays)
                self.model.stop_training = state["stopped"]  # as it was in this epoch
            self._epochs.restore(state["orders"])
        self._orders = self._epochs.state()
        self._last = self.model._to_skip = self._skipped

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch >= self._skipped:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch < self._skipped:
            return
        super().on_train_batch_end(batch, logs)
        freq: Any = self._resume.save_freq if self._resume else "epoch"
        if freq != "epoch" and batch + 1 - self._last >= freq:
            self._last = batch + 1
            self._write(self._epoch, batch + 1, self._orders)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self._write(epoch + 1, 0, self._epochs.state())

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        if self._resume is not None and self._remove:
            shutil.rmtree(self._resume.folder, ignore_errors=True)

    # What they do.

    def _variables(self, step: int) -> list[Any]:
        """What a state holds; between epochs metrics have none."""
        model = self.model
        metrics = model.metrics_variables if step else []
        mine = [*model.variables, *model.optimizer.variables, *metrics]
        return [*mine, self._epochs.of.variable]

    def _write(self, epoch: int, step: int, orders: Any) -> None:
        if self._resume is None:
            return
        finish(self)
        if step and len(self.model.metrics_variables) != self._metrics:
            raise ValueError(
                "Resume: save_freq must be 'epoch' where a metric has no state before "
                f"its first batch. Received: save_freq={self._resume.save_freq}, "
                f"metrics {self.model.metrics_names}"
            )
        variables = self._variables(step)
        arrays: list[Any] = [_to_last(variable) for variable in variables]
        callbacks = []
        for callback, begun in zip(self.callbacks, self._begun, strict=True):
            found = plain_of(vars(callback))
            changed = {k: v for k, v in found.items() if not equal(v, begun.get(k))}
            callbacks.append([type(callback).__name__, packed(changed, arrays)])
        state = {
            "epoch": epoch,
            "step": step,
            "stopped": bool(self.model.stop_training),
            "data": self._data,
            "loss": self._loss,
            "optimizer": self._options,
            "layers": self._layers,
            "rates": self._rates,
            "steps": self.params["steps"],
            "orders": orders,
            "variables": shapes_of(variables),
            "callbacks": callbacks,
            "logs": _sizes(self.callbacks),
        }
        self._resume.write(state, arrays)

    def _check(self, state: dict[str, Any], folder: Path) -> None:
        """Raises `ValueError` if a state is of another model or other data."""

        def refuse(wanted: str, found: Any) -> None:
            raise ValueError(
                f"Resume: {folder} is of another training (a new folder begins this "
                f"one), {wanted}. Received: {found}"
            )

        mine = shapes_of(self._variables(state["step"]))
        for what, before, now in (
            ("the data", state["data"], self._data),
            ("the optimizer's", state["optimizer"], self._options),
            ("the layer", state["layers"], self._layers),
            ("the variable", state["variables"], mine),
        ):
            both = before.keys() & now.keys()
            classes = {key for key in both if key.endswith("class_name")}
            keys = sorted({**before, **now}, key=both.__contains__)
            for key in sorted(keys, key=lambda key: key not in classes):
                kept, given = before.get(key, "none"), now.get(key, "none")
                if kept != given:
                    refuse(f"with {what} {key}: {kept}", given)
        if state["loss"] != self._loss:
            refuse(f"with the loss {state['loss']}", self._loss)
        if state["epoch"] < self._first_epoch:
            stands = f"{state['epoch']} whole epochs and {state['step']} steps"
            refuse(f"with so far {stands}", f"initial_epoch={self._first_epoch}")
        if state["steps"] != self.params["steps"]:
            refuse(f"with steps an epoch: {state['steps']}", self.params["steps"])
        orders = state["orders"], self._epochs.state()
        wanted, found = ([kind for *kind, _ in each] for each in orders)
        if wanted != found:
            refuse(f"with orders, and their seeds, {wanted}", found)

    def _restore(self, state: dict[str, Any], arrays: Sequence[Any]) -> None:
        variables = self._variables(state["step"])  # behind them, what callbacks hold
        for variable, array in zip(variables, arrays[: len(variables)], strict=True):
            if array.shape != (shape := tuple(variable.shape)):
                after = [(0, shape[0] - len(array))] + [(0, 0)] * (len(shape) - 1)
                array = np.pad(array, after)
            variable.assign(array)
        saved = [*state["callbacks"]]
        for callback, begun in zip(self.callbacks, self._begun, strict=True):
            name = type(callback).__name__
            of = next((each for each in saved if each[0] == name), None)
            changed = {}
            if of is not None:
                saved.remove(of)
                changed = unpacked(of[1], arrays)
            vars(callback).update(copy.deepcopy({**begun, **changed}))


def _continue(logger: keras.callbacks.CSVLogger, sizes: Mapping[str, int]) -> None:
    """Has a logger go on where its file ended when the state was written."""
    logger.append, path = True, Path(logger.filename)
    if path.is_file() and str(path) in sizes:
        content = path.read_bytes()[: sizes[str(path)]]
        with whole_file(path) as part:
            part.write_bytes(content)


def _sizes(callbacks: Sequence[Any]) -> dict[str, int]:
    """The bytes of the loggers' files."""
    loggers = [c for c in callbacks if isinstance(c, keras.callbacks.CSVLogger)]
    paths = [Path(logger.filename) for logger in loggers]
    return {str(path): path.stat().st_size for path in paths if path.is_file()}


def _to_last(variable: keras.Variable) -> NDArray[Any]:
    """A variable's values up to the last row that is not zero.

    An exact metric has room for millions of rows, most of it empty.
    """
    array: NDArray[Any] = keras.ops.convert_to_numpy(variable)
    if array.ndim == 0:
        return array
    stop, block = len(array), 2**16
    while stop and block:
        if array[max(stop - block, 0) : stop].any():
            block //= 2
        else:
            stop = max(stop - block, 0)
    return array[:stop]
