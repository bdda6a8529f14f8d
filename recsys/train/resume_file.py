"""The files of a Resume."""

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from recsys.data.writing import LEFT, remove_left, whole_file
from recsys.feature._constraints import Integer

KEPT = 2  # files: the newest, and one more should the disk have lost it


_KEYS = {"epoch", "step", "stopped", "data", "steps", "loss", "optimizer", "layers"}


_KEYS |= {"rates", "orders", "variables", "callbacks", "logs"}


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

    Losses and what computes learning rates are compared as `compile` was given them: a
    function's code, defaults and closure, an object's class and what it was made with.
    What they read elsewhere, as globals and imports, is not compared, nor is in objects
    what is no number, text, array or container of them.

    Args:
        folder: Made if it is not there.
        save_freq: `"epoch"`, or the number of steps between two files; there is also
            one at the end of each epoch.

    Raises:
        ValueError: If `save_freq` is something else; in `fit`, if the folder is of
            another model, optimizer, schedule of learning rates or loss, of an epoch
            before `initial_epoch`, or of other data: with other columns, labels or
            weights, rows or batch size (of what the rows hold, a thousand are
            compared); if the data's order is not known in another process
            (`shuffle()`, `cache()`); if the folder cannot be made or none of its files
            can be read; or if `fit` has `steps_per_epoch`, with which an epoch may
            begin anywhere in the data.
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
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"Resume: {self.folder} must be a folder, or where one can be made. "
                f"Received: {error}"
            ) from error
        files = self._files()
        for file in files:
            try:
                if not zipfile.is_zipfile(file):  # NumPy would offer to unpickle it
                    raise ValueError("it is no state, or cut off")
                with file.open("rb") as opened, np.load(opened) as saved:
                    arrays = [saved[f"a{i}"] for i in range(len(saved.files) - 1)]
                    state: Any = json.loads(bytes(saved["state"]))
                if not isinstance(state, dict):
                    raise ValueError(f"a state that is a {type(state).__name__}")
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
        place = state["epoch"], state["step"]
        name = _name(*place)
        named = {f"a{i}": array for i, array in enumerate(arrays)}
        text = np.frombuffer(json.dumps(state).encode(), np.uint8)
        with whole_file(self.folder / name) as part, part.open("wb") as file:
            np.savez(file, state=text, **named)
        for left in self.folder.glob(f".epoch-*{LEFT}*"):
            remove_left(left, self.folder / name)
        older = [file for file in self._files() if _place(file) < place]
        for old in older[KEPT - 1 :]:  # what is newer is torn
            old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Returns the files with names of states, the newest first."""
        found = self.folder.glob("epoch-*-step-*.npz")
        states = [f for f in found if f.is_file() and f.name == _name(*_place(f))]
        return sorted(states, key=_place, reverse=True)


def _name(epoch: int, step: int) -> str:
    return f"epoch-{epoch:05d}-step-{step:09d}.npz"


def _place(file: Path) -> tuple[int, int]:
    """The epoch and the step in a file's name; 0 where there is none."""
    found = re.fullmatch(r"epoch-([0-9]+)-step-([0-9]+)\.npz", file.name)
    return (int(found[1]), int(found[2])) if found else (0, 0)
