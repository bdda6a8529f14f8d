"""What `compile` decides: optimizer, losses, metrics, balance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from recsys.feature._constraints import Number
from recsys.feature._names import layer_name
from recsys.layers.column import InputColumn
from recsys.layers.content import OwnRows
from recsys.layers.heads import PredictLayer
from recsys.layers.losses import Derived, LossLayer
from recsys.layers.table import Embedding
from recsys.metrics.streaming.sums import SumMetric
from recsys.train import balance as balances
from recsys.train import optimizers, routing, task_metrics
from recsys.train._keras import OwnModel, exempt_from_decay, maker
from recsys.train.balance.base import Balance, Recorded
from recsys.train.columns import ColumnSpec, all_layers, columns_of
from recsys.train.described import loss_of, rates_of
from recsys.train.optimizers.choice import warn_if_slow
from recsys.types import Loss


@dataclass
class Plan:
    """What `compile` decided. A plain object: Keras tracks lists and dicts."""

    losses: dict[str, Loss] = field(default_factory=dict)
    metrics: list[task_metrics.TaskMetric] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    balance: Balance | None = None
    recorded: dict[str, Recorded] = field(default_factory=dict)
    loss_weights: dict[str, Any] = field(default_factory=dict)
    means: dict[str, SumMetric] = field(default_factory=dict)
    layer_means: list[SumMetric] = field(default_factory=list)
    valid: dict[str, SumMetric] = field(default_factory=dict)  # rows with a label
    order: list[str] = field(default_factory=list)  # of the names in the last logs
    rows: dict[tuple[str, bool], SumMetric] = field(default_factory=dict)
    loss: str = ""  # what it is, and computes the rates, before training changes it
    rates: list[str | None] = field(default_factory=list)

    @property
    def sums(self) -> list[SumMetric]:
        """What logs are computed from without a name of their own."""
        by_name = [*self.rows.values(), *self.means.values(), *self.valid.values()]
        return [*by_name, *self.layer_means]

    @property
    def groups(self) -> set[str]:
        """The columns that metrics and losses group rows by."""
        of = [*self.losses.values(), *(entry.metric for entry in self.metrics)]
        return {name for each in of for name in routing.needed_columns(each).values()}


class Compiled(OwnModel):
    """A model that maps what `compile` is given by its outputs."""

    _plan: Plan
    _hang_state: Callable[[], None]

    @property
    def heads(self) -> dict[str, PredictLayer | None]:
        """The outputs in the order they were made, each with its head, if any."""
        outputs = self.output
        if not isinstance(outputs, dict):
            outputs = {self.output_names[0]: outputs}
        makers = {name: maker(t) for name, t in outputs.items()}
        return {
            name: layer if isinstance(layer, PredictLayer) else None
            for name, layer in makers.items()
        }

    @property
    def balance(self) -> Balance | None:
        """How the losses of tasks become one, with its state; `None`: their sum."""
        return self._plan.balance

    @property
    def columns(self) -> dict[str, ColumnSpec]:
        """The columns the model reads."""
        return columns_of(self)

    @property
    def fingerprints(self) -> list[str]:
        """What the fitted pipelines whose fields it was built from are known by."""
        columns = [each for each in self.layers if isinstance(each, InputColumn)]
        return sorted({column.fingerprint for column in columns})

    @property
    def special_layer_variables(self) -> dict[str, list[keras.Variable]]:
        """The variables of each key of an optimizer dict."""
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return dict(optimizer.assign_keys(self.trainable_variables))

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer | Mapping[str, Any] = "adam",
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
            exempt_from_decay(optimizer, balancing.variables)
        if isinstance(optimizer, optimizers.OptimizerByPrefix):
            optimizer.assign_keys(self.trainable_variables)
        warn_if_slow(optimizer, self.trainable_variables)
        recorded = {name: Recorded(fn) for name, fn in losses.items()}
        super().compile(
            optimizer,
            by_layer(recorded) or None,
            by_layer({name: weights.get(name, 1.0) for name in losses})
            if weights
            else None,
            **kwargs,
        )
        if isinstance(self.output, dict):
            self._build_losses(by_layer({name: self.output[name] for name in losses}))
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
            *task_metrics.task_metrics(metrics, heads, prefixed, weighted=False),
            *task_metrics.task_metrics(
                weighted_metrics, heads, prefixed, weighted=True
            ),
        ]
        if prefixed:
            task_metrics.check_logs(losses, entries)
        weights = {n: 1.0 if weights.get(n) is None else weights[n] for n in losses}
        self._plan = Plan(losses, entries, config, balancing, recorded, weights)
        self._plan.loss, self._plan.rates = loss_of(config), rates_of(optimizer)
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

    def _balancing(self, given: Any, losses: Mapping[str, Loss]) -> Balance | None:
        """Returns a balance with its state, in place of the one before."""
        if self._plan.balance is not None:
            for variable in self._plan.balance.variables:
                self._remove_state(variable)
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

    def _own_rows(self) -> list[OwnRows]:
        return [each for each in all_layers(self) if isinstance(each, OwnRows)]


def by_layer(of_outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is by output by names that Keras takes for scopes."""
    return {layer_name(name): each for name, each in of_outputs.items()}
