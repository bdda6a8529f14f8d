"""Metrics of predictions in files: values, intervals, plots, and a paired test."""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text as Cell

from recsys import metrics
from recsys.metrics.named import sigmoid
from recsys.runs.evaluation.findings import Findings, by_task, evaluate, names_of
from recsys.runs.evaluation.predictions import Array, Predictions, check_files, read
from recsys.runs.folder import OURS
from recsys.runs.page import Block, Grid, Heading, Lists, Plot, Text, write_html

MOST_POINTS, MOST_COLUMNS = 200, 10_000

console = Console()


def run(
    paths: Sequence[Path],
    scale: str,
    k: int,
    resamples: int,
    seed: int,
    json_path: Path | None = None,
    html_path: Path | None = None,
) -> None:
    """Prints the metrics of one file or several, and writes them where asked.

    Args:
        paths: The files; all others are compared with the first.
        scale: `"probability"`, `"logit"` or `"any"`.
        k: Where lists are cut.
        resamples, seed: Arguments of `recsys.metrics.bootstrap`.
        json_path, html_path: What to write.

    Raises:
        OSError: If what was asked cannot be written.
        ValueError: If a file cannot be evaluated, two are not of the same rows, or one
            is to be written that is read, written too, or a folder.
    """
    outputs = [path for path in (json_path, html_path) if path is not None]
    if outputs[1:] and _is_same(*outputs):
        raise ValueError(
            f"--json and --html must be two files. Received twice: {outputs[1]}"
        )
    for path in outputs:
        if any(_is_same(path, each) for each in paths):
            raise ValueError(
                f"{path} must not be a file that is read, as it would be lost"
            )
        if path.is_dir():
            raise ValueError(f"{path} must be a file to write. Received: a folder")
        if not path.absolute().parent.is_dir():
            raise ValueError(
                f"{path} must be in a folder that is there. Received: {path.parent}"
            )
    files = [read(path) for path in paths]
    check_files(files)
    # Of the same rows, whose names one file may have as texts.
    files = [replace(files[0], name=f.name, score=f.score) for f in files]
    if scale == "logit":
        files = [replace(file, score=sigmoid(file.score)) for file in files]
    for file in files if scale == "probability" else ():
        known = file.score[~np.isnan(file.score)]
        if known.size and not 0 <= (low := known.min()) <= (high := known.max()) <= 1:
            raise ValueError(
                f"{file.name}: scores must be probabilities, or say --scale logit or "
                f"any. Received: scores from {low:g} to {high:g}"
            )
    names = names_of(files[0], scale != "any", k)
    parts = [
        evaluate(name, of_task, names, resamples, seed)
        for name, of_task in by_task(files)
    ]
    labelled = int((~np.isnan(files[0].label)).sum())
    drawn = "rows" if files[0].group is None else "groups"
    note = f"{labelled:,} of {len(files[0].label):,} rows have a label. "
    if resamples:
        note += (
            f"Intervals hold 95 % of {resamples} resamples of {drawn}; those of ece "
            "and mce lie high, as resampling adds noise that counts as error. "
        )
    if len(files) > 1:
        note += f"Differences are those to {_titles(files)[0]}. "
    blocks: list[Block] = [Text(f"{note}Undefined values are nan.")]
    for part in parts:
        blocks += show(part, calibrated=scale != "any", intervals=resamples > 0)
    if len(parts) > 1:
        blocks += across(parts)
    for block in blocks:
        print_block(block, console)
    if json_path is not None:
        text = json.dumps(as_json(paths, parts, resamples, seed), indent=2)
        json_path.write_text(text + "\n")
    if html_path is not None:
        made = Text(f"Made by `recsys evaluate` of deep-rec-kit {OURS}.")
        title = " against ".join(path.name for path in paths)
        write_html(html_path, title, [*blocks, made])


def _is_same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def show(part: Findings, calibrated: bool, intervals: bool) -> list[Block]:
    """The tables and plots of one task."""
    titles = _titles(part.files)
    within = ["95 % interval"] if intervals else []
    header = ["metric"]
    for title in titles:
        header += [title, *within]
    for title in titles[1:]:
        of = "" if len(titles) == 2 else f" of {title}"
        header += [f"difference{of}", *within, *(["p"] if intervals else [])]
    header.append("groups skipped")
    rows = []
    for name, found in part.values.items():
        cells = [name]
        for each in found:
            cells += _cells(each, intervals)
        for difference, p in part.paired.get(name, ()):
            cells += _cells(difference, intervals)
            cells += [f"{p:.3f}"] if intervals else []
        cells.append(str(part.skipped.get(name, "")))
        rows.append(cells)
    blocks: list[Block] = [Heading(part.name), Grid(header, rows)]
    for name, tables in part.domains.items():
        columns: list[Callable[[metrics.Breakdown], float]] = [
            lambda table, each=each: table.values[each]  # type: ignore[misc]
            for each in tables[0].values
        ]
        columns += [metrics.Breakdown.macro, metrics.Breakdown.weighted]
        keys = [*map(str, tables[0].values), "macro", "weighted by rows"]
        blocks.append(
            Grid(
                [f"{name} by domain", *titles, "rows"],
                [
                    [
                        key,
                        *(f"{column(table):.4f}" for table in tables),
                        f"{weight:g}",
                    ]
                    for key, column, weight in zip(
                        keys,
                        columns,
                        [*tables[0].weights.values(), *_totals(tables)],
                        strict=True,
                    )
                ],
            )
        )
    return [*blocks, *_plots(part, titles, calibrated)]


