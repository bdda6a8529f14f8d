"""Runs beside each other: metrics of the test rows, and what of them is chance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.runs import folder as places
from recsys.runs.evaluation.findings import by_task
from recsys.runs.evaluation.predictions import Predictions, check_files, read
from recsys.runs.finished import Run
from recsys.runs.matching.comparing import NOTE as OF_LISTS
from recsys.runs.matching.comparing import TASK, check_lists, metrics_of
from recsys.runs.matching.kind import is_match
from recsys.runs.page import Block, Grid, Heading, Text, in_notebook, page_of

Draws = Mapping[str, NDArray[np.float64]]
METRICS = ("auc", "log_loss")
WITHIN_GROUPS = ("gauc",)
NOTE = (
    "Mean ± deviation over seeds of the test rows; differences are those to {first}, "
    "over as many seeds as both have, with 95 % intervals of resampled users (of "
    "rows, where there are no groups)."
)


@dataclass(frozen=True)
class Compared:
    """A metric of one task in one run.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation over the seeds, NaN of one.
        difference: To the first run, over as many seeds as both have, with the interval
            that holds 95 % of resamples of users (of rows, where there are no groups)
            in all of them; `None` of the first run.
        p: Chance of as large a difference if there were none; NaN of the first run.
    """

    mean: float
    deviation: float
    difference: metrics.Interval | None
    p: float


@dataclass(frozen=True)
class Comparison:
    """Runs of the same test rows.

    Attributes:
        runs: Their names.
        models: Name of the model of each.
        parameters, seconds: Of one seed of each, seconds as mean over the seeds.
        seeds: How many each has.
        tasks: By task and metric, one of each run.
        note: What the numbers are, in whole sentences.
    """

    runs: Sequence[str]
    models: Sequence[str]
    parameters: Sequence[int]
    seconds: Sequence[float]
    seeds: Sequence[int]
    tasks: Mapping[str, Mapping[str, Sequence[Compared]]]
    note: str

    def blocks(self) -> list[Block]:
        """Returns it as tables, best of the first metric first below the first run."""
        blocks: list[Block] = [Text(self.note)]
        for task, of_metrics in self.tasks.items():
            header = ["run", "model", "parameters", "seconds", "seeds"]
            for name in of_metrics:
                header += [name, "difference", "p"]
            rows = []
            for place in self._order(of_metrics):
                cells = [
                    self.runs[place],
                    self.models[place],
                    f"{self.parameters[place]:,}",
                    f"{self.seconds[place]:.1f}",
                    str(self.seeds[place]),
                ]
                for found in of_metrics.values():
                    cells += _cells(found[place])
                rows.append(cells)
            blocks += [Heading(task), Grid(header, rows)]
        return blocks

    def _repr_html_(self) -> str:
        return in_notebook(page_of(", ".join(self.runs), self.blocks()))

    def _order(self, of_metrics: Mapping[str, Sequence[Compared]]) -> list[int]:
        name, found = next(iter(of_metrics.items()))
        sign = 1 if name == "log_loss" else -1
        rest = range(1, len(self.runs))
        return [0, *sorted(rest, key=lambda place: sign * found[place].mean)]

    def plain(self) -> dict[str, Any]:
        """Returns it as JSON holds it; what is undefined is null."""
        tasks = {
            task: {
                name: [
                    {
                        "mean": _number(each.mean),
                        "deviation": _number(each.deviation),
                        "difference": None
                        if each.difference is None
                        else {
                            key: _number(value)
                            for key, value in each.difference._asdict().items()
                        },
                        "p": _number(each.p),
                    }
                    for each in found
                ]
                for name, found in of_metrics.items()
            }
            for task, of_metrics in self.tasks.items()
        }
        return {
            "runs": [*self.runs],
            "models": [*self.models],
            "parameters": [*self.parameters],
            "seconds": [*self.seconds],
            "seeds": [*self.seeds],
            "tasks": tasks,
        }


def compare(
    runs: Sequence[Run], resamples: int = 200, seed: int = 0, names: Sequence[str] = ()
) -> Comparison:
    """Compares runs of the same test rows with the first of them.

    Args:
        runs: Two or more.
        resamples, seed: As in `recsys.metrics.bootstrap`.
        names: Metrics; default: `METRICS`, and `WITHIN_GROUPS` if the rows have groups.
            Of match models those of their lists are told, by seed alone.

    Raises:
        ValueError: If there are less than two, their test rows differ, or one has no
            predictions of a binary task; or only some are of match models.
    """
    if len(runs) < 2:
        raise ValueError(
            f"There must be two runs or more to compare. Received: {len(runs)}"
        )
    if any(is_match(run.read.config) for run in runs):
        check_lists(runs)
        note = OF_LISTS
        draws = {TASK: [[metrics_of(at) for at in _seeds(run)] for run in runs]}
    else:
        note = NOTE
        draws = _of_rows(runs, resamples, seed, names)
    tasks = {task: _beside(of_task) for task, of_task in draws.items()}
    found = [
        [json.loads((folder / places.METRICS).read_text()) for folder in _seeds(run)]
        for run in runs
    ]
    return Comparison(
        [run.folder.name for run in runs],
        [run.read.config.model.name for run in runs],
        [each[0]["parameters"] for each in found],
        [float(np.mean([one["seconds"] for one in each])) for each in found],
        [len(each) for each in found],
        tasks,
        note.format(first=runs[0].folder.name),
    )


def _of_rows(
    runs: Sequence[Run], resamples: int, seed: int, names: Sequence[str]
) -> dict[str, list[list[Draws]]]:
    """By task, the metrics of each run and seed, and those of their resamples."""
    files = [[_predictions(folder, run) for folder in _seeds(run)] for run in runs]
    check_files([file for of_run in files for file in of_run])
    if not names:
        grouped = files[0][0].group is not None
        names = [*METRICS, *(WITHIN_GROUPS if grouped else ())]
    parts = [[dict(by_task([file])) for file in of_run] for of_run in files]
    return {
        task: [
            [_draws(names, part[task][0], resamples, seed) for part in of_run]
            for of_run in parts
        ]
        for task in parts[0][0]
    }


def _beside(runs: Sequence[Sequence[Draws]]) -> dict[str, list[Compared]]:
    """By metric, that of each run beside that of the first."""
    return {
        name: [
            _compared([d[name] for d in of_run], [d[name] for d in runs[0]], place)
            for place, of_run in enumerate(runs)
        ]
        for name in runs[0][0]
    }


def _seeds(run: Run) -> list[Path]:
    """The folders of a run's seeds."""
    others = run.read.config.training.seeds[1:]
    return [run.folder, *(run.folder / f"seed-{seed}" for seed in others)]


