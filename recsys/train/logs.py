"""What is logged: losses, metrics, means over tasks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature._names import given_name
from recsys.metrics.breakdown import Breakdown
from recsys.metrics.streaming.sums import SumMetric
from recsys.protocols import Exact
from recsys.train import batches
from recsys.train.step import Stepping
from recsys.types import Tensor


class Logging(Stepping):
    """A model whose logs are means over the rows that have a label."""

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics that can be read in every step."""
        return self._results(exact=False)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns all metrics; eager, as an exact one is computed once, at the end."""
        return self._results(exact=True)

    def _logs_of_epoch(self, logs: Any) -> dict[str, Any]:
        loss = self._mean_loss
        if not logs or (loss in self.metrics and float(ops.sum(loss.count)) == 0):
            raise batches.no_rows(
                "fit or evaluate", "none, or none left for this epoch"
            )
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
            if exact or not (isinstance(metric, Exact) and metric.exact):
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

    def _named_metrics(self) -> list[tuple[str, keras.metrics.Metric]]:
        """All metrics in order, each with its name in the logs."""
        compiled = {id(entry.metric): entry.name for entry in self._plan.metrics}
        named: dict[str, keras.metrics.Metric] = {}
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
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of losses, of layers and of `compile`."""
        plan = self._plan
        of_tasks = [entry.metric for entry in plan.metrics]
        return [*super().metrics, *of_tasks, *plan.sums]


def _gap(a: Tensor, b: Tensor) -> Tensor:
    """Returns a - b, which is 0 if both are infinite."""
    return ops.where(ops.equal(a, b), 0.0, a - b)


def _means(mean: SumMetric) -> list[Tensor]:
    sums = ops.reshape(mean.sums(), (2, 2))
    return ops.unstack(ops.divide_no_nan(sums[:, 0], sums[:, 1]))
