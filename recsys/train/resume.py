"""Training that was stopped, and goes on to the same digits."""

import copy
import enum
import json
import random
import shutil
import sys
import warnings
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from keras.callbacks import BackupAndRestore, CallbackList

from recsys.data.writing import LEFT, remove_left, whole_file
from recsys.feature._constraints import Integer
from recsys.train import feed, gate
from recsys.train.balance import AfterEpoch
from recsys.train.columns import all_layers
from recsys.train.order import Epochs

GENERATOR = "a generator"
KEPT = 2  # files: the newest, and one more should the disk have lost it
_KEYS = {"epoch", "step", "stopped", "data", "steps", "loss", "optimizer", "layers"}
_KEYS |= {"rates", "orders", "variables", "callbacks", "logs"}
_SEVERAL = {"list": list, "tuple": tuple, "set": set}  # JSON has lists only
_SCALARS = (type(None), bool, int, float, str, np.number, np.bool_)
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)
_NOT_KEPT = (Collection, np.generic, date, *_GENERATORS)
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Resume(keras.callbacks.Callback):
    """Keeps in a folder what training needs to go on, and goes on from there.

        model.fit(train, epochs=10, callbacks=[Resume("runs/din")])

    Run the program again after a crash: the same batches follow in the same order, and
    weights, slots, metrics, logs and the other callbacks end where those of a run
    without a crash do, to the last digit. When training has ended, a further run only
    gives its results back; more `epochs` go on. A folder is of one training: to train
    anew, take another one.

    Kept are the weights, the state of optimizer, random generators and metrics; the
    epoch and the step; the order of rows; and what has changed in the other callbacks
    of numbers, strings, arrays and functions, in lists, tuples, sets and dicts. A
    CSVLogger's file is cut to what it was then. The data must be arrays, a
    FeaturePipeline's dataset, or a dataset whose passes are all alike. A run that goes
    on in an epoch reads, and leaves out, the batches before its step.

    Args:
        folder: Made if it is not there.
        save_freq: `"epoch"`, or the number of steps between two files; there is also
            one at the end of each epoch.

    Raises:
        ValueError: If `save_freq` is something else; in `fit`, if the folder is of
            another model or loss, of an epoch before `initial_epoch`, or of other data:
            with other columns, labels or weights, rows or batch size (of what the rows
            hold, a thousand are compared); if the data's order is not known in another
            process (`shuffle()`, `cache()`); if none of its files can be read; or if
            `fit` has `steps_per_epoch`, with which an epoch may begin anywhere in the
            data.
    """

    def __init__(self, folder: Any, save_freq: Any = "epoch") -> None:
        super().__init__()
        if not isinstance(folder, (str, Path)) or not str(folder):
            raise ValueError(
                f"Resume: folder must be a path. Received: folder={folder!r}"
            )
        if save_freq != "epoch" and not Integer(1).accepts(save_freq):
            raise ValueError(
                "Resume: save_freq must be 'epoch' or an integer of at least 1. "
                f"Received: save_freq={save_freq!r}"
            )
        self.folder = Path(folder)
        self.save_freq = save_freq

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuses a model that does not know it: our `Model` takes it out before."""
        raise ValueError(
            "Resume: fit needs a recsys model, and callbacks that are a list. "
            f"Received: {type(self.model).__name__}"
        )

    def read(self) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]] | None:
        """Returns the newest state that is whole, and its arrays, if there is one."""
        files = self._files()
        for file in files:
            try:
                if not zipfile.is_zipfile(file):  # NumPy would offer to unpickle it
                    raise ValueError("it is no state, or cut off")
                with file.open("rb") as opened, np.load(opened) as saved:
                    arrays = [saved[f"a{i}"] for i in range(len(saved.files) - 1)]
                    state: dict[str, Any] = json.loads(bytes(saved["state"]))
                if lacking := _KEYS - {*state}:
                    raise ValueError(f"a state without {', '.join(sorted(lacking))}")
                return state, arrays
            except _UNREADABLE as error:
                warnings.warn(f"{file} is passed over: {error}", stacklevel=2)
        if files:
            raise ValueError(
                f"Resume: {self.folder} must have a file that is whole. Received: none"
            )
        return None

    def write(self, state: dict[str, Any], arrays: Sequence[Any]) -> None:
        """Writes a state, and removes those that are too old."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"epoch-{state['epoch']:05d}-step-{state['step']:09d}.npz"
        named = {f"a{i}": array for i, array in enumerate(arrays)}
        text = np.frombuffer(json.dumps(state).encode(), np.uint8)
        with whole_file(self.folder / name) as part, part.open("wb") as file:
            np.savez(file, state=text, **named)
        for left in self.folder.glob(f".epoch-*{LEFT}*"):
            remove_left(left, self.folder / name)
        for old in self._files()[KEPT:]:
            old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*-step-*.npz"), reverse=True)


