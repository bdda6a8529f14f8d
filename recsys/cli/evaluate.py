"""Metrics of predictions in files: values, intervals, plots, and a paired test."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text as Cell

import recsys
from recsys import metrics
from recsys.cli.report import Block, Grid, Heading, Plot, Text, write_html
from recsys.metrics.named import sigmoid

OF_ORDER = ("auc", "average_precision")
OF_PROBABILITY = (
    "log_loss",
    "normalized_entropy",
    "brier_score",
    "pcoc",
    "calibration_bias",
    "ece",
    "mce",
)
OF_GROUPS = ("gauc",)
OF_LISTS = (
    "ndcg",
    "recall",
    "precision",
    "f1",
    "hit_rate",
    "mrr",
    "mean_average_precision",
)
BY_DOMAIN = ("auc", "gauc", "log_loss", "pcoc")
NUMBERS = ("label", "score", "weight")
OPTIONAL = ("group", "weight", "task", "domain")
MOST_POINTS, MOST_COLUMNS = 200, 10_000
ALL_ROWS = "all rows"

Column = NDArray[Any]
console = Console()


@dataclass(frozen=True)
class Predictions:
    """The columns of a file, `(rows,)` each, those that it has."""

    name: str
    label: Column
    score: Column
    group: Column | None = None
    weight: Column | None = None
    task: Column | None = None
    domain: Column | None = None

    def where(self, chosen: Column) -> "Predictions":
        """Some of the rows."""
        columns = {key: column[chosen] for key, column in self.columns().items()}
        return Predictions(self.name, **columns)

    def columns(self) -> dict[str, Column]:
        """The columns by name."""
        names = ("label", "score", *OPTIONAL)
        found = {name: getattr(self, name) for name in names}
        return {name: column for name, column in found.items() if column is not None}

    def rows(self) -> dict[str, Any]:
        """The optional arguments of metrics."""
        given = {"sample_weight": self.weight, "groups": self.group}
        return {key: column for key, column in given.items() if column is not None}


def read(path: Path) -> Predictions:
    """Reads a file of predictions; an empty label is missing.

    Raises:
        ValueError: If there is no such file, it cannot be read, a column is missing or
            there twice, or a value is none that can be evaluated.
    """
    try:
        table = _read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        # Arrow counts the rows from 1, with the head.
        reason = re.sub(r"Row #(\d+)", lambda of: f"row {int(of[1]) - 2}", reason)
        raise ValueError(f"Cannot read {path}: {reason}") from error
    columns: dict[str, Column] = {}
    for name in ("label", "score", *OPTIONAL):
        times = table.column_names.count(name)
        if not times and name in OPTIONAL:
            continue
        if times != 1:
            raise ValueError(
                f"{path}: there must be one column {name!r}. "
                f"Received: columns {table.column_names}"
            )
        make = _as_numbers if name in NUMBERS else _as_names
        columns[name] = make(f"{path}: column {name!r}", table[name])
    if not len(table):
        raise ValueError(f"{path}: there must be rows. Received: none")
    label, score, weight = columns["label"], columns["score"], columns.get("weight")
    if weight is not None:
        good = np.isfinite(weight) & (weight >= 0)
        _require(f"{path}: weights must be finite and at least 0", good, weight)
    good = np.isin(label, [0, 1]) | np.isnan(label)
    _require(f"{path}: labels must be 0, 1 or empty", good, label)
    counts = ~np.isnan(label) & (True if weight is None else weight > 0)
    good = ~np.isnan(score) | ~counts
    _require(f"{path}: scores must be there where labels are", good, score)
    return Predictions(str(path), **columns)


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise FileNotFoundError(f"there must be a file of that name. Received: {found}")
    if path.suffix in (".parquet", ".pq"):
        return pa.parquet.ParquetFile(path).read()
    tabs = ".tsv" in path.suffixes
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False),  # errors count rows then
        parse_options=pa.csv.ParseOptions(delimiter="\t" if tabs else ","),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(NUMBERS, pa.float64())
        ),
    )


def _as_numbers(who: str, column: pa.ChunkedArray) -> Column:
    try:
        if pa.types.is_temporal(column.type):  # some of them can be cast
            raise pa.ArrowTypeError("times are no numbers")
        numbers: Column = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise ValueError(f"{who} must hold numbers. Received: {column.type}") from error
    return numbers


def _as_names(who: str, column: pa.ChunkedArray) -> Column:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        raise ValueError(f"{who} must hold names. Received: {column.type}")
    gaps = column.is_null(nan_is_null=pa.types.is_floating(column.type))
    if not pa.types.is_floating(column.type):
        gaps = pc.or_(gaps, pc.fill_null(pc.equal(column.cast("string"), ""), True))
    missing = pc.sum(gaps).as_py()
    if missing:
        raise ValueError(f"{who} must have no gaps. Received: {missing} of them")
    names: Column = column.to_numpy()
    return names


def _require(what: str, good: Column, values: Column) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"{what}. Received: {values[row]:g} in row {row} (and "
            f"{(~good).sum() - 1} more of {len(good)} rows)"
        )


@dataclass(frozen=True)
class Part:
    """What is found of the rows of one task.

    Attributes:
        name: The task.
        files: Its rows in each file.
        values: By metric and file: value and interval.
        skipped: Groups without a value, by metric.
        paired: By metric, the difference of each other file to the first and its
            p-value.
        domains: By metric, a breakdown of each file.
    """

    name: str
    files: Sequence[Predictions]
    values: dict[str, list[metrics.Interval]]
    skipped: dict[str, int]
    paired: dict[str, list[tuple[metrics.Interval, float]]]
    domains: dict[str, list[metrics.Breakdown]]


def names_of(file: Predictions, calibrated: bool, k: int) -> list[str]:
    """Names of the metrics that a file has the columns for."""
    names = list(OF_ORDER)
    if calibrated:
        names += OF_PROBABILITY
    if file.group is not None:
        names += [*OF_GROUPS, *(f"{name}@{k}" for name in OF_LISTS)]
    return names


def evaluate(
    name: str,
    files: Sequence[Predictions],
    names: Sequence[str],
    resamples: int,
    seed: int,
) -> Part:
    """Computes the metrics of one task, in one file or in several of the same rows."""
    draws = [
        metrics.bootstrap(
            names, f.label, f.score, **f.rows(), resamples=resamples, seed=seed
        )
        for f in files
    ]
    values = {each: [metrics.interval(draw[each]) for draw in draws] for each in names}
    paired = {}
    for each in names if len(files) > 1 else ():
        differences = [draw[each] - draws[0][each] for draw in draws[1:]]
        paired[each] = [(metrics.interval(d), metrics.p_value(d)) for d in differences]
    skipped = {}
    first = files[0]
    if first.group is not None:
        groups = metrics.group_auc(first.label, first.score, **first.rows())
        queries = metrics.judge(first.label, first.score, **first.rows())
        empty = int((queries.num_relevant == 0).sum())
        skipped = {each: empty for each in names if metrics.NamedMetric(each).grouped}
        skipped["gauc"] = int(np.isnan(groups.auc).sum())
    domains: dict[str, list[metrics.Breakdown]] = {}
    for each in BY_DOMAIN:
        for f in files if each in names else ():
            if f.domain is not None:
                metric = metrics.NamedMetric(each)
                table = metrics.breakdown(
                    metric, f.label, f.score, by=f.domain, **f.rows()
                )
                domains.setdefault(each, []).append(table)
    return Part(name, files, values, skipped, paired, domains)


def by_task(files: Sequence[Predictions]) -> Iterator[tuple[str, list[Predictions]]]:
    """Splits files by task, if they tell tasks apart."""
    task = files[0].task
    if task is None:
        yield ALL_ROWS, list(files)
        return
    for name in np.unique(task):
        yield str(name), [file.where(task == name) for file in files]


def check_files(files: Sequence[Predictions]) -> None:
    """Raises `ValueError` if files are not about the same rows, or are the same."""
    first, *others = files
    for i, other in enumerate(others):
        if other.name in {file.name for file in files[: i + 1]}:
            raise ValueError(
                f"Files to compare must differ. Received twice: {other.name}"
            )
        for name in ("label", *OPTIONAL):
            found = _difference(getattr(first, name), getattr(other, name))
            if found:
                raise ValueError(
                    "Files to compare must have the same rows in the same order. "
                    f"Received: column {name!r} is {found[0]} in {first.name}, "
                    f"{found[1]} in {other.name}"
                )


def _difference(a: Column | None, b: Column | None) -> tuple[str, str] | None:
    """What two columns have where they first differ, if they do."""
    if a is None or b is None or len(a) != len(b):
        one, other = (
            "absent" if each is None else f"of {len(each)} rows" for each in (a, b)
        )
        return None if a is b else (one, other)
    (where,) = np.nonzero(~((a == b) | ((a != a) & (b != b))))
    if not where.size:
        return None
    row = int(where[0])
    return f"{a[row]!s} in row {row}", f"{b[row]!s}"


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
        resamples, seed: Of `recsys.metrics.bootstrap`.
        json_path, html_path: What to write.

    Raises:
        OSError: If what was asked cannot be written.
        ValueError: If a file cannot be evaluated, two are not of the same rows, or one
            is to be written that is read.
    """
    for path in (json_path, html_path):
        if path is None:
            continue
        if path.exists() and any(p.exists() and path.samefile(p) for p in paths):
            raise ValueError(
                f"{path} must not be a file that is read, as it would be lost"
            )
        if not path.absolute().parent.is_dir():
            raise ValueError(
                f"{path} must be in a folder that is there. Received: {path.parent}"
            )
    files = [read(path) for path in paths]
    check_files(files)
    if scale == "logit":
        files = [replace(file, score=sigmoid(file.score)) for file in files]
    for file in files if scale == "probability" else ():
        low, high = np.nanmin(file.score), np.nanmax(file.score)
        if low < 0 or high > 1:
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
        _print(block)
    if json_path is not None:
        text = json.dumps(as_json(paths, parts, resamples, seed), indent=2)
        json_path.write_text(text + "\n")
    if html_path is not None:
        made = Text(f"Made by `recsys evaluate` of deep-rec-kit {recsys.__version__}.")
        title = " against ".join(path.name for path in paths)
        write_html(html_path, title, [*blocks, made])


