"""Training of a run's model, for one seed, and what is told of the test rows."""

import time
from pathlib import Path

import keras
import pyarrow.parquet as pq
from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.runs import folder as places
from recsys.runs.building import compile_model
from recsys.runs.inputs import dataset_of
from recsys.runs.matching.kind import is_match
from recsys.runs.matching.lists import ListJudge
from recsys.runs.measures import direction_of
from recsys.runs.progress import TrainingProgress
from recsys.runs.reading import Read
from recsys.runs.samples.split import PARTS
from recsys.runs.tasks import TaskJudge
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
    train = dataset_of(read, pipeline, samples, "train", seed)
    kind = ListJudge if is_match(read.config) else TaskJudge
    judge = kind(read, pipeline, samples, console)
    model = judge.model()
    rows = max(pq.read_metadata(samples / f"{part}.parquet").num_rows for part in PARTS)
    compile_model(model, read, int(train.cardinality()) * training.epochs, rows)
    monitor = judge.monitor
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
            validation_data=judge.validation,
            epochs=training.epochs,
            verbose=0,
            callbacks=[
                *judge.callbacks,
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
    best = min if direction_of(monitor) == "min" else max
    places.write_json(
        at / places.METRICS,
        {
            **judge.tested(model, at),
            "monitor": monitor,
            "best_epoch": logs[monitor].index(best(logs[monitor])) + 1,
            "epochs": len(logs[monitor]),
            "parameters": int(model.count_params()),
            "seconds": round(seconds, 1),
        },
    )
