"""Training of a run's model, for one seed, and what is told of the test rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import pyarrow.parquet as pq
from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.runs import folder as places
from recsys.runs.building import compile_model
from recsys.runs.explaining.collapse import tables_of
from recsys.runs.inputs import dataset_of
from recsys.runs.matching.kind import is_match
from recsys.runs.matching.lists import ListJudge
from recsys.runs.measures import direction_of
from recsys.runs.progress import TrainingProgress
from recsys.runs.reading import Read
from recsys.runs.samples.split import PARTS
from recsys.runs.tasks import TaskJudge
from recsys.runs.tracking import track_tested, trackers
from recsys.train.callbacks import Resume
from recsys.train.model import Model

SAVE_STEPS = 1000  # between two states, of an epoch that is longer


@dataclass(frozen=True)
class Fitted:
    """A model that is trained.

    Attributes:
        model: With the weights of its best epoch.
        logs: By name, a number of each epoch.
        monitor: Which of them chose the epoch.
        seconds: Of training.
    """

    model: Model
    logs: dict[str, list[float]]
    monitor: str
    seconds: float

    @property
    def best(self) -> float:
        """The monitor of the best epoch."""
        best = min if direction_of(self.monitor) == "min" else max
        return best(self.logs[self.monitor])


def train(
    read: Read, samples: Path, at: Path, fitted: Path, seed: int, console: Console
) -> None:
    """Trains for one seed: the last file that it writes is that of the metrics.

    Args:
        read: The configuration.
        samples: Folder of the rows.
        at: Folder for the models and what is told of them.
        fitted: Folder of the pipeline.
        seed: Seed of weights and orders.
        console: Where to tell what goes on.
    """
    at.mkdir(exist_ok=True)
    pipeline = FeaturePipeline.load(fitted)
    judge = judge_of(read, pipeline, samples, console)
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(at / places.LAST)),
        *trackers(read.config, at),
        Resume(at / places.STATE, save_freq=SAVE_STEPS),
    ]
    found = fit(read, pipeline, samples, judge, seed, console, callbacks)
    found.model.save(at / places.MODEL)
    places.write_json(at / places.EPOCHS, found.logs)
    of_epochs = found.logs[found.monitor]
    tested = judge.tested(found.model, at)
    track_tested(at, tested["test"])
    places.write_json(
        at / places.METRICS,
        {
            **tested,
            "monitor": found.monitor,
            "best_epoch": of_epochs.index(found.best) + 1,
            "epochs": len(of_epochs),
            "tables": [vars(each) for each in tables_of(found.model)],
            "parameters": int(found.model.count_params()),
            "seconds": round(found.seconds, 1),
        },
    )


def judge_of(
    read: Read, pipeline: FeaturePipeline, samples: Path, console: Console
) -> ListJudge | TaskJudge:
    """Returns what builds and judges the model, by its lists or by labelled rows.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        console: Where to tell what was left out.
    """
    kind = ListJudge if is_match(read.config) else TaskJudge
    return kind(read, pipeline, samples, console)


def fit(
    read: Read,
    pipeline: FeaturePipeline,
    samples: Path,
    judge: ListJudge | TaskJudge,
    seed: int,
    console: Console,
    callbacks: Sequence[keras.callbacks.Callback],
    trial: str | None = None,
) -> Fitted:
    """Trains a model until the epochs are over, or none is better any more.

    Args:
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        judge: What builds the model, and judges it.
        seed: Seed of weights and orders.
        console: Where to tell what goes on.
        callbacks: Further ones, which see the logs of an epoch last.
        trial: Name of a trial among others, whose epochs are not told one by one.
    """
    training = read.config.training
    keras.utils.set_random_seed(seed)
    train = dataset_of(read, pipeline, samples, "train", seed)
    model = judge.model()
    rows = max(pq.read_metadata(samples / f"{part}.parquet").num_rows for part in PARTS)
    compile_model(model, read, int(train.cardinality()) * training.epochs, rows)
    monitor = judge.monitor
    progress = TrainingProgress(training.batch_size, monitor, console, trial)
    if trial is None:
        console.print(
            f"{read.config.model.name}, seed {seed}: {model.count_params():,} "
            f"parameters, chosen by {monitor}",
            highlight=False,
        )
    begun = time.perf_counter()
    try:
        history = model.fit(
            train,
            validation_data=judge.validation,
            epochs=training.epochs,
            verbose=0,
            callbacks=[
                *judge.callbacks,
                progress,
                keras.callbacks.EarlyStopping(
                    monitor,
                    mode=direction_of(monitor),
                    patience=training.patience,
                    restore_best_weights=True,
                ),
                *callbacks,
            ],
        )
    finally:
        progress.close()
    seconds = time.perf_counter() - begun
    logs = {name: list(map(float, line)) for name, line in history.history.items()}
    return Fitted(model, logs, monitor, seconds)
