"""What a study has found: in a table, on a page, and as a file to train."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recsys.data.writing import whole_file
from recsys.runs import folder as places
from recsys.runs.measures import direction_of
from recsys.runs.page import Block, Grid, Heading, Plot, Text, write_html
from recsys.runs.reading import Read, with_values
from recsys.runs.shown import as_yaml
from recsys.runs.tuning.trials import Trial

SHOWN = 10


@dataclass(frozen=True)
class Tuned:
    """A study whose trials are over.

    Attributes:
        folder: Where it is.
        monitor: What trials are compared by, on the validation rows.
        trials: In the order in which they were run.
    """

    folder: Path
    monitor: str
    trials: Sequence[Trial]

    @cached_property
    def ranked(self) -> list[Trial]:
        """Those that ended by themselves, best first; pruned ones; failed ones."""
        sign = 1 if direction_of(self.monitor) == "min" else -1
        states = ["whole", "pruned", "failed"]
        return sorted(
            self.trials,
            key=lambda trial: (
                states.index(trial.state),
                0 if trial.state == "failed" else sign * trial.score,
            ),
        )

    @property
    def is_found(self) -> bool:
        """Whether any trial has ended by itself."""
        return any(trial.state == "whole" for trial in self.trials)

    @property
    def best(self) -> Trial:
        """The best of them."""
        return self.ranked[0]

    @property
    def config(self) -> Path:
        """A run's file with the values of the best."""
        return self.folder / places.BEST

    def blocks(self, most: int = SHOWN) -> list[Block]:
        """Returns the best trials as a table, and how many there are.

        Args:
            most: Rows of the table.
        """
        found = [trial.state for trial in self.trials]
        shown = self.ranked[:most]
        keys = [*self.best.values]
        header = ["trial", self.monitor, "epochs", "seconds", *keys, "ended"]
        rows = [
            [
                str(trial.number),
                "" if math.isnan(trial.score) else f"{trial.score:.4f}",
                str(trial.epochs),
                f"{trial.seconds:.1f}",
                *(short(trial.values[key]) for key in keys),
                f"failed: {trial.reason}" if trial.reason else trial.state,
            ]
            for trial in shown
        ]
        said = (
            f"{len(found)} trials, of which {found.count('pruned')} were pruned and "
            f"{found.count('failed')} failed; best by {self.monitor} of the validation "
            f"rows is trial {self.best.number}. The test rows were not looked at."
        )
        return [Text(said), Grid(header, rows)]


def short(value: Any) -> str:
    """Returns a value as a table has it: four digits of a number."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def line_of(trial: Trial, monitor: str) -> str:
    """Returns what is said of a trial when it is over."""
    values = ", ".join(f"{key}={short(value)}" for key, value in trial.values.items())
    if trial.state == "failed":
        return f"trial {trial.number}: {values}: failed: {trial.reason}"
    pruned = ", pruned" if trial.state == "pruned" else ""
    return (
        f"trial {trial.number}: {values}: {monitor} {trial.score:.4f}, "
        f"{trial.epochs} epochs{pruned}, {trial.seconds:.0f} s"
    )


def write_best(tuned: Tuned, read: Read) -> None:
    """Writes a run's file with the values of the best trial.

    Args:
        tuned: The study.
        read: Its configuration.
    """
    best = tuned.best
    head = [
        f"The best of {len(tuned.trials)} trials of `recsys tune`, in {tuned.folder}:",
        f"trial {best.number}, {tuned.monitor} {best.score:.4f} of the validation rows",
        "with",
        *(f"  {key}: {value}" for key, value in best.values.items()),
    ]
    text = as_yaml(with_values(read, best.values, read.origin).config)
    with whole_file(tuned.config) as part:
        lines = "".join(f"# {line}\n" for line in head)
        part.write_text(f"{lines}\n{text}", encoding="utf-8")


def write_page(tuned: Tuned) -> None:
    """Writes a page with all trials."""
    ended = [trial for trial in tuned.trials if trial.state != "failed"]
    scores = [(float(trial.number), trial.score) for trial in ended]
    better = min if direction_of(tuned.monitor) == "min" else max
    so_far = [
        (float(trial.number), better(each.score for each in ended[: place + 1]))
        for place, trial in enumerate(ended)
    ]
    series: Mapping[str, Sequence[tuple[float, float]]]
    series = {"trial": scores, "best so far": so_far}
    said, table = tuned.blocks(len(tuned.trials))
    blocks = [
        said,
        Plot(tuned.monitor, series, "trial"),
        Heading("Trials"),
        table,
        Text(f"Made by deep-rec-kit {places.OURS}."),
    ]
    with whole_file(tuned.folder / places.REPORT) as part:
        write_html(part, tuned.folder.name, blocks)
