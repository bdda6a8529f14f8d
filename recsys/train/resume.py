"""Training that was stopped, and goes on to the same digits."""

import copy
import itertools
import json
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.callbacks import BackupAndRestore

from recsys.data.writing import whole_file
from recsys.feature._names import given_name
from recsys.train import gate
from recsys.train.balance import AfterEpoch
from recsys.train.order import Epochs

KEPT = 2  # files: the newest, and one more should the disk have lost it
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
    of numbers, strings and arrays, in lists and dicts. The data must be arrays, a
    FeaturePipeline's dataset, or a dataset whose passes are all alike. A run that goes
    on in an epoch reads, and leaves out, the batches before its step.

    Args:
        folder: Made if it is not there.
        save_freq: `"epoch"`, or the number of steps between two files; there is also
            one at the end of each epoch.

    Raises:
        ValueError: If `save_freq` is something else; in `fit`, if the folder is of
            another model or other data, none of its files can be read, or `fit` has
            `steps_per_epoch`, with which an epoch may begin anywhere in the data.
    """

    def __init__(self, folder: Any, save_freq: Any = "epoch") -> None:
        super().__init__()
        if save_freq != "epoch" and (type(save_freq) is not int or save_freq < 1):
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
                with file.open("rb") as opened, np.load(opened) as saved:
                    arrays = [saved[f"a{i}"] for i in range(len(saved.files) - 1)]
                    state: dict[str, Any] = json.loads(bytes(saved["state"]))
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
        for old in self._files()[KEPT:]:
            old.unlink()

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
        arguments: Further arguments of `fit`.

    Raises:
        ValueError: If training would not go on as the callbacks promise.
    """
    needed = [epochs, *([AfterEpoch()] if model.balance is not None else [])]
    given = arguments.get("callbacks") or []
    if isinstance(given, keras.callbacks.CallbackList):
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
    for wanted, holds in (
        ("one callback that resumes", len(resumes) < 2),
        ("no steps_per_epoch", not arguments.get("steps_per_epoch")),
        ("the TensorFlow backend", on_tensorflow),
    ):
        if not holds:
            raise ValueError(
                f"To go on in an epoch, fit needs {wanted}. Received: "
                f"callbacks={given}, steps_per_epoch={arguments.get('steps_per_epoch')}"
                f", backend {keras.backend.backend()!r}"
            )
    steps = int(data.cardinality()) if gate.is_dataset(data) else None
    return Callbacks(
        resume,
        [each for each in others if each not in resumes],
        model=model,
        steps=steps if steps is not None and steps >= 0 else None,
        epochs=arguments.get("epochs", 1),
        verbose=arguments.get("verbose", "auto"),
        remove=remove,
    )


class Callbacks(keras.callbacks.CallbackList):
    """The callbacks of a `fit` that resumes.

    Args:
        resume: Reads and writes the states, if any.
        callbacks: The other callbacks, `Epochs` among them.
        model: The model.
        steps: Batches of an epoch, if known.
        epochs, verbose: Those of `fit`.
        remove: Whether to remove the folder when training has ended.
    """

    def __init__(
        self,
        resume: Resume | None,
        callbacks: Sequence[Any],
        *,
        model: Any,
        steps: int | None,
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
        self._remove = remove
        self._epochs = next(c for c in self.callbacks if isinstance(c, Epochs))
        self._epoch = 0
        self._last = 0  # step of this epoch at which a state was written
        self._skipped = 0  # steps of this epoch that were taken before the stop
        self._state: Any = None  # to be restored when the first epoch begins

    # What Keras calls.

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        losses, outputs = self.model._compile_loss, self.model.output
        if isinstance(outputs, dict) and losses is not None and not losses.built:
            of_losses = {n: outputs[given_name(n)] for n in losses._user_loss}
            losses.build(of_losses, of_losses)  # makes means, else in the first step
        self._metrics = len(self.model.metrics_variables)
        self._begun = [_plain(vars(callback)) for callback in self.callbacks]
        if self._resume is None or (found := self._resume.read()) is None:
            return
        state, arrays = self._state = found
        self._check(state, self._resume.folder)
        epoch, step, epochs = state["epoch"], state["step"], self.params["epochs"]
        if state["stopped"] or epoch >= epochs:
            warnings.warn(
                f"Resume: the training in {self._resume.folder} had ended after "
                f"{epoch} epochs, and this run adds nothing; another folder begins "
                "another training",
                stacklevel=2,
            )
            epoch = epochs
        elif self.params["verbose"]:
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
        arrays: list[Any] = [keras.ops.convert_to_numpy(each) for each in variables]
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
            "steps": self.params["steps"],
            "orders": orders,
            "variables": _described(variables),
            "callbacks": callbacks,
        }
        self._resume.write(state, arrays)

    def _check(self, state: dict[str, Any], folder: Path) -> None:
        """Raises `ValueError` if a state is of another model or other data."""

        def refuse(what: str, wanted: Any, found: Any) -> None:
            raise ValueError(
                f"Resume: {folder} is of a training with {what} {wanted}. "
                f"Received: {found}"
            )

        mine = _described(self._variables(state["step"]))
        for wanted, found in itertools.zip_longest(state["variables"], mine):
            if wanted != found:
                refuse("the variable", wanted, found)
        if state["steps"] != self.params["steps"]:
            refuse("steps an epoch:", state["steps"], self.params["steps"])
        orders = state["orders"], self._epochs.state()
        wanted, found = ([seed for seed, _ in each] for each in orders)
        if wanted != found:
            refuse("orders of the seeds", wanted, found)

    def _restore(self, state: dict[str, Any], arrays: Sequence[Any]) -> None:
        variables = self._variables(state["step"])  # behind them, what callbacks hold
        for variable, array in zip(variables, arrays[: len(variables)], strict=True):
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


def _described(variables: Sequence[Any]) -> list[Any]:
    return [[v.name, list(v.shape), str(v.dtype)] for v in variables]


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns copies of those attributes that can be written."""
    return {k: copy.deepcopy(v) for k, v in attributes.items() if _is_plain(v)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(each) for pair in value.items() for each in pair)
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, (bool, int, float, str, np.number))


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
    if isinstance(value, (list, tuple)):
        return {"list": [_packed(each, arrays) for each in value]}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    return value.item() if isinstance(value, np.number) else value


def _unpacked(value: Any, arrays: Sequence[Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "list":
        return [_unpacked(each, arrays) for each in content]
    return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in content}
