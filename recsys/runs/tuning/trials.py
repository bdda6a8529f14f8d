"""Trials of a study, and the file that keeps them."""

import gc
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from recsys.data.pipeline import FeaturePipeline
from recsys.data.writing import whole_file
from recsys.runs.measures import direction_of
from recsys.runs.reading import Read, with_values
from recsys.runs.training import fit, judge_of
from recsys.runs.tuning.space import distributions_of, values_of

if TYPE_CHECKING:
    import optuna

NAME = "recsys"
FAILURES = (TypeError, ValueError, tf.errors.OpError)  # of values that cannot be
State = Literal["whole", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes:
        number: From 1.
        values: By their keys.
        state: Whether it ended by itself, was pruned, or failed.
        score: Best of the monitor on the validation rows, NaN if it failed.
        epochs: How many were over.
        seconds: How long it took.
        reason: Why it failed, `""` if it did not.
    """

    number: int
    values: Mapping[str, Any]
    state: State
    score: float
    epochs: int
    seconds: float
    reason: str = ""


@contextmanager
def opened(path: Path, read: Read, monitor: str) -> "Iterator[optuna.Study]":
    """Yields a study, made if it is not there.

    It is of SQLite: after a kill each trial is in it or not. Of optuna's journal the
    last line may be cut then, and the next call cannot read on.

    Args:
        path: Its file.
        read: The configuration.
        monitor: What trials are compared by.
    """
    import optuna

    told = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # trials are told here
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if read.config.tuning.pruning:
        pruner = optuna.pruners.MedianPruner()
    try:
        if not path.is_file():
            with whole_file(path) as part, _storage(part) as storage:
                is_less = direction_of(monitor) == "min"
                optuna.create_study(
                    storage=storage,
                    study_name=NAME,
                    direction="minimize" if is_less else "maximize",
                )
        with _storage(path) as storage:
            study = optuna.load_study(study_name=NAME, storage=storage, pruner=pruner)
            for left in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
                study.tell(left.number, state=optuna.trial.TrialState.FAIL)
            yield study
    finally:
        optuna.logging.set_verbosity(told)


@contextmanager
def _storage(path: Path) -> "Iterator[optuna.storages.RDBStorage]":
    from optuna.storages import RDBStorage

    storage = RDBStorage(f"sqlite:///{path.absolute()}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def trials_of(study: "optuna.Study", read: Read) -> list[Trial]:
    """Returns the trials of a study, but those during which the process ended.

    What these would have been is run again: values are drawn by the place of a trial.
    """
    from optuna.trial import TrialState

    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "whole",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    found: list[Trial] = []
    for each in study.get_trials(deepcopy=False, states=tuple(states)):
        if each.state is not TrialState.FAIL or "reason" in each.user_attrs:
            values = values_of(read.config.tuning.space, each.params)
            state, told = states[each.state], each.user_attrs
            found.append(Trial(len(found) + 1, values, state, **told))
    return found


def run_trial(
    study: "optuna.Study",
    read: Read,
    pipeline: FeaturePipeline,
    samples: Path,
    number: int,
    console: Console,
) -> None:
    """Trains with values that the study draws, and puts what came of them into it.

    Args:
        study: The study.
        read: The configuration.
        pipeline: Its pipeline, fitted.
        samples: Folder of the rows.
        number: Of the trial, from 1.
        console: Where to tell what goes on.
    """
    import optuna

    tuning, seed = read.config.tuning, read.config.training.seeds[0]
    drawn = np.random.SeedSequence([tuning.seed, number]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(drawn[0]))
    trial = study.ask(distributions_of(tuning.space))
    values = values_of(tuning.space, trial.params)
    seen, begun = _Reported(trial), time.perf_counter()
    state = optuna.trial.TrialState.COMPLETE
    told: dict[str, Any] = {}
    try:
        own = with_values(read, values, read.origin)
        # What was left out of the rows is the same for all.
        quiet = console if number == 1 else Console(quiet=True)
        judge = judge_of(own, pipeline, samples, quiet)
        seen.monitor = judge.monitor
        name = f"trial {number}"
        fit(own, pipeline, samples, judge, seed, console, [seen], name)
    except optuna.TrialPruned:
        state = optuna.trial.TrialState.PRUNED
    except FAILURES as error:
        state = optuna.trial.TrialState.FAIL
        told["reason"] = " ".join(str(error).split())
    scores, best = seen.scores, min if direction_of(seen.monitor) == "min" else max
    failed = state is optuna.trial.TrialState.FAIL
    reason = {"reason": told.pop("reason")} if failed else {}
    told["score"] = math.nan if failed else best(scores)
    told["epochs"] = len(scores)
    told["seconds"] = round(time.perf_counter() - begun, 1)
    for key, value in {**told, **reason}.items():  # the reason says that all are there
        trial.set_user_attr(key, value)
    study.tell(trial, None if state.name != "COMPLETE" else told["score"], state)
    gc.collect()  # models are circles


class _Reported(keras.callbacks.Callback):
    """Tells a study of each epoch, and ends a trial that is to be pruned or failed."""

    def __init__(self, trial: "optuna.Trial") -> None:
        super().__init__()
        self.trial = trial
        self.monitor = ""
        self.scores: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        from optuna import TrialPruned

        for name in ("loss", self.monitor):
            if not math.isfinite(logs[name]):
                raise ValueError(f"{name} is {logs[name]} in epoch {epoch + 1}")
        self.scores.append(float(logs[self.monitor]))
        self.trial.report(self.scores[-1], epoch)
        if self.trial.should_prune():
            raise TrialPruned
