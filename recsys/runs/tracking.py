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
        import mlflow

        kept = self._at / places.MLFLOW
        mlflow.set_experiment(self._experiment)
        if kept.is_file():
            mlflow.start_run(kept.read_text())
            return
        run = mlflow.start_run(run_name=str(self._at))
        kept.write_text(run.info.run_id)
        plain = self._config.plain()
        mlflow.log_params(dict(_scalars({key: plain[key] for key in OF_PARAMETERS})))
        mlflow.log_text(as_yaml(self._config), places.CONFIG)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        import mlflow

        mlflow.log_metrics(_numbers(logs or {}), step=epoch + 1)

    def on_train_end(self, logs: Any = None) -> None:
        import mlflow

        mlflow.end_run()


def track_tested(at: Path, found: Mapping[str, float]) -> None:
    """Adds the metrics of the test rows to the run of MLflow, if there is one."""
    kept = at / places.MLFLOW
    if kept.is_file():
        import mlflow

        with mlflow.start_run(kept.read_text()):
            mlflow.log_metrics(_numbers(found, "test_"))


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
