"""One step: the forward pass, the loss, what metrics see."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers.normalization import for_xla
from recsys.metrics.streaming.exact import RowMetric
from recsys.metrics.streaming.sums import SumMetric
from recsys.protocols import LogitsApart
from recsys.train import routing
from recsys.train.balance.base import GradientBalance
from recsys.train.columns import check_columns
from recsys.train.compiling import Compiled, by_layer
from recsys.train.losses.joint import JointLoss, per_replica
from recsys.types import Tensor


class Stepping(Compiled):
    """A model that computes its loss by task."""

    train_function: Any
    _step_turn: contextlib.AbstractContextManager[Any]

    def call(
        self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        """Runs the graph; see `keras.Model.call`."""
        with _forward_pass() as outermost:
            if not outermost:
                return super().call(inputs, training=training, mask=mask, **kwargs)
            for table in self._tables():
                table.touched.take()  # what a failed step left is not of this one
            for layer in self._own_rows():
                layer.salt.take()  # this step draws its own
            with for_xla(self.jit_compile):
                return super().call(inputs, training=training, mask=mask, **kwargs)

    def _columns_of(self, inputs: Any) -> Any:
        """Picks the columns by name: Keras feeds them in order if one is extra."""
        if isinstance(inputs, Mapping):
            if any(isinstance(value, np.ndarray) for value in inputs.values()):
                check_columns(self.columns, inputs)
            return {
                name: _of_rank(tensor.shape, inputs[name])
                for name, tensor in self.input.items()
            }
        return inputs

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
            if isinstance(loss, JointLoss) and loss.group is not None:
                loss.kept.put(x[loss.group])
        if plan.losses:
            total = super().compute_loss(
                x,
                by_layer({name: labels[name] for name in plan.losses}),
                by_layer(
                    {
                        name: logits.get(name, predictions[name])
                        if routing.takes_logits(loss)
                        else predictions[name]
                        for name, loss in plan.losses.items()
                    }
                ),
                by_layer(
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
                own = layer.loss(labels, of_mean, x, training)
                rest += per_replica(layer.weight * own)
                _add(mean, own, rows, layer.divisor(rows, valid))
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
            apart = isinstance(metric, LogitsApart) and metric.logits_apart
            apart = apart and name in logits
            of_logits = apart or routing.takes_logits(metric)
            seen = predictions[name]
            if of_logits:
                seen = logits.get(name, seen)
            if isinstance(metric, (RowMetric, SumMetric)):
                seen = routing.second_of_two(seen, heads[name], of_logits)
            seen = ops.stop_gradient(seen)
            more = {key: x[c] for key, c in routing.needed_columns(metric).items()}
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
        self._mean_loss.update_state(loss, sample_weight=rows)
        gradients = balance.gradients(tape, self, self.optimizer.scale_loss)
        self.optimizer.apply(gradients, self.trainable_weights)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def make_train_function(self, force: bool = False) -> Any:
        """Compiles what `fit` runs. A file is not written while a step changes it."""
        made = self.train_function is None or force
        super().make_train_function(force)
        if made:
            step = self.train_function

            def in_turn(*args: Any) -> Any:
                if self._to_skip > 0:
                    return self._skip(*args)
                with self._step_turn:
                    return step(*args)

            self.train_function = in_turn
        return self.train_function

    def _skip(self, batches: Iterator[Any]) -> dict[str, Any]:
        """Reads the batches of the steps of a call, and does nothing else."""
        for _ in range(self.steps_per_execution):
            next(batches)
        self._to_skip -= self.steps_per_execution
        return {"skipped": True}  # of no logs the model would say: no rows

    def make_predict_function(self, force: bool = False) -> Any:
        """Compiles what `predict` runs, on TensorFlow once for all sizes of a batch."""
        made = self.predict_function is None or force
        function = super().make_predict_function(force)
        if made and self._on_one_device() and not self.run_eagerly:
            import tensorflow as tf

            specs = {n: tf.TensorSpec(t.shape, t.dtype) for n, t in self.input.items()}
            self.predict_function.get_concrete_function([specs])
        return function

    def _on_one_device(self) -> bool:
        """Whether this is TensorFlow, and it need not share out batches."""
        if keras.backend.backend() != "tensorflow":
            return False
        return bool(self.distribute_strategy.num_replicas_in_sync == 1)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Gives the weights back, which JAX takes while it runs, after an error too."""
        try:
            yield
        finally:
            if keras.backend.backend() == "jax":
                self.jax_state_sync()


_THREAD = threading.local()


def one_order_of_sums() -> None:
    """Has TensorFlow add numbers in the same order in each run.

    It would make one operation of `a + b + c`, and that adds into whichever of the
    three nobody else reads at the moment, so that a training has other last digits
    each time. What a user has chosen before stays. Each thread keeps the options that
    it has seen first, so this is to be called in the one that runs.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        name, options = "arithmetic_optimization", tf.config.optimizer
        found = options.get_experimental_options()
        if getattr(_THREAD, "options", None) != found:  # setting them is not for free
            options.set_experimental_options({name: found.get(name, False)})
            _THREAD.options = options.get_experimental_options()


def _add(mean: SumMetric, value: Tensor | float, rows: Tensor, counted: Tensor) -> None:
    """Adds a batch's value to the mean over all rows and that over what counts."""
    parts = (value * rows, rows, value * counted, counted)
    mean.add(ops.stack([ops.cast(part, "float32") for part in parts]))


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
