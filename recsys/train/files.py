"""Files of a model: weights, state, exports."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from recsys.data.writing import checked_path, whole_file, whole_folder
from recsys.feature._names import signature_names
from recsys.saving import damage
from recsys.train._keras import (
    LITERT,
    files_of_weights,
    shapes_in_file,
    shapes_of_layers,
)
from recsys.train.logs import Logging
from recsys.train.order import ModelOrder

SAVED_MODEL = (
    "saved_model.pb",
    "fingerprint.pb",
    "assets/",
    "variables/",
    "variables/variables.index",
    "variables/variables.data-?????-of-?????",
)
ENDINGS = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite"}
CURRENT = (".weights.h5", ".keras", ".weights.json")
WEIGHTS = (*CURRENT, ".h5")  # the last is Keras' older form


class Stored(Logging):
    """A model whose files are whole, and hold all of its state."""

    _orders: ModelOrder

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves the model; see `keras.Model.save`. The file appears when whole.

        Another thread may train meanwhile: the file is of the end of a step.

        Raises:
            FileExistsError: If there is one, and `overwrite=False`.
            ValueError: If it is to be of Keras' older form, `.h5`, which has no state,
                or a folder, `zipped=False`, which may be half written.
        """
        if zipped is False:
            raise ValueError(
                "save: zipped must be True or None, for one whole file. "
                "Received: zipped=False"
            )
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "save: filepath must end in '.keras'; a '.h5' does not hold what "
                f"training needs to go on. Received: {filepath}"
            )
        with self._written("save", filepath, overwrite, ".keras") as part:
            super().save(part, zipped=zipped, **kwargs)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None
    ) -> None:
        """Saves the weights; see `keras.Model.save_weights`, and `save`."""
        several = max_shard_size is not None
        with self._written(
            "save_weights", filepath, overwrite, ".weights.h5", several=several
        ) as part:
            super().save_weights(part, max_shard_size=max_shard_size)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Loads weights; see `keras.Model.load_weights`. It loads all or none.

        What an optimizer remembers is loaded where that of the file has as many
        variables. Else it stays as it is, and Keras warns.

        Args:
            filepath: A file of `save_weights` or `save`.
            skip_mismatch: Whether to load what fits and leave out the rest, and take
                files of other layers.
            **kwargs: Further arguments of Keras.

        Raises:
            OSError: If the file is missing, or is no file of weights or not all of it.
            ValueError: If its name is that of no file of weights, or they are those of
                a model of other layers or sizes, or what is to be given to the
                optimizer is of other sizes.
        """
        path = checked_path("load_weights: filepath", filepath)
        wanted = f"{path} must be a whole file that `model.save_weights` wrote. "
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file of that name"
            raise FileNotFoundError(f"{wanted}Received: {found}")
        if not path.name.endswith(WEIGHTS):
            raise ValueError(f"{wanted}Received: a name that ends in none of {WEIGHTS}")
        reason = damage(path, {"model.weights.h5"}) if path.suffix == ".keras" else None
        if reason:
            raise OSError(f"{wanted}Received: {reason}")
        held = [*self.variables, *self._own_variables()]
        held += self.optimizer.variables if self.compiled else []
        # Copies: on PyTorch an array is what the variable itself holds.
        before = [keras.ops.convert_to_numpy(each).copy() for each in held]
        alike = path.name.endswith(CURRENT) and not (skip_mismatch or kwargs)
        try:
            files_of_weights(path)
            more = alike and shapes_in_file(path) - shapes_of_layers(self)
            if more:
                raise ValueError(
                    f"{path} must hold the weights of a model of the same layers and "
                    f"sizes as {self.name!r}. Received: {more.total()} weights too "
                    f"many, of shapes {', '.join(map(str, more))}"
                )
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        except Exception as error:
            for variable, value in zip(held, before, strict=True):
                variable.assign(value)
            if not isinstance(error, OSError):
                raise
            raise type(error)(f"{wanted}Received: {error}") from error

    @contextlib.contextmanager
    def _written(
        self,
        who: str,
        path: Any,
        overwrite: bool,
        ending: str,
        *,
        several: bool = False,
    ) -> Iterator[Any]:
        """Yields where Keras may write a file: of several files, where they belong."""
        checked_path(f"{who}: filepath", path)
        if not overwrite and Path(path).exists():
            raise FileExistsError(
                f"{path} must not exist, as overwrite=False. Received: one that does"
            )
        with self._step_turn:
            self._refresh()
            if several or not str(path).endswith(ending):
                yield path
                return
            with whole_file(path) as part:
                yield part

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool = True,
        **kw: Any,
    ) -> None:
        """Exports the model; see `keras.Model.export`.

        Outputs have the names of the tasks, of a single one too; those of a user or
        item model are named after its vectors. Inputs have the names of the columns; in
        TensorFlow's signatures what it does not take is written as in a URL, with '>'
        for '%', and what Python reserves has '_' behind it: `user id` is `user>20id`,
        `class` is `class_`. LiteRT runs recurrent layers (DIEN, DSIN) on
        one row at a time.

        Args:
            filepath: A folder for a SavedModel, else a file with the ending of the
                format. Exports of the format that are there are replaced.
            format: `"tf_saved_model"`, `"onnx"` or `"litert"`.
            verbose: Whether to print where the files are.
            **kw: Further arguments of Keras.

        Raises:
            FileExistsError: If there is anything else, also a file in `assets/`: nobody
                knows whether it is a user's.
            ImportError: If a package that the format needs is not installed.
            ValueError: If it is another format, or a file has another ending.
        """
        if format not in ENDINGS:
            raise ValueError(
                f"export: format must be one of {[*ENDINGS]}. "
                f"Received: format={format!r}"
            )
        checked_path("export: filepath", filepath)
        ending = ENDINGS[format]
        if not str(filepath).endswith(ending):
            raise ValueError(
                f"export: filepath must end in {ending!r} where format={format!r}. "
                f"Received: {filepath}"
            )
        self._refresh()
        outputs = self.output
        if not isinstance(outputs, dict):  # a bare tensor would be named by its place
            outputs = dict(zip(self.output_names, [outputs], strict=True))
        onnx = format == "onnx"
        if onnx and not all(map(importlib.util.find_spec, ("onnx", "tf2onnx"))):
            raise ImportError(
                "An export as ONNX needs onnx and tf2onnx: pip install "
                "'deep-rec-kit[export]'"
            )
        # Without it ONNX wants a model that was called; TensorFlow takes few names.
        names = {n: n for n in self.input} if onnx else signature_names(self.input)
        specs = {
            name: keras.InputSpec(tensor.dtype, tensor.shape, name=names[name])
            for name, tensor in self.input.items()
        }
        kw = {"input_signature": [specs], **kw}
        if format == "litert":
            kw = {**LITERT, **kw}
        named = keras.Model(self.input, outputs, name=self.name)
        if format == "tf_saved_model":
            whole = whole_folder(filepath, SAVED_MODEL)
        else:
            whole = whole_file(filepath)
        with whole as part:
            named.export(part, format, verbose=False, **kw)
        if verbose:
            print(f"Exported {self.name} to {filepath}")

    def save_own_variables(self, store: Any) -> None:
        """Saves what no layer has: random generators, `balance`, the order of rows."""
        for i, state in enumerate(self._random_state()):
            store[f"random_{i}"] = state
        for variable in self._own_variables():
            store[variable.name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved; files of plain Keras have none."""
        for i, state in enumerate(self._random_state()):
            if f"random_{i}" in store:
                state.assign(store[f"random_{i}"])
        for variable in self._own_variables():
            if variable.name in store:
                variable.assign(store[variable.name])

    def _own_variables(self) -> list[keras.Variable]:
        balance = self.balance.variables if self.balance else ()
        return [*balance, self._orders.variable]

    def _random_state(self) -> list[keras.Variable]:
        others = {id(v) for v in (*self.weights, *self.metrics_variables)}
        return [v for v in self.variables if id(v) not in others]

    def _hang_state(self) -> None:
        """Lets `tf.train.Checkpoint` find all variables.

        By itself it finds neither layers in a list nor the state of generators.
        """
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self._checkpointed = tf.Module()
            self._checkpointed.state = [variable.value for variable in self.variables]
            self._checkpointed.orders = self._orders.variable.value
