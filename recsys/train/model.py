"""The model class: `fit`, `evaluate` and `predict`, with checks first."""

import inspect
import threading
from typing import Any

import keras
import numpy as np

from recsys.data.dataset import Order
from recsys.feature._names import given_name
from recsys.protocols import Bounded, Continued, Ordered
from recsys.saving import saved
from recsys.train import batches, class_weights, feed, gate, resume
from recsys.train._keras import asked_by_fit, maker
from recsys.train.columns import ColumnSpec
from recsys.train.compiling import Plan
from recsys.train.feeding import Reads
from recsys.train.files import Stored
from recsys.train.names import check_names
from recsys.train.order import Epochs, ModelOrder
from recsys.train.step import one_order_of_sums


@saved
class Model(Stored):
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

    _of_positives = False  # whether its own losses take rows for positives

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_names(**dict(zip(("inputs", "outputs"), args, strict=False), **kwargs))
        one_order_of_sums()  # of loops of one's own, too
        super().__init__(*args, **kwargs)
        self._plan = Plan()
        made_by = [maker(tensor) for tensor in self.outputs]
        self.output_names = [given_name(each.name) for each in made_by]
        self._turn = threading.Lock()
        self._metrics_turn = threading.RLock()  # their state is of one run at a time
        self._step_turn = threading.RLock()  # files are of the end of a step
        self._orders = ModelOrder()
        self._hang_state()
        for layer in self._loss_layers():
            layer.bind(self)

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
            validate: Look at the values of every batch of a dataset, generator or data
                loader. Their form is looked at in any case.

        Raises:
            ValueError: If a column, label or weight is not what the model takes, or
                there are no rows.
        """
        given = inspect.signature(keras.Model.fit).bind(self, x, y, *args, **kw)
        rest = {k: v for k, v in given.arguments.items() if k not in ("self", "x", "y")}
        rest = gate.arguments("fit", {**rest, "validate": validate})
        del rest["validate"]
        weight = rest.pop("sample_weight", None)
        x = x.recsys_whole if isinstance(x, Continued) else x
        own = self._of_positives or self._loss_layers() or self.losses
        if self.compiled and not (self._plan.losses or own):
            raise ValueError(
                "fit: compile must be given a loss, as the model has none of its own. "
                "Received: loss=None"
            )
        gate.refuse_passes("x", x, rest)
        orders = feed.orders(x) if batches.is_dataset(x) else []
        derived = bool(orders) and not isinstance(x, Ordered)
        if orders and "initial_epoch" not in rest:
            rest["initial_epoch"] = orders[0].start
        classes = rest.pop("class_weight", None)
        if classes is not None:
            classes = class_weights.checked(self.heads, classes)
        train = self._prepared("fit", x, y, weight, classes=classes, validate=validate)
        if classes is not None and hasattr(x, "element_spec"):
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
        if batches.is_dataset(train[0]):
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
                self._begin_at(None)  # of this `fit` only
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
        if not asked_by_fit(kwargs):
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
            validate: Look at the values of every batch of a dataset, generator or data
                loader. Their form is looked at in any case.

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
        if not self._on_one_device() or not isinstance(x, dict) | batches.is_dataset(x):
            with self._turn, self._whole():
                found = super().predict(x, batch_size, verbose, steps, callbacks)
            return batches.with_rows("predict", found)
        made, number = feed.batches(x, batch_size, steps)
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
        for step, batch in enumerate(made):
            callbacks.on_predict_batch_begin(step)
            outputs = self.predict_function([feed.as_inputs(batch, self.input)])
            callbacks.on_predict_batch_end(step, {"outputs": outputs})
            found.append(keras.tree.map_structure(np.asarray, outputs))
            if self.stop_predicting:
                break
        callbacks.on_predict_end()
        if not found:
            raise batches.no_rows("predict")
        whole = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)
        return batches.with_rows("predict", whole)

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
            class_weight = class_weights.checked(self.heads, class_weight)
        parts = self._prepared(
            "train_on_batch",
            x,
            y,
            sample_weight,
            classes=class_weight,
            batches=False,
        )
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

    def _feeds_itself(self, parts: tuple[Any, ...]) -> bool:
        """Whether these are arrays that `feed` makes batches of."""
        return isinstance(parts[0], dict) and self._on_one_device()

    def _prepared(
        self, who: str, *parts: Any, classes: Any = None, **options: Any
    ) -> tuple[Any, ...]:
        """Returns columns, labels and weights as Keras takes them, after checks."""
        one_order_of_sums()  # here: this is the thread that will run
        metrics = {entry.name: entry.metric for entry in self._plan.metrics}
        shapes: dict[str, Any] = {}
        for layer in self._loss_layers():
            shapes |= layer.reads
        weights = (layer.sample_weight for layer in self._loss_layers())
        reads = Reads(
            columns=self.columns,
            heads=self.heads,
            losses=self._plan.losses,
            groups=self._plan.groups,
            of_losses={n: ColumnSpec(n, shape, 0) for n, shape in shapes.items()},
            weights={name for name in weights if name is not None},
            positives=self._of_positives
            and not (self._plan.losses or self._plan.metrics),
            capacities={
                name: metric.capacity
                for name, metric in metrics.items()
                if isinstance(metric, Bounded)
            },
            fingerprints=self.fingerprints,
            classes=classes,
        )
        return gate.prepared(who, reads, *parts, **options)
