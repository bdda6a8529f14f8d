"""One configuration at several times of the same data: would it have held?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from recsys.data.progress import working
from recsys.runs import folder as places
from recsys.runs.config import Split
from recsys.runs.finished import Run
from recsys.runs.page import Block, Chart, Grid, Text, in_notebook, page_of
from recsys.runs.reading import Read, read_config, with_values
from recsys.runs.running import as_used, run_or_found
from recsys.runs.samples.times import times_of_shares


@dataclass(frozen=True)
class Backtest:
    """Runs of which each is tested on the time after the one before.

    Attributes:
        runs: Their names, the earliest first.
        tested_from: The time from which each is tested.
        until: The time until which it is, that of the next; `None` is all there is.
        tested: Metrics of the test rows of each, by name.
        baseline: Likewise, of what a model must beat.
    """

    runs: Sequence[str]
    tested_from: Sequence[str]
    until: Sequence[str | None]
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
                self.tested_from[place],
                self.until[place] or "",
                *(f"{values[place]:.4f}" for values in both.values()),
            ]
            for place, name in enumerate(self.runs)
        ]
        for what, of in (("mean", np.mean), ("deviation", _deviation)):
            rows.append([what, "", "", *(f"{of(each):.4f}" for each in both.values())])
        blocks: list[Block] = [
            Text(
                "Each run was made as if at the time until which it is tested: nothing "
                "later is in its rows, its negatives, its items or its histories."
            ),
            Grid(["run", "tested from", "until", *both], rows),
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
            "tested_from": [*self.tested_from],
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

    The times are found once, in all events: the test rows of a run begin where those
    of the run before end, of each run they are the share `split.test` of all rows, and
    what trains grows. Each run knows of no event from its end on (`split.until`), so
    that k-core, negatives and items are those of its time; files of items and users
    are the same for all. The last run is that of the whole data. Each is in a folder of
    its own in `runs/NAME`; of a call that is repeated, runs that have ended stay, and
    one that was stopped goes on.

    Args:
        source: As in `run`; its split must be by `time`, of shares.
        folds: How many runs, at least 2.
        name: Name of the folder. Default: that of the file, with `-backtest` behind it.
        settings, runs, console: As in `run`.

    Raises:
        FileNotFoundError, ValueError: As in `run`; or there are too many folds to leave
            rows that train, or a time of its own to each.
    """
    read = read_config(source, settings)
    places.check_name(name)
    shares = _shares(read, folds)
    path = read.origin.path
    here = Path(runs) / (name or f"{'run' if path is None else path.stem}-backtest")
    used = Read(as_used(read), read.schema, read.origin)
    with working("Reading the events"):
        times = times_of_shares(used, shares)
    given = _windows(times, used.config.split.until)
    here.mkdir(parents=True, exist_ok=True)
    found = []
    with places.held(here):
        for number, window in enumerate(given, start=1):
            own = with_values(used, window, read.origin).config.plain()
            fold = f"fold-{number}"
            found.append(run_or_found(own, fold, (), here, console or Console()))
    return _judged(found)


def _shares(read: Read, folds: int) -> list[float]:
    """Of the rows, before each time: of all folds when they choose, then test."""
    split = read.config.split
    if split.by != "time" or split.test_from is not None:
        key = "by" if split.by != "time" else "test_from"
        raise ValueError(
            f"{read.origin.where('split', key)}: split must be by 'time' and shares, "
            f"valid and test, for back-tests. Received: {getattr(split, key)!r}"
        )
    if folds < 2:
        raise ValueError(f"backtest: folds must be at least 2. Received: folds={folds}")
    tests = [1 - split.test * place for place in range(folds, 0, -1)]
    if tests[0] - split.valid <= 0:
        raise ValueError(
            f"backtest: {folds} folds must leave rows to train the first. Received: "
            f"split.test={split.test:g} and split.valid={split.valid:g}"
        )
    return [*(test - split.valid for test in tests), *tests]


def _windows(times: Sequence[Any], end: Any) -> list[dict[str, Any]]:
    """What each fold says of its split, the earliest first."""
    half = len(times) // 2
    valid, test = times[:half], [*times[half:], end]
    for one, other in (*pairwise(test[:half]), *zip(valid, test[:half], strict=True)):
        if one is None or other is None or not one < other:
            raise ValueError(
                "backtest: each of the folds must have times of its own to choose and "
                f"to test. Received: folds that test from {', '.join(map(str, test))}"
            )
    no_shares = {f"split.{n}": getattr(Split(), n) for n in ("valid", "test")}
    return [
        {
            **no_shares,
            "split.valid_from": valid[number],
            "split.test_from": test[number],
            "split.until": test[number + 1],
        }
        for number in range(half)
    ]


def _judged(found: Sequence[Run]) -> Backtest:
    both: dict[str, dict[str, list[float]]] = {"test": {}, "baseline": {}}
    for run in found:
        for key, of_key in both.items():
            for name, value in run.metrics[key].items():
                of_key.setdefault(name, []).append(value)
    splits = [run.read.config.split for run in found]
    return Backtest(
        [run.folder.name for run in found],
        [str(split.test_from) for split in splits],
        [None if split.until is None else str(split.until) for split in splits],
        both["test"],
        both["baseline"],
    )


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))
