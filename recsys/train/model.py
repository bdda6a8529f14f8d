"""The model class: Keras' functional model, with tasks in place of bare outputs."""

import contextlib
import importlib.util
import inspect
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.data.dataset import Order
from recsys.data.writing import whole_file, whole_folder
from recsys.feature._constraints import Number
from recsys.feature._names import given_name, layer_name, signature_names
from recsys.layers.column import InputColumn
from recsys.layers.core import Derived, LossLayer, PredictLayer, for_xla
from recsys.layers.embedding import Embedding
from recsys.metrics.breakdown import Breakdown
from recsys.metrics.streaming.rows import RowMetric
from recsys.metrics.streaming.sums import SumMetric
from recsys.train import balance as balances
from recsys.train import class_weights, feed, gate, optimizers, resume, routing
from recsys.train.balance import Balance, GradientBalance, Recorded
from recsys.train.columns import Column, all_layers, check_columns, columns_of
from recsys.train.losses.joint import per_replica
from recsys.train.order import Epochs, ModelOrder
from recsys.train.rows import Needs


@dataclass
class _Plan:
    """What `compile` decided. A plain object: Keras tracks lists and dicts."""

    losses: dict[str, Any] = field(default_factory=dict)
    metrics: list[routing.TaskMetric] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    balance: Balance | None = None
    recorded: dict[str, Recorded] = field(default_factory=dict)
    loss_weights: dict[str, Any] = field(default_factory=dict)
    means: dict[str, SumMetric] = field(default_factory=dict)
    layer_means: list[SumMetric] = field(default_factory=list)
    valid: dict[str, SumMetric] = field(default_factory=dict)  # rows with a label
    order: list[str] = field(default_factory=list)  # of the names in the last logs
    rows: dict[tuple[str, bool], SumMetric] = field(default_factory=dict)

    @property
    def sums(self) -> list[SumMetric]:
        """What logs are computed from without a name of their own."""
        by_name = [*self.rows.values(), *self.means.values(), *self.valid.values()]
        return [*by_name, *self.layer_means]

    @property
    def groups(self) -> set[str]:
        """The columns that metrics and losses group rows by."""
        of = [*self.losses.values(), *(entry.metric for entry in self.metrics)]
        return {name for each in of for name in routing.columns_of(each).values()}


