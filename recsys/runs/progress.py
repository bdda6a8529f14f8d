"""How far training is: a line for each epoch, and a bar where there is a terminal."""

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

MEAN = "_task_macro"


class TrainingProgress(keras.callbacks.Callback):
    """Shows rows a second and the time left, and the logs of each epoch.

    Args:
        batch_size: Rows of a batch.
        monitor: Name in the logs of what chooses the epoch.
        console: Where to show it.
        trial: Name of a trial among others: of its epochs there is but the bar.

    Raises:
        ValueError: At the end of the first epoch, if the logs do not have `monitor`.
    """

    def __init__(
        self, batch_size: int, monitor: str, console: Console, trial: str | None = None
    ) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._monitor = monitor
        self._console = console
        self._trial = trial
        self._bar: Progress | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begun, self._steps, self._trained = time.perf_counter(), 0, 0
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[rate]} rows/s"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            name = f"epoch {epoch + 1}/{self.params['epochs']}"
            self._task = self._bar.add_task(
                name if self._trial is None else f"{self._trial}, {name}",
                total=self.params["steps"],
                rate="",
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        self._trained = self._rate()
        if self._bar is not None:
            self._bar.update(self._task, completed=batch + 1, rate=f"{self._trained:,}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.close()
        logs = logs or {}
        if self._monitor not in logs:
            raise ValueError(
                "training.monitor must be one of the logs, "
                f"{', '.join(sorted(logs))}. Received: {self._monitor!r}"
            )
        if self._trial is not None:
            return
        valid = [
            f"{name.removeprefix('val_').removesuffix(MEAN)} {float(value):.4f}"
            for name, value in logs.items()
            if _is_shown(name, logs)
        ]
        self._console.print(
            f"epoch {epoch + 1}/{self.params['epochs']}: loss {logs['loss']:.4f}; "
            f"validation: {', '.join(valid)} ({self._trained:,} rows/s)",
            highlight=False,
            soft_wrap=True,
        )

    def on_train_end(self, logs: Any = None) -> None:
        self.close()

    def _rate(self) -> int:
        seconds = time.perf_counter() - self._begun
        return int(self._steps * self._batch_size / seconds)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _is_shown(name: str, logs: dict[str, Any]) -> bool:
    """The metrics of the validation rows; of several tasks their mean."""
    if name == "val_loss":  # of one task often a metric, too
        return "val_log_loss" not in logs
    ends = MEAN if any(each.endswith(MEAN) for each in logs) else ""
    return name.startswith("val_") and name.endswith(ends)