def _predictions(folder: Path, run: Run) -> Predictions:
    path = folder / places.PREDICTIONS
    if not path.is_file():
        raise ValueError(
            f"{run.folder} must have predictions of a binary task to be compared. "
            "Received: none"
        )
    return read(path)


def _draws(names: Sequence[str], file: Predictions, resamples: int, seed: int) -> Draws:
    return metrics.bootstrap(
        names, file.label, file.score, **file.rows(), resamples=resamples, seed=seed
    )


def _compared(
    own: Sequence[NDArray[np.float64]],
    first: Sequence[NDArray[np.float64]],
    place: int,
) -> Compared:
    """A metric beside that of the first run, seed by seed and resample by resample."""
    values = np.array([draw[0] for draw in own])
    deviation = float(values.std(ddof=1)) if values[1:].size else float("nan")
    mean = float(values.mean())
    if not place:
        return Compared(mean, deviation, None, float("nan"))
    # Of as many seeds as both have, in order.
    apart = [draw - beside for draw, beside in zip(own, first, strict=False)]
    difference = np.mean([each[0] for each in apart])
    differences = np.concatenate([[difference], *(each[1:] for each in apart)])
    return Compared(
        mean, deviation, metrics.interval(differences), metrics.p_value(differences)
    )


def _cells(found: Compared) -> list[str]:
    spread = "" if np.isnan(found.deviation) else f" ± {found.deviation:.4f}"
    cells = [f"{found.mean:.4f}{spread}"]
    if found.difference is None:
        return [*cells, "", ""]
    value, low, high = found.difference
    within = "" if np.isnan(low) else f" ({low:+.4f} to {high:+.4f})"
    p = "" if np.isnan(found.p) else f"{found.p:.3f}"
    return [*cells, f"{value:+.4f}{within}", p]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
