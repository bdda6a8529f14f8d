"""The numbers of training where people look already: TensorBoard, MLflow."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from recsys.runs import folder as places
from recsys.runs.config import Config
from recsys.runs.reading import Read
from recsys.runs.shown import as_yaml

OF_PARAMETERS = ("samples", "split", "model", "training")


def check_tracking(read: Read) -> None:
    """Raises `ValueError` if what a run is to be tracked by is not installed."""
    for package in ("tensorboard", "mlflow"):
        wanted = getattr(read.config.tracking, package)
        if wanted and importlib.util.find_spec(package) is None:
            raise ValueError(
                f"{read.origin.where('tracking', package)}: tracking.{package} needs "
                "the package of that name: pip install 'deep-rec-kit[track]'. "
                "Received: none"
            )


def trackers(config: Config, at: Path) -> list[keras.callbacks.Callback]:
    """Returns what tracks a training.

    Args:
        config: The configuration.
        at: Folder of the seed.
    """
    made: list[keras.callbacks.Callback] = []
    if config.tracking.tensorboard:
        logs = str(at / places.TENSORBOARD)
        made.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    if config.tracking.mlflow is not None:
        made.append(MLflow(config, config.tracking.mlflow, at))
    return made


class MLflow(keras.callbacks.Callback):
    """Logs the configuration, and the metrics of each epoch, to MLflow.

    Training that goes on after a stop goes on in the same run of MLflow, whose id is in
    the folder. An `@` in names of metrics, which MLflow refuses, is `_at_` there.

    Args:
        config: The configuration.
        experiment: Name of the experiment.
        at: Folder of the seed; its path is the name of the run.
    """

    def __init__(self, config: Config, experiment: str, at: Path) -> None:
        super().__init__()
        self._config = config
        self._experiment = experiment
        self._at = at

    def on_train_begin(self, logs: Any = None) -> None:
        kept, client = self._at / places.MLFLOW, _client()
        if kept.is_file():
            return
        found = client.get_experiment_by_name(self._experiment)
        experiment = (
            client.create_experiment(self._experiment)
            if found is None
            else found.experiment_id
        )
        run = client.create_run(experiment, run_name=str(self._at)).info.run_id
        plain = self._config.plain()
        for key, value in _scalars({key: plain[key] for key in OF_PARAMETERS}):
            client.log_param(run, key, value)
        client.log_text(run, as_yaml(self._config), places.CONFIG)
        kept.write_text(run)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        _log(self._at, _numbers(logs or {}), epoch + 1)


def track_tested(at: Path, found: Mapping[str, float]) -> None:
    """Adds the metrics of the test rows to the run of MLflow, if there is one."""
    if (at / places.MLFLOW).is_file():
        _log(at, _numbers(found, "test_"), 0)
        _client().set_terminated((at / places.MLFLOW).read_text())


def _client() -> Any:
    """Not the run that a program has begun itself, of which there is one at a time."""
    from mlflow import MlflowClient

    return MlflowClient()


def _log(at: Path, numbers: Mapping[str, float], step: int) -> None:
    client, run = _client(), (at / places.MLFLOW).read_text()
    for name, value in numbers.items():
        client.log_metric(run, name, value, step=step)


def _numbers(found: Mapping[str, Any], before: str = "") -> dict[str, float]:
    return {
        f"{before}{name}".replace("@", "_at_"): float(value)
        for name, value in found.items()
    }


def _scalars(entries: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted keys, but lists, which the file of the configuration has."""
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{before}{key}.")
        elif not isinstance(value, list):
            yield f"{before}{key}", value