@keras.saving.register_keras_serializable(package="recsys")
class Model(keras.Model):
    """A functional Keras model whose outputs are tasks.

    The factories (`recsys.rank.deepfm`, ...) build it; it is used as any Keras model.
    What it adds to `keras.Model`:

    - `x` is a dict by column, a pandas, polars or Arrow frame; or what makes batches:
      a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`, a generator. Arrays and
      frames are checked before the first step. So is every batch, before its step, but
      for those of a FeaturePipeline's own dataset. Columns the model does not read are
      left out; metrics may group by them.
    - Labels are one array (one task), a dict by task, or a list in the order of the
      tasks. NaN is a missing label: it counts in no loss and no metric.
    - `compile(optimizer={"embedding": "adagrad", "default": "adam"})`, see
      `recsys.train.optimizers`; a stock Keras optimizer becomes its row-wise twin.
    - `compile(loss=...)`: one loss for every task, a dict by output, or a list in
      the order of the outputs, whose further entries go to the model's loss layers.
      Cross-entropies are computed from logits.
    - `compile(metrics=...)`: one, or a list, for every task; or a dict by output. A
      metric or loss with a `group` is given the column of that name. A metric whose
      value is a dict, such as `recsys.metrics.By`, adds its entries to the logs. Of
      one for every task the logs have the mean over the tasks (`auc_task_macro`), that
      weighted by rows (`auc_task_weighted`), and in how many it is undefined and left
      out of both (`auc_task_skipped`).
    - `compile(balance=...)` says how the losses of several tasks become one, see
      `recsys.train.balance`.
    - Data that a pipeline made must be of the pipeline, and the `fit`, whose fields
      the model was built from; arrays, and datasets that were changed since, do not
      say whose they are.
    - Any number of threads may ask one model: they predict at once, and evaluate and
      train one after another, for metrics have one state.
    - `.keras` files and `tf.train.Checkpoint` hold the state of random generators,
      so that training resumes to the same digits. A file appears when it is whole.

    Args:
        inputs: `{name: keras.Input}`.
        outputs: One tensor, or `{task: tensor}`.
        name: Name of the model.

    Raises:
        ValueError: If an input and an output have one name.
    """

    train_function: Any
    _of_positives = False  # whether its own losses take rows for positives
    _plan = _Plan()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _check_names(**dict(zip(("inputs", "outputs"), args, strict=False), **kwargs))
        super().__init__(*args, **kwargs)
        made_by = [tensor._keras_history.operation for tensor in self.outputs]
        self.output_names = [given_name(each.name) for each in made_by]
        self._turn = threading.Lock()
        self._metrics_turn = threading.RLock()  # their state is of one run at a time
        self._step_turn = threading.RLock()  # files are of the end of a step
        self._orders = ModelOrder()
        self._hang_state()
        for layer in self._loss_layers():
            layer.bind(self)

    @property
    def heads(self) -> dict[str, PredictLayer | None]:
        """The outputs in the order they were made, each with its head, if any."""
        outputs = self.output
        if not isinstance(outputs, dict):
            outputs = {self.output_names[0]: outputs}
        makers = {name: t._keras_history.operation for name, t in outputs.items()}
        return {
            name: layer if isinstance(layer, PredictLayer) else None
            for name, layer in makers.items()
        }

    @property
    def balance(self) -> Balance | None:
        """How the losses of tasks become one, with its state; `None`: their sum."""
        return self._plan.balance

    @property
    def columns(self) -> dict[str, Column]:
        """The columns the model reads."""
        return columns_of(self)

    @property
    def fingerprints(self) -> list[str]:
        """What the fitted pipelines whose fields it was built from are known by."""
        columns = [each for each in self.layers if isinstance(each, InputColumn)]
        return sorted({column.fingerprint for column in columns})

    @property
    def special_layer_variables(self) -> dict[str, list[Any]]:
        """The variables of each key of an optimizer dict."""
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return dict(optimizer.assign_keys(self.trainable_variables))

    # Compile and save.

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *,
        balance: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; see `keras.Model.compile` and the class.

        Raises:
            ValueError: If an optimizer key matches no variable, a loss, weight or
                metric names no output, or there is no such `balance`.
        """
        heads, layers = self.heads, self._loss_layers()
        optimizer = optimizers.get(optimizer)
        losses, of_layers = routing.by_output("loss", loss, heads, len(layers))
        weights, layer_weights = routing.by_output(
            "loss_weights", loss_weights, heads, len(layers)
        )
        numbers = keras.tree.flatten(loss_weights)
        if not all(x is None or Number(0).accepts(x) for x in numbers):
            raise ValueError(
                f"loss_weights must each be {Number(0).wanted}. "
                f"Received: loss_weights={loss_weights!r}"
            )
        losses = {
            name: routing.on_logits(fn, heads[name])
            for name, fn in losses.items()
            if fn is not None
        }
        balancing = self._balancing(balance, losses)
        if balancing is not None:
            optimizers.exempt_from_decay(optimizer, balancing.variables)
        if isinstance(optimizer, optimizers.OptimizerByPrefix):
            optimizer.assign_keys(self.trainable_variables)
        optimizers.warn_if_slow(optimizer, self.trainable_variables)
        recorded = {name: Recorded(fn) for name, fn in losses.items()}
        super().compile(
            optimizer,
            _by_layer(recorded) or None,
            _by_layer({name: weights.get(name, 1.0) for name in losses})
            if weights
            else None,
            **kwargs,
        )
        if isinstance(self.output, dict) and self._compile_loss is not None:
            of_losses = {layer_name(name): self.output[name] for name in losses}
            self._compile_loss.build(of_losses, of_losses)  # else in the first step
        for layer, fn in zip(layers, of_layers, strict=False):
            layer.loss_fn = fn
        for layer, weight in zip(layers, layer_weights, strict=False):
            layer.weight = weight
        prefixed = isinstance(self.output, dict)
        config = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "balance": balance,
            **kwargs,
        }
        entries = [
            *routing.task_metrics(metrics, heads, prefixed, weighted=False),
            *routing.task_metrics(weighted_metrics, heads, prefixed, weighted=True),
        ]
        if prefixed:
            routing.check_logs(losses, entries)
        weights = {n: 1.0 if weights.get(n) is None else weights[n] for n in losses}
        self._plan = _Plan(losses, entries, config, balancing, recorded, weights)
        self._plan.means = {name: SumMetric(4, name="mean") for name in losses}
        self._plan.layer_means = [SumMetric(4, name="mean") for _ in layers]
        self._plan.valid = {name: SumMetric(1, name="valid") for name in losses}
        self._plan.rows = {
            (entry.output, entry.weighted): SumMetric(1, name="rows")
            for entry in entries
            if entry.of_all_tasks
        }
        # Now, not in the first step: a checkpoint restores slots that exist.
        self.optimizer.build(self.trainable_variables)

    def _balancing(self, given: Any, losses: Mapping[str, Any]) -> Balance | None:
        """Returns a balance with its state, in place of the one before."""
        if self._plan.balance is not None:
            for variable in self._plan.balance.variables:
                self._untrack_variable(variable)
        balancing = balances.get(given)
        if balancing is not None:
            if not losses:
                raise ValueError(
                    f"balance is of losses of tasks. Received: balance={given!r} and "
                    "no loss"
                )
            heads = self.heads
            kinds = {n: "" if (h := heads[n]) is None else h.task for n in losses}
            balancing.build(self, kinds)
            self._hang_state()
        return balancing

    def add_state(
        self, name: str, initializer: Any, shape: tuple[int, ...], trainable: bool
    ) -> Any:
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

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, serialized."""
        if not self.compiled:
            return {}
        return {
            key: keras.saving.serialize_keras_object(value)
            for key, value in self._plan.config.items()
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says."""
        self.compile(**keras.saving.deserialize_keras_object(config))

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
            ValueError: If it is to be of Keras' older form, `.h5`, which has no state.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "save: filepath must end in '.keras'; a '.h5' does not hold what "
                f"training needs to go on. Received: {filepath}"
            )
        with self._written(filepath, overwrite, ".keras", zipped is False) as part:
            super().save(part, zipped=zipped, **kwargs)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None
    ) -> None:
        """Saves the weights; see `keras.Model.save_weights`, and `save`."""
        several = max_shard_size is not None
        with self._written(filepath, overwrite, ".weights.h5", several) as part:
            super().save_weights(part, max_shard_size=max_shard_size)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Loads weights; see `keras.Model.load_weights`.

        Raises:
            OSError: If the file is missing, or is no file of weights or not all of it.
        """
        try:
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        except OSError as error:
            missing = not Path(filepath).is_file()
            raise type(error)(
                f"{filepath} must be a whole file that `model.save_weights` wrote. "
                f"Received: {'no file of that name' if missing else error}"
            ) from error

    @contextlib.contextmanager
    def _written(
        self, path: Any, overwrite: bool, ending: str, several: bool
    ) -> Iterator[Any]:
        """Yields where Keras may write a file: of several files, where they belong."""
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
        """
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
        if format == "litert":  # else it wants operations of TensorFlow for them
            kw = {
                "_experimental_lower_tensor_list_ops": True,
                "_experimental_default_to_single_batch_in_tensor_list_ops": True,
                **kw,
            }
        named = keras.Model(self.input, outputs, name=self.name)
        if format == "tf_saved_model":
            whole = whole_folder(filepath, with_file="saved_model.pb")
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

    def _own_variables(self) -> list[Any]:
        balance = self.balance.variables if self.balance else ()
        return [*balance, self._orders.variable]

    def _random_state(self) -> list[Any]:
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

    # Fit, evaluate, predict: checks first.

    @gate.plainly()
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *args: Any,
        validate: bool = True,
        **kw: Any,
    ) -> Any:
        """Trains the model; see `keras.Model.fit`.

        Args:
            x: Columns by name, a frame, or what makes batches of `(x, y[,
                sample_weight])`.
            y: Labels; `None` for batches and for match models.
            *args, **kw: Further arguments of `keras.Model.fit`.
            validate: Check every batch of a dataset, generator or data loader.

        Raises:
            ValueError: If a column, label or weight is not what the model takes, or
                there are no rows.
        """
        given = inspect.signature(keras.Model.fit).bind(self, x, y, *args, **kw)
        rest = {k: v for k, v in given.arguments.items() if k not in ("self", "x", "y")}
        rest = gate.arguments("fit", {**rest, "validate": validate})
        del rest["validate"]
        weight = rest.pop("sample_weight", None)
        x = getattr(x, "recsys_whole", x)
        own = self._of_positives or self._loss_layers() or self.losses
        if self.compiled and not (self._plan.losses or own):
            raise ValueError(
                "fit: compile must be given a loss, as the model has none of its own. "
                "Received: loss=None"
            )
        gate.refuse_passes("x", x, rest)
        orders = feed.orders(x) if gate.is_dataset(x) else []
        derived = bool(orders) and not hasattr(x, "recsys_order")
        if orders and "initial_epoch" not in rest:
            rest["initial_epoch"] = orders[0].start
        classes = rest.pop("class_weight", None)
        if classes is not None:
            classes = class_weights.checked(self.heads, x, y, weight, classes)
            if y is not None:
                weight = class_weights.of_rows(self.heads, y, classes)
            elif not gate.is_dataset(x):
                rest["class_weight"] = classes
        train = self._prepared("fit", x, y, weight, validate=validate)
        if classes is not None and gate.is_dataset(x):
            train = (class_weights.on_dataset(self.heads, train[0], classes),)
        valid = rest.pop("validation_data", None)
        if valid is not None:
            parts = valid if isinstance(valid, (tuple, list)) else (valid,)
            valid = self._prepared("validation_data", *parts, validate=validate)
            gate.refuse_passes("validation_data", parts[0], rest)

        if self._feeds_itself(train) and not rest.get("steps_per_epoch"):
            share = rest.pop("validation_split", 0.0)
            if share and valid is None:
                train, valid = feed.split_off(train, share)
            if rest.pop("shuffle", True):
                orders = [Order(None)]
            size = rest.get("batch_size") or 32
            train = (feed.array_dataset(train, size, *orders),)
        if valid is not None and self._feeds_itself(valid):
            size = rest.pop("validation_batch_size", None) or rest.get("batch_size")
            valid = (feed.array_dataset(valid, size or 32),)
        epochs = Epochs(orders, self._orders, first_only=derived)
        arguments = {**rest, "class_weight": classes}
        rest["callbacks"] = resume.callbacks(self, train[0], epochs, arguments)
        if gate.is_dataset(train[0]):
            rest.pop("batch_size", None)
            rest["shuffle"] = False  # as it is; Keras would warn
        x, y, sample_weight = (*train, None, None)[:3]
        if valid is not None:
            valid = valid if len(valid) > 1 else valid[0]
        with epochs.alone(), self._metrics_turn:
            try:
                history = super().fit(
                    x, y, sample_weight=sample_weight, validation_data=valid, **rest
                )
            finally:
                self._initial_epoch = None  # of this `fit` only
        self._refresh()
        return history

    @gate.plainly()
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        validate: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Returns the loss and the metrics; see `keras.Model.evaluate` and `fit`."""
        self._refresh()
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked it
            sizes = {"batch_size": batch_size, "steps": steps}
            others = {"callbacks": callbacks, "validate": validate}
            batch_size, steps, *_ = gate.arguments(
                "evaluate", {**sizes, **others}
            ).values()
            parts = self._prepared("evaluate", x, y, sample_weight, validate=validate)
            if self._feeds_itself(parts) and not steps:
                parts = (feed.array_dataset(parts, batch_size or 32),)
                batch_size = None
            x, y, sample_weight = (*parts, None, None)[:3]
        with self._metrics_turn, self._whole():
            logs = super().evaluate(
                x,
                y,
                batch_size,
                verbose,
                sample_weight,
                steps,
                callbacks,
                True,
                **kwargs,
            )
        if return_dict:
            return logs
        values = [logs[name] for name in self._plan.order]  # Keras sorts logs
        return values if len(values) > 1 else values[0]

    @gate.plainly()
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        *,
        validate: bool = True,
    ) -> Any:
        """Returns predictions; see `keras.Model.predict`.

        Any number of threads may ask one model. One row takes no longer than its
        compiled forward pass and the checks.

        Args:
            x: Columns by name, a frame, or a dataset.
            batch_size: Rows at a time. Predictions do not depend on it; by default it
                is large, and smaller for long histories.
            verbose, steps, callbacks: As in Keras.
            validate: Check every batch of a dataset, generator or data loader.

        Returns:
            `(rows, 1)`, or a dict of them by task.

        Raises:
            ValueError: If a column is not what the model takes, or there are no rows.
        """
        self._refresh()
        sizes = {"batch_size": batch_size, "steps": steps}
        others = {"callbacks": callbacks, "validate": validate}
        batch_size, steps, *_ = gate.arguments("predict", {**sizes, **others}).values()
        (x,) = self._prepared("predict", x, validate=validate, for_loss=False)
        if isinstance(x, dict):
            batch_size = batch_size or feed.rows_at_once(x)
        if not self._on_one_device() or not isinstance(x, dict) | gate.is_dataset(x):
            with self._turn, self._whole():
                return super().predict(x, batch_size, verbose, steps, callbacks)
        batches, number = feed.batches(x, batch_size, steps)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                verbose=verbose,
                epochs=1,
                steps=number,
                model=self,
            )
        with self._turn:  # else each of them traces one
            self.make_predict_function()
        self.stop_predicting = False
        callbacks.on_predict_begin()
        found = []
        for step, batch in enumerate(batches):
            callbacks.on_predict_batch_begin(step)
            outputs = self.predict_function([feed.as_inputs(batch, self.input)])
            callbacks.on_predict_batch_end(step, {"outputs": outputs})
            found.append(keras.tree.map_structure(np.asarray, outputs))
            if self.stop_predicting:
                break
        callbacks.on_predict_end()
        if not found:
            raise gate.no_rows("predict")
        return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch of arrays; see `keras.Model.train_on_batch`."""
        if class_weight is not None:
            given = x, y, sample_weight, class_weight
            weights = class_weights.checked(self.heads, *given)
            sample_weight = class_weights.of_rows(self.heads, y, weights)
        parts = self._prepared("train_on_batch", x, y, sample_weight, batches=False)
        return super().train_on_batch(*parts, return_dict=return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Evaluates one batch of arrays; see `keras.Model.test_on_batch`."""
        parts = self._prepared("test_on_batch", x, y, sample_weight, batches=False)
        return super().test_on_batch(*parts, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch of arrays; see `keras.Model.predict_on_batch`."""
        parts = self._prepared("predict_on_batch", x, batches=False, for_loss=False)
        return super().predict_on_batch(*parts)

    def make_train_function(self, force: bool = False) -> Any:
        """Compiles what `fit` runs. A file is not written while a step changes it."""
        made = self.train_function is None or force
        super().make_train_function(force)
        if made:
            step = self.train_function

            def in_turn(*args: Any) -> Any:
                with self._step_turn:
                    return step(*args)

            self.train_function = in_turn
        return self.train_function

    def make_predict_function(self, force: bool = False) -> Any:
        """Compiles what `predict` runs, on TensorFlow once for all sizes of a batch."""
        made = self.predict_function is None or force
        function = super().make_predict_function(force)
        if made and self._on_one_device() and not self.run_eagerly:
            import tensorflow as tf

            specs = {n: tf.TensorSpec(t.shape, t.dtype) for n, t in self.input.items()}
            self.predict_function.get_concrete_function([specs])
        return function

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Gives the weights back, which JAX takes while it runs, after an error too."""
        try:
            yield
        finally:
            if keras.backend.backend() == "jax":
                self.jax_state_sync()

    def _on_one_device(self) -> bool:
        """Whether this is TensorFlow, and it need not share out batches."""
        if keras.backend.backend() != "tensorflow":
            return False
        return bool(self.distribute_strategy.num_replicas_in_sync == 1)

    def _feeds_itself(self, parts: tuple[Any, ...]) -> bool:
        """Whether these are arrays that `feed` makes batches of."""
        return isinstance(parts[0], dict) and self._on_one_device()

    def _prepared(self, who: str, *parts: Any, **options: Any) -> tuple[Any, ...]:
        """Returns columns, labels and weights as Keras takes them, after checks."""
        metrics = {entry.name: entry.metric for entry in self._plan.metrics}
        reads: dict[str, Any] = {}
        for layer in self._loss_layers():
            reads |= layer.reads
        weights = (layer.sample_weight for layer in self._loss_layers())
        needs = Needs(
            columns=self.columns,
            heads=self.heads,
            losses=self._plan.losses,
            groups=self._plan.groups,
            of_losses={n: Column(n, shape, 0) for n, shape in reads.items()},
            weights={name for name in weights if name is not None},
            positives=self._of_positives
            and not (self._plan.losses or self._plan.metrics),
            capacities={
                name: metric.capacity
                for name, metric in metrics.items()
                if hasattr(metric, "capacity")
            },
            fingerprints=self.fingerprints,
        )
        return gate.prepared(who, needs, *parts, **options)

    # One step.

    def call(
        self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        """Runs the graph; see `keras.Model.call`."""
        with _forward_pass() as outermost:
            if not outermost:
                return super().call(inputs, training=training, mask=mask, **kwargs)
            for table in self._tables():
                table.touched.take()  # what a failed step left is not of this one
            with for_xla(self.jit_compile):
                return super().call(inputs, training=training, mask=mask, **kwargs)

    def _standardize_inputs(self, inputs: Any) -> Any:
        """Picks the columns by name: Keras feeds them in order if one is extra."""
        if isinstance(inputs, Mapping):
            if any(isinstance(value, np.ndarray) for value in inputs.values()):
                check_columns(self.columns, inputs)
            inputs = {
                name: _of_rank(tensor.shape, inputs[name])
                for name, tensor in self.input.items()
            }
        return super()._standardize_inputs(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the loss of a batch, and updates the metrics.

        The loss of a task is `sum of w m l / sum of m`, m being 0 where its label is
        missing. Added are the losses of loss layers, the L2 penalties on the rows of
        tables, and Keras' regularizers.
        """
        heads, plan = self.heads, self._plan
        predictions = y_pred if isinstance(y_pred, dict) else {[*heads][0]: y_pred}
        logits = {}
        for name, head in heads.items():
            # PyTorch, asked for shapes only, may come here twice for one forward pass.
            if head is not None and (kept := head.kept.take()):
                logits[name] = kept[-1]
        labels, present, weights = {}, {}, {}
        for name, label in routing.labels_by_output(y, heads).items():
            labels[name], present[name] = routing.without_missing(label)
            weights[name] = routing.weight_of(sample_weight, name, heads)
        routing.check_names("the loss", list(plan.losses), labels)
        masked = {n: routing.masked(weights[n], present[n]) for n in labels}
        of_mean = {n: routing.per_valid_row(weights[n], present[n]) for n in labels}

        for loss in plan.losses.values():
            if getattr(loss, "group", None) is not None:
                loss.kept.put(x[loss.group])
        if plan.losses:
            total = super().compute_loss(
                x,
                _by_layer({name: labels[name] for name in plan.losses}),
                _by_layer(
                    {
                        name: logits.get(name, predictions[name])
                        if routing.takes_logits(loss)
                        else predictions[name]
                        for name, loss in plan.losses.items()
                    }
                ),
                _by_layer(
                    {
                        name: of_mean[name]
                        if routing.is_mean_over_rows(loss)
                        else masked[name]
                        for name, loss in plan.losses.items()
                    }
                ),
                training,
            )
        balance = plan.balance if training else None
        rest = 0.0
        if balance is not None or not plan.losses:
            rest = sum((per_replica(ops.sum(loss)) for loss in self.losses), rest)
        rows = ops.cast(ops.shape(next(iter(predictions.values())))[0], "float32")
        valid = {n: rows if p is None else ops.sum(p) for n, p in present.items()}
        # A loss may run a part of the model again.
        with _forward_pass(), for_xla(self.jit_compile):
            for layer, mean in zip(self._loss_layers(), plan.layer_means, strict=True):
                loss = layer.loss(labels, of_mean, x, training)
                rest += per_replica(layer.weight * loss)
                _add(mean, loss, rows, layer.divisor(rows, valid))
            for table in self._tables():
                if table.l2_reg and training:
                    rest += per_replica(table.l2_penalty())
        values = {name: loss.kept.take()[-1] for name, loss in plan.recorded.items()}
        if balance is None:
            total = rest + total if plan.losses else rest
        else:
            of_tasks = {n: plan.loss_weights[n] * value for n, value in values.items()}
            total = balance.total(of_tasks, present, rest)
        for name, value in values.items():
            value = ops.cast(value / per_replica(1.0), "float32")
            of = routing.counted(plan.losses[name], rows, valid[name], masked[name])
            _add(plan.means[name], value, rows if balance is None else of, of)
            plan.valid[name].add(valid[name][None])

        # Here, not in `compute_metrics`: on JAX logits do not leave this function.
        for entry in plan.metrics:
            name, metric = entry.output, entry.metric
            routing.check_names(f"metric {entry.name!r}", [name], labels)
            apart = name in logits and getattr(metric, "logits_apart", False)
            of_logits = apart or routing.takes_logits(metric)
            seen = predictions[name]
            if of_logits:
                seen = logits.get(name, seen)
            if isinstance(metric, (RowMetric, SumMetric)):
                seen = routing.second_of_two(seen, heads[name], of_logits)
            seen = ops.stop_gradient(seen)
            more = {key: x[c] for key, c in routing.columns_of(metric).items()}
            metric.update_state(
                labels[name],
                None if apart else seen,
                masked[name] if entry.weighted else present[name],
                **({"logits": seen} if apart else {}),
                **more,
            )
        for (name, weighted), counter in plan.rows.items():
            counts = masked[name] if weighted else present[name]
            counts = ops.ones_like(labels[name][:, 0]) if counts is None else counts
            counter.add(ops.cast(ops.sum(counts), "float32")[None])
        return total

    def train_step(self, *args: Any) -> Any:
        """One step of training; see `keras.Model.train_step`."""
        if keras.backend.backend() != "tensorflow":
            return super().train_step(*args)
        import tensorflow as tf

        # Else a step at the end of the data, without a batch, counts in the optimizer.
        with tf.control_dependencies(tf.nest.flatten(args)[:1]):
            return self._train_step(*args)

    def _train_step(self, *args: Any) -> Any:
        balance = self.balance
        if not isinstance(balance, GradientBalance):
            return super().train_step(*args)
        import tensorflow as tf

        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(args[0])
        with tf.GradientTape(persistent=True) as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
        rows = tf.shape(next(iter(x.values())))[0]
        self._loss_tracker.update_state(loss, sample_weight=rows)
        gradients = balance.gradients(tape, self, self.optimizer.scale_loss)
        self.optimizer.apply(gradients, self.trainable_weights)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics that can be read in every step."""
        return self._results(exact=False)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns all metrics; eager, as an exact one is computed once, at the end."""
        return self._results(exact=True)

    def _get_metrics_result_or_logs(self, logs: Any) -> dict[str, Any]:
        loss = self._loss_tracker
        if not logs or (loss in self.metrics and float(ops.sum(loss.count)) == 0):
            raise gate.no_rows("fit or evaluate", "none, or none left for this epoch")
        labels = [float(valid.sums()[0]) for valid in self._plan.valid.values()]
        if labels and not any(labels):
            raise ValueError(
                "fit or evaluate: there must be labels of a task with a loss. "
                "Received: all of them are missing"
            )
        return self.get_metrics_result()  # the logs of a step lack the exact ones

    def _results(self, exact: bool) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        for name, metric in self._named_metrics():
            if exact or not getattr(metric, "exact", False):
                value = metric.result()
                if isinstance(value, dict):  # of names without that of the task
                    task = name.removesuffix(metric.name)
                    logs |= {f"{task}{key}": each for key, each in value.items()}
                else:
                    logs[name] = value
        # Of Keras are means over all rows, here those over valid rows.
        for name, mean in self._plan.means.items():
            of_all, of_valid = _means(mean)
            logs["loss"] += self._plan.loss_weights[name] * _gap(of_valid, of_all)
            if f"{name}_loss" in logs:
                none = ops.equal(self._plan.valid[name].sums()[0], 0)
                logs[f"{name}_loss"] = ops.where(none, np.nan, of_valid)
        for layer, mean in zip(
            self._loss_layers(), self._plan.layer_means, strict=True
        ):
            of_all, of_valid = _means(mean)
            logs["loss"] += layer.weight * _gap(of_valid, of_all)
        if exact:
            logs |= self._over_tasks(logs)
        self._plan.order = list(logs)
        return logs

    def _over_tasks(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Means of the metrics that every task has."""
        tables: dict[tuple[str, bool], Breakdown] = {}
        for entry in self._plan.metrics:
            if entry.of_all_tasks and entry.name in logs:
                key = entry.metric.name, entry.weighted
                table = tables.setdefault(key, Breakdown({}, {}))
                rows = self._plan.rows[entry.output, entry.weighted].sums()
                table.values[entry.output] = float(logs[entry.name])
                table.weights[entry.output] = float(rows[0])
        means: dict[str, Any] = {}
        for (name, _), table in tables.items():
            means |= {
                f"{name}_task_macro": table.macro(),
                f"{name}_task_weighted": table.weighted(),
                f"{name}_task_skipped": len(table.skipped()),
            }
        return means

    def _named_metrics(self) -> list[tuple[str, Any]]:
        """All metrics in order, each with its name in the logs."""
        compiled = {id(entry.metric): entry.name for entry in self._plan.metrics}
        named: dict[str, Any] = {}
        unnamed = {id(each) for each in self._plan.sums}
        for metric in self.metrics:
            if id(metric) in unnamed:
                continue
            name = compiled.get(id(metric), given_name(metric.name))
            while name in named:
                name = f"{name}_1"
            named[name] = metric
        return list(named.items())

    @property
    def metrics(self) -> list[Any]:
        """The metrics of losses, of layers and of `compile`."""
        plan = self._plan
        of_tasks = [entry.metric for entry in plan.metrics]
        return [*super().metrics, *of_tasks, *plan.sums]

    def _loss_layers(self) -> list[LossLayer]:
        return [each for each in all_layers(self) if isinstance(each, LossLayer)]

    def _refresh(self) -> None:
        """Computes the weights that follow from others."""
        derived = [each for each in all_layers(self) if isinstance(each, Derived)]
        if derived and keras.backend.backend() == "jax":
            self.jax_state_sync()  # `fit` keeps the weights to itself
        for layer in derived:
            layer.refresh()

    def _tables(self) -> list[Embedding]:
        return [each for each in all_layers(self) if isinstance(each, Embedding)]


def _add(mean: SumMetric, value: Any, rows: Any, counted: Any) -> None:
    """Adds a batch's value to the mean over all rows and that over what counts."""
    parts = (value * rows, rows, value * counted, counted)
    mean.add(ops.stack([ops.cast(part, "float32") for part in parts]))


def _gap(a: Any, b: Any) -> Any:
    """Returns a - b, which is 0 if both are infinite."""
    return ops.where(ops.equal(a, b), 0.0, a - b)


def _means(mean: SumMetric) -> list[Any]:
    sums = ops.reshape(mean.sums(), (2, 2))
    means: list[Any] = ops.unstack(ops.divide_no_nan(sums[:, 0], sums[:, 1]))
    return means


def _by_layer(of_outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is by output by names that Keras takes for scopes."""
    return {layer_name(name): each for name, each in of_outputs.items()}


def _of_rank(shape: tuple[int | None, ...], value: Any) -> Any:
    """Returns a column as the model's input has it, if batches of two ranks came.

    TensorFlow then traces for any rank, which Keras' layers do not take.
    """
    if getattr(getattr(value, "shape", None), "rank", 0) is None:
        return ops.reshape(value, [-1 if n is None else n for n in shape])
    return value


_depth = threading.local()


@contextlib.contextmanager
def _forward_pass() -> Iterator[bool]:
    """Tells whether a call is the outermost of nested models."""
    depth = getattr(_depth, "value", 0)
    _depth.value = depth + 1
    try:
        yield depth == 0
    finally:
        _depth.value = depth


def _check_names(inputs: Any = None, outputs: Any = None, **others: Any) -> None:
    """Raises `ValueError` if two of columns, tasks and layers have one name.

    Args:
        inputs, outputs, **others: Of `Model`.
    """
    read = [tensor._keras_history for tensor in keras.tree.flatten(inputs)]
    ahead = [tensor._keras_history for tensor in keras.tree.flatten(outputs)]
    kinds = {made.operation: "task" for made in ahead}
    kinds |= {made.operation: "field" for made in read}
    named = {made.operation.name: made.operation for made in read}
    seen = set()
    while ahead:
        operation, node_index, _ = ahead.pop()
        node = operation._inbound_nodes[node_index]
        if node in seen:
            continue
        seen.add(node)
        ahead += [tensor._keras_history for tensor in node.input_tensors]
        name = operation.name
        if kinds.get(operation) != "field":
            name = given_name(name)
        other = named.setdefault(name, operation)
        if other is not operation:
            a, b = sorted(kinds.get(each, "layer") for each in (operation, other))
            raise ValueError(
                f"{others.get('name', 'Model')}: a {a} and a {b} must not have one "
                f"name. Received: {a} {name!r} and {b} {name!r}"
            )