def callbacks(
    model: Any, data: Any, epochs: Epochs, arguments: Mapping[str, Any]
) -> Any:
    """Returns the callbacks of a `fit`, with those that the model needs first.

    Keras' `BackupAndRestore` becomes a `Resume` on TensorFlow.

    Args:
        model: The model.
        data: What `fit` reads.
        epochs: The orders of its rows.
        arguments: Further arguments of `fit`, and the weights of classes.

    Raises:
        ValueError: If training would not go on as the callbacks promise.
    """
    needed = [epochs, *([AfterEpoch()] if model.balance is not None else [])]
    given = arguments.get("callbacks") or []
    if isinstance(given, CallbackList) and not epochs.step:
        for callback in needed:
            given.append(callback)
        return given
    others = [*needed, *keras.tree.flatten(given)]
    resumes = [each for each in others if isinstance(each, (Resume, BackupAndRestore))]
    on_tensorflow = keras.backend.backend() == "tensorflow"
    resume, remove = resumes[0] if resumes else None, False
    if isinstance(resume, BackupAndRestore):
        if resume.save_freq not in ("epoch", False):
            raise ValueError(
                "BackupAndRestore: save_freq must be 'epoch', as it does not know "
                "which batches an epoch still has; recsys.train.callbacks.Resume does. "
                f"Received: save_freq={resume.save_freq}"
            )
        if not on_tensorflow:
            return others
        remove, resume = resume.delete_checkpoint, Resume(resume.backup_dir)
    if resume is None and not epochs.step:
        return others
    found = _unknown_order(data, arguments.get("shuffle", True))
    steps = arguments.get("steps_per_epoch")
    backend = keras.backend.backend()
    for wanted, holds, received in (
        ("data that can be read again", found != GENERATOR, found),
        ("callbacks that are a list", not isinstance(given, CallbackList), given),
        ("one callback that resumes", len(resumes) < 2, f"{len(resumes)} of them"),
        ("no steps_per_epoch", not steps, f"steps_per_epoch={steps}"),
        ("the TensorFlow backend", on_tensorflow, backend),
    ):
        if not holds:
            raise ValueError(
                f"To go on in an epoch, fit needs {wanted}. Received: {received}"
            )
    if found and (not resumes or isinstance(resumes[0], Resume)):
        raise ValueError(
            "To go on in an epoch, fit needs data whose order is known: that of a "
            "FeaturePipeline's dataset(shuffle=True), without shuffle() or cache(). "
            f"Received: {found}"
        )
    is_dataset = gate.is_dataset(data)
    described: dict[str, str] = {}
    if (classes := arguments.get("class_weight")) is not None:
        described["class_weight"] = str(classes)
    described |= feed.described(data) if is_dataset else {}
    steps = int(data.cardinality()) if is_dataset else None
    return Callbacks(
        resume,
        [each for each in others if each not in resumes],
        model=model,
        data=described,
        steps=steps if steps is not None and steps >= 0 else None,
        initial_epoch=arguments.get("initial_epoch", 0),
        epochs=arguments.get("epochs", 1),
        verbose=arguments.get("verbose", "auto"),
        remove=remove,
    )


