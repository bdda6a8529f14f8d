"""Training of a run's model, for one seed, and what is told of the test rows."""

import time
from collections.abc import Mapping
from pathlib import Path

import keras
from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.feature.schema.history import History
from recsys.runs import folder as places
from recsys.runs.building import build, compile_model, metrics_of
from recsys.runs.measures import direction_of
from recsys.runs.predicting import write_test_predictions
from recsys.runs.progress import TrainingProgress
from recsys.runs.reading import Read
from recsys.runs.samples.split import PARTS
from recsys.train.callbacks import Resume

SAVE_STEPS = 1000  # between two states, of an epoch that is longer


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
    training = read.config.training
    keras.utils.set_random_seed(seed)
    at.mkdir(exist_ok=True)
    pipeline = FeaturePipeline.load(fitted)
    train, valid, test = (
        pipeline.dataset(
            str(_file(samples, part)),
            training.batch_size,
            events=_events(read, samples),
            shuffle=part == "train",
            seed=seed,
        )
        for part in PARTS
    )
    model = build(read, pipeline)
    steps = [int(each.cardinality()) for each in (train, valid, test)]
    most = max(steps) * training.batch_size
    compile_model(model, read, steps[0] * training.epochs, most)
    monitor = _monitor(read)
    progress = TrainingProgress(training.batch_size, monitor, console)
    console.print(
        f"{read.config.model.name}, seed {seed}: {model.count_params():,} parameters, "
        f"chosen by {monitor}",
        highlight=False,
    )
    begun = time.perf_counter()
    try:
        history = model.fit(
            train,
            validation_data=valid,
            epochs=training.epochs,
            verbose=0,
            callbacks=[
                progress,
                keras.callbacks.ModelCheckpoint(str(at / places.LAST)),
                keras.callbacks.EarlyStopping(
                    monitor,
                    mode=direction_of(monitor),
                    patience=training.patience,
                    restore_best_weights=True,
                ),
                Resume(at / places.STATE, save_freq=SAVE_STEPS),
            ],
        )
    finally:
        progress.close()
    seconds = time.perf_counter() - begun
    model.save(at / places.MODEL)
    logs = {name: list(map(float, line)) for name, line in history.history.items()}
    places.write_json(at / places.EPOCHS, logs)
    tested = model.evaluate(test, verbose=0, return_dict=True)
    rows = _file(samples, "test")
    write_test_predictions(read, rows, model, test, at / places.PREDICTIONS)
    best = min if direction_of(monitor) == "min" else max
    places.write_json(
        at / places.METRICS,
        {
            "test": {name: float(value) for name, value in tested.items()},
            "monitor": monitor,
            "best_epoch": logs[monitor].index(best(logs[monitor])) + 1,
            "epochs": len(logs[monitor]),
            "parameters": int(model.count_params()),
            "seconds": round(seconds, 1),
        },
    )


def _events(read: Read, samples: Path) -> str | None:
    histories = any(isinstance(each, History) for each in read.schema.columns)
    return str(samples / places.EVENTS) if histories else None


def _file(samples: Path, part: str) -> Path:
    return samples / f"{part}.parquet"


def _monitor(read: Read) -> str:
    """What chooses the epoch: as given, or the first metric of all tasks."""
    name, metrics = read.config.training.monitor, metrics_of(read)
    if name is None and isinstance(metrics, Mapping):
        name = "val_loss"
    if name is None:
        several = "_task_macro" if len(read.schema.labels) > 1 else ""
        name = f"val_{metrics[0].name}{several}"
    try:
        direction_of(name)
        return name
    except ValueError as error:
        where = read.origin.where("training", "monitor")
        raise ValueError(f"{where}: {error}") from error