def _plots(part: Findings, titles: Sequence[str], calibrated: bool) -> list[Block]:
    calibration, gain = {}, {}
    for title, file in zip(titles, part.files, strict=True):
        weight = file.weight
        curve = metrics.gain_curve(file.label, file.score, sample_weight=weight)
        if len(curve.rows):
            at = np.unique(np.linspace(0, len(curve.rows) - 1, MOST_POINTS).astype(int))
            gain[title] = _points(curve.rows[at], curve.positives[at])
        if calibrated:
            bins = metrics.calibration_curve(
                file.label, file.score, sample_weight=weight
            )
            if len(bins.weight):
                calibration[title] = _points(bins.predicted, bins.observed)
    plots: list[Block] = []
    if calibration:
        plots.append(
            Plot("Observed rate", calibration, "predicted, 20 bins", "calibrated")
        )
    if gain:
        plots.append(Plot("Share of positives", gain, "share of rows", "by chance"))
    return plots


def across(parts: Sequence[Findings]) -> list[Block]:
    """Means over tasks, of the first file."""
    rows = []
    for name in parts[0].values:
        table = _of_tasks(parts, name)
        macro, weighted = table.macro(), table.weighted()
        skipped = ", ".join(table.skipped())
        rows.append([name, f"{macro:.4f}", f"{weighted:.4f}", skipped])
    header = ["metric", "macro", "weighted by rows", "tasks skipped"]
    return [Heading("Means over tasks"), Grid(header, rows)]


def _of_tasks(parts: Sequence[Findings], name: str) -> metrics.Breakdown:
    values, weights = {}, {}
    for part in parts:
        file = part.files[0]
        weight = np.ones(len(file.label)) if file.weight is None else file.weight
        values[part.name] = part.values[name][0].value
        weights[part.name] = float(weight[~np.isnan(file.label)].sum())
    return metrics.Breakdown(values, weights)


def as_json(
    paths: Sequence[Path], parts: Sequence[Findings], resamples: int, seed: int
) -> dict[str, Any]:
    """All numbers; undefined ones are null."""
    tasks = {}
    for part in parts:
        found: dict[str, Any] = {}
        for name, values in part.values.items():
            found[name] = {"files": [_numbers(each._asdict()) for each in values]}
            if part.paired:
                found[name]["paired"] = [
                    _numbers({**difference._asdict(), "p": p})
                    for difference, p in part.paired[name]
                ]
            if name in part.skipped:
                found[name]["groups_skipped"] = part.skipped[name]
        domains = {
            name: [
                {
                    "values": _numbers(table.values),
                    "rows": _numbers(table.weights),
                    "macro": _number(table.macro()),
                    "weighted": _number(table.weighted()),
                    "skipped": [str(each) for each in table.skipped()],
                }
                for table in tables
            ]
            for name, tables in part.domains.items()
        }
        tasks[part.name] = {"metrics": found, "domains": domains}
    means = {}
    if len(parts) > 1:
        for name in parts[0].values:
            table = _of_tasks(parts, name)
            means[name] = _numbers(
                {"macro": table.macro(), "weighted": table.weighted()}
            )
    return {
        "files": [str(path) for path in paths],
        "resamples": resamples,
        "seed": seed,
        "tasks": tasks,
        "means_over_tasks": means,
    }


def _totals(tables: Sequence[metrics.Breakdown]) -> list[float]:
    return [sum(tables[0].weights.values())] * 2


def _titles(files: Sequence[Predictions]) -> list[str]:
    """Names of the files, with their folders if these tell them apart."""
    names = [Path(file.name).name for file in files]
    return names if len({*names}) == len(names) else [file.name for file in files]


def _cells(found: metrics.Interval, intervals: bool) -> list[str]:
    cells = [f"{found.value:.4f}"]
    return [*cells, f"{found.low:.4f} to {found.high:.4f}"] if intervals else cells


def _points(xs: Array, ys: Array) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def _numbers(values: dict[Any, float]) -> dict[str, float | None]:
    return {str(key): _number(value) for key, value in values.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def print_block(block: Block, console: Console) -> None:
    """Prints a block as it is: no name is markup, no table is cut to the screen."""
    if isinstance(block, Grid):
        table = Table()
        for name in block.header:
            table.add_column(Cell(name), no_wrap=True)
        for row in block.rows:
            table.add_row(*map(Cell, row))
        wide = console.options.update(max_width=MOST_COLUMNS)
        width = max(console.width, console.measure(table, options=wide).maximum)
        wide_console = Console(file=console.file, width=width, quiet=console.quiet)
        wide_console.print(table)
    elif isinstance(block, Lists):
        rows = itertools.zip_longest(*block.lists.values(), fillvalue="")
        console.print(Cell(block.title))
        print_block(Grid([*block.lists], [[*row] for row in rows]), console)
    elif isinstance(block, Heading):
        console.rule(Cell(block.text))
    elif isinstance(block, Text):
        console.print(Cell(block.text))