def _unknown_order(data: Any, shuffle: Any) -> str | None:
    """What makes the order of batches another one in another process, if known."""
    if gate.is_dataset(data):
        return feed.without_order(data)
    if isinstance(data, GeneratorType):
        return GENERATOR
    if isinstance(data, keras.utils.PyDataset) and shuffle:
        return "a PyDataset and shuffle=True"
    sampler = type(getattr(data, "sampler", None)).__name__  # of a DataLoader
    return None if sampler in ("NoneType", "SequentialSampler") else sampler


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

    def __init__(
        self,
        resume: Resume | None,
        callbacks: Sequence[Any],
        *,
        model: Any,
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
        self._initial_epoch = initial_epoch
        self._remove = remove
        self._epochs = next(c for c in self.callbacks if isinstance(c, Epochs))
        self._epoch = 0
        self._last = 0  # step of this epoch at which a state was written
        self._skipped = 0  # steps of this epoch that were taken before the stop
        self._state: Any = None  # to be restored when the first epoch begins

    # What Keras calls.

    def on_train_begin(self, logs: Any = None) -> None:
        self._metrics = len(self.model.metrics_variables)
        self._rates = _rates(self.model)
        self._loss = _loss_of(self.model)
        self._options = _options(self.model.get_compile_config()["optimizer"])
        self._layers = _layers(self.model)
        self._state = None if self._resume is None else self._resume.read()
        if self._resume is not None and self._state is not None:
            self._check(self._state[0], self._resume.folder)
            for callback in self.callbacks:
                if isinstance(callback, keras.callbacks.CSVLogger):
                    _continue(callback, self._state[0]["logs"])
        super().on_train_begin(logs)
        if self._resume is not None:
            _warn_of_others(self.callbacks)
        self._begun = [_plain(vars(callback)) for callback in self.callbacks]
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
        self.model._initial_epoch = epoch
        if step == 0:
            self._restore(state, arrays)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._epoch, self._last, self._skipped = epoch, 0, self._epochs.step
        self._epochs.step = 0
        if self._state is not None:
            state, arrays = self._state
            self._state, self._skipped = None, state["step"]
            if self._skipped:
                self._restore(state, arrays)
                self.model.stop_training = state["stopped"]  # as it was in this epoch
            self._epochs.restore(state["orders"])
        self._orders = self._epochs.state()
        if self._skipped:
            self._last = self._skipped
            self._skip()

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
        self._flush_futures()
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
            found = _plain(vars(callback))
            changed = {k: v for k, v in found.items() if not _equal(v, begun.get(k))}
            packed = _packed(changed, arrays)
            callbacks.append([type(callback).__name__, packed])
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
            "variables": _described(variables),
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

        mine = _described(self._variables(state["step"]))
        for what, before, now in (
            ("the data", state["data"], self._data),
            ("the optimizer's", state["optimizer"], self._options),
            ("the layer", state["layers"], self._layers),
            ("the variable", state["variables"], mine),
        ):
            both = before.keys() & now.keys()
            for key in sorted({**before, **now}, key=both.__contains__):
                kept, given = before.get(key, "none"), now.get(key, "none")
                if kept != given:
                    refuse(f"with {what} {key}: {kept}", given)
        if state["loss"] != self._loss:
            refuse(f"with the loss {state['loss']}", self._loss)
        if state["epoch"] < self._initial_epoch:
            stands = f"{state['epoch']} whole epochs and {state['step']} steps"
            refuse(f"with so far {stands}", f"initial_epoch={self._initial_epoch}")
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
                changed = _unpacked(of[1], arrays)
            vars(callback).update(copy.deepcopy({**begun, **changed}))

    def _skip(self) -> None:
        """Has the steps that were taken read their batches, and do nothing else."""
        model, left = self.model, self._skipped
        real = model.train_function

        def skipping(iterator: Any) -> Any:
            nonlocal left
            if left <= 0:
                model.train_function = real
                return real(iterator)
            for _ in range(model.steps_per_execution):
                next(iterator)
            left -= model.steps_per_execution
            return {"skipped": True}  # of no logs the model would say: no rows

        model.train_function = skipping


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


def _loss_of(model: Any) -> str:
    """The losses and their weights, as `compile` was given them."""
    config = model.get_compile_config()
    return json.dumps([config["loss"], config["loss_weights"]], default=str)


def _to_last(variable: Any) -> Any:
    """A variable's values up to the last row that is not zero.

    An exact metric has room for millions of rows, most of it empty.
    """
    array = keras.ops.convert_to_numpy(variable)
    if array.ndim == 0:
        return array
    stop, block = len(array), 2**16
    while stop and block:
        if array[max(stop - block, 0) : stop].any():
            block //= 2
        else:
            stop = max(stop - block, 0)
    return array[:stop]


def _layers(model: Any) -> dict[str, str]:
    """What the layers were made with."""
    found = {}
    for place, layer in enumerate(all_layers(model), 1):
        who = f"{place} ({type(layer).__name__})"
        found[who] = "there"
        found |= _options(_unnamed(layer.get_config()), who)
    return found


def _unnamed(config: Any) -> Any:
    """A config without what is another one in each process."""
    if isinstance(config, dict):
        return {k: _unnamed(v) for k, v in config.items() if k not in ("name", "seed")}
    return [*map(_unnamed, config)] if isinstance(config, (list, tuple)) else config


def _options(config: Any, path: str = "") -> dict[str, str]:
    """The leaves of a config, without names and learning rates."""
    if isinstance(config, (list, tuple)):
        config = dict(enumerate(config))
    if not isinstance(config, dict):
        return {path: str(config)}
    found: dict[str, str] = {}
    for key, value in config.items():
        if key not in ("name", "learning_rate"):
            found |= _options(value, f"{path} {key}" if path else str(key))
    return found


def _rates(model: Any) -> list[float]:
    """The learning rates, as `compile` was given them until a callback changes one."""
    variables = model.optimizer.variables
    rates = [v for v in variables if v.name.endswith("learning_rate")]
    return [round(keras.ops.convert_to_numpy(rate).item(), 9) for rate in rates]


def _described(variables: Sequence[Any]) -> dict[str, str]:
    return {
        f"{place} ({v.name})": f"{v.dtype} of shape {tuple(v.shape)}"
        for place, v in enumerate(variables, 1)
    }


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns copies of those attributes that can be written."""
    return {k: copy.deepcopy(v) for k, v in attributes.items() if _is_plain(v)}


def _is_plain(value: Any) -> bool:
    if type(value) is dict:  # of another class it would come back as this one
        return all(_is_plain(each) for pair in value.items() for each in pair)
    if type(value) in _SEVERAL.values():
        return all(map(_is_plain, value))
    if type(value) is np.ndarray:
        return value.dtype.kind in "biuf"
    if callable(value):
        return _imported(_place_of(value)) is value
    return isinstance(value, _SCALARS) and not isinstance(value, enum.Enum)


def _warn_of_others(callbacks: Sequence[Any]) -> None:
    """Warns of what looks like state in the user's callbacks, and is not kept."""
    for callback in callbacks:
        if type(callback).__module__.partition(".")[0] in ("keras", "recsys"):
            continue
        for name, value in vars(callback).items():
            if isinstance(value, _NOT_KEPT) and not _is_plain(value):
                warnings.warn(
                    f"Resume: a state does not hold {name!r} of "
                    f"{type(callback).__name__}, as it is a {type(value).__name__}",
                    stacklevel=2,
                )


def _place_of(function: Any) -> list[str]:
    """The module of a function, and its name there."""
    return [getattr(function, of, "") or "" for of in ("__module__", "__name__")]


def _imported(place: Sequence[str]) -> Any:
    """The function that an imported module has by a name, if any."""
    module, name = place
    return getattr(sys.modules.get(module), name, None)


def _equal(one: Any, other: Any) -> bool:
    mine: list[Any] = []
    others: list[Any] = []
    same = json.dumps(_packed(one, mine)) == json.dumps(_packed(other, others))
    return same and all(map(np.array_equal, mine, others))


def _packed(value: Any, arrays: list[Any]) -> Any:
    """Returns plain values as JSON has them; arrays are appended, and numbered."""
    if isinstance(value, dict):
        items = [[_packed(each, arrays) for each in pair] for pair in value.items()]
        return {"dict": items}
    for kind, several in _SEVERAL.items():
        if isinstance(value, several):
            return {kind: [_packed(each, arrays) for each in value]}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if callable(value):
        return {"function": _place_of(value)}
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, arrays: Sequence[Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "function":
        return _imported(content)
    if kind in _SEVERAL:
        return _SEVERAL[kind](_unpacked(each, arrays) for each in content)
    return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in content}