def show(part: Part, calibrated: bool, intervals: bool) -> list[Block]:
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


def _plots(part: Part, titles: Sequence[str], calibrated: bool) -> list[Block]:
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


def across(parts: Sequence[Part]) -> list[Block]:
    """Means over tasks, of the first file."""
    rows = []
    for name in parts[0].values:
        table = _of_tasks(parts, name)
        macro, weighted = table.macro(), table.weighted()
        skipped = ", ".join(table.skipped())
        rows.append([name, f"{macro:.4f}", f"{weighted:.4f}", skipped])
    header = ["metric", "macro", "weighted by rows", "tasks skipped"]
    return [Heading("Means over tasks"), Grid(header, rows)]


def _of_tasks(parts: Sequence[Part], name: str) -> metrics.Breakdown:
    values, weights = {}, {}
    for part in parts:
        file = part.files[0]
        weight = np.ones(len(file.label)) if file.weight is None else file.weight
        values[part.name] = part.values[name][0].value
        weights[part.name] = float(weight[~np.isnan(file.label)].sum())
    return metrics.Breakdown(values, weights)


def as_json(
    paths: Sequence[Path], parts: Sequence[Part], resamples: int, seed: int
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


def _points(xs: Column, ys: Column) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def _numbers(values: dict[Any, float]) -> dict[str, float | None]:
    return {str(key): _number(value) for key, value in values.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _print(block: Block) -> None:
    """Prints a block as it is: no name is markup, no table is cut to the screen."""
    if isinstance(block, Grid):
        table = Table()
        for name in block.header:
            table.add_column(Cell(name), no_wrap=True)
        for row in block.rows:
            table.add_row(*map(Cell, row))
        wide = console.options.update(max_width=MOST_COLUMNS)
        width = max(console.width, console.measure(table, options=wide).maximum)
        Console(file=console.file, width=width).print(table)
    elif isinstance(block, Heading):
        console.rule(Cell(block.text))
    elif isinstance(block, Text):
        console.print(Cell(block.text))
