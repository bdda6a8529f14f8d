"""One configuration at several times of the same data: would it have held?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from recsys.runs import folder as places
from recsys.runs.finished import Run
from recsys.runs.page import Block, Chart, Grid, Text, in_notebook, page_of
from recsys.runs.reading import Read, read_config
from recsys.runs.running import run_or_found


@dataclass(frozen=True)
class Backtest:
    """Runs of which each is tested on what the next one has trained or chosen with.

    Attributes:
        runs: Their names, the earliest first.
        until: Share of the rows that there was at the time of each.
        tested: Metrics of the test rows of each, by name.
        baseline: Likewise, of what a model must beat.
    """

    runs: Sequence[str]
    until: Sequence[float]
    tested: Mapping[str, Sequence[float]]
    baseline: Mapping[str, Sequence[float]]

    def _repr_html_(self) -> str:
        return in_notebook(page_of(", ".join(self.runs), self.blocks()))

    def blocks(self) -> list[Block]:
        """Returns it as a table, and a chart of each metric that has a baseline."""
        both = {**self.tested}
        for name, values in self.baseline.items():
            both[f"{name}, baseline"] = values
        rows = [
            [
                name,
                f"{until:.3f}",
                *(f"{values[place]:.4f}" for values in both.values()),
            ]
            for place, (name, until) in enumerate(
                zip(self.runs, self.until, strict=True)
            )
        ]
        for what, of in (("mean", np.mean), ("deviation", _deviation)):
            rows.append([what, "", *(f"{of(each):.4f}" for each in both.values())])
        blocks: list[Block] = [
            Text(
                "Each run has the earliest rows alone, up to its share of them; the "
                "last of these test it."
            ),
            Grid(["run", "until", *both], rows),
        ]
        for name, values in self.baseline.items():
            if name in self.tested:
                lines = {"test rows": self.tested[name], "baseline": values}
                blocks.append(Chart(f"{name} by run", lines))
        return blocks

    def plain(self) -> dict[str, Any]:
        """Returns it as JSON holds it."""
        return {
            "runs": [*self.runs],
            "until": [*self.until],
            "tested": {name: [*values] for name, values in self.tested.items()},
            "baseline": {name: [*values] for name, values in self.baseline.items()},
        }


def backtest(
    source: str | Path | Mapping[str, Any],
    folds: int = 3,
    *,
    name: str | None = None,
    settings: Sequence[str] = (),
    runs: str | Path = places.RUNS,
    console: Console | None = None,
) -> Backtest:
    """Trains and tests as if it were earlier, again and again.

    The test rows of a run begin where those of the run before end; all have as many,
    and what trains grows. The last run is that of the whole data. Each is in a folder
    of its own in `runs/NAME`; of a call that is repeated, runs that have ended stay,
    and one that was stopped goes on.

    Args:
        source: As in `run`; its split must be by `time`.
        folds: How many runs, at least 2.
        name: Name of the folder. Default: that of the file, with `-backtest` behind it.
        settings, runs, console: As in `run`.

    Raises:
        FileNotFoundError, ValueError: As in `run`; or there are too many folds to leave
            rows that train.
    """
    read = read_config(source, settings)
    places.check_name(name)
    given = _settings(read, folds)
    path = read.origin.path
    here = Path(runs) / (name or f"{'run' if path is None else path.stem}-backtest")
    here.mkdir(parents=True, exist_ok=True)
    found = []
    with places.held(here):
        for number, of_fold in enumerate(given, start=1):
            own = [*settings, *of_fold.values()]
            found.append(
                run_or_found(source, f"fold-{number}", own, here, console or Console())
            )
    return _judged(found)


def _settings(read: Read, folds: int) -> list[dict[str, str]]:
    """What each fold sets, the earliest first."""
    split = read.config.split
    if split.by != "time":
        raise ValueError(
            f"{read.origin.where('split', 'by')}: split.by must be 'time' for "
            f"back-tests. Received: {split.by!r}"
        )
    if folds < 2:
        raise ValueError(f"backtest: folds must be at least 2. Received: folds={folds}")
    first = split.until - (folds - 1) * split.test * split.until
    rows = split.until * (split.valid + split.test)
    if first <= rows:
        raise ValueError(
            f"backtest: {folds} folds must leave rows to train the first. Received: "
            f"split.test={split.test:g} and split.valid={split.valid:g}, which leave "
            f"none before {max(first, 0):.3f} of the rows"
        )
    made = []
    for fold in range(folds):
        until = split.until * (1 - (folds - 1 - fold) * split.test)
        share = split.until / until
        values = {
            "until": until,
            "valid": split.valid * share,
            "test": split.test * share,
        }
        made.append({key: f"split.{key}={value!r}" for key, value in values.items()})
    return made


def _judged(found: Sequence[Run]) -> Backtest:
    both: dict[str, dict[str, list[float]]] = {"test": {}, "baseline": {}}
    for run in found:
        for key, of_key in both.items():
            for name, value in run.metrics[key].items():
                of_key.setdefault(name, []).append(value)
    return Backtest(
        [run.folder.name for run in found],
        [run.read.config.split.until for run in found],
        both["test"],
        both["baseline"],
    )


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))
