"""The report of a run: one page that loads nothing."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys.runs import folder as places
from recsys.runs.evaluation.evaluating import show
from recsys.runs.evaluation.findings import by_task, evaluate, names_of
from recsys.runs.evaluation.predictions import read as read_predictions
from recsys.runs.explaining.collapse import TableShape, blocks_of_tables
from recsys.runs.explaining.gates import blocks_of_gates
from recsys.runs.page import Block, Chart, Grid, Heading, Text, write_html
from recsys.runs.progress import MEAN
from recsys.runs.reading import Read

K = 10
OF_RATES = ", rates of items alone"


def write_report(
    here: Path, read: Read, warnings: Sequence[str], more: Sequence[Block] = ()
) -> list[dict[str, Any]]:
    """Writes the report of a run whose models are trained.

    Args:
        here: Folder of the run.
        read: Its configuration.
        warnings: What was found in the rows.
        more: What is shown behind the epochs.

    Returns:
        What the metrics' file of each seed holds.
    """
    seeds = read.config.training.seeds
    folders = [here, *(here / f"seed-{seed}" for seed in seeds[1:])]
    found = [_read_json(folder / places.METRICS) for folder in folders]
    model, first = read.config.model, found[0]
    blocks: list[Block] = [
        Text(
            f"{model.name}, {first['parameters']:,} parameters, trained for "
            f"{first['epochs']} epochs in {first['seconds']:g} seconds; epoch "
            f"{first['best_epoch']} was best by {first['monitor']}. Seeds: "
            f"{', '.join(map(str, seeds))}."
        ),
    ]
    warnings = [*warnings, *doubts(read, first)]
    if warnings:
        blocks += [Heading("Warnings"), *map(Text, warnings)]
    blocks += [Heading("Test rows"), of_test_rows(read, found), Heading("Epochs")]
    tasks = [label.name for label in read.schema.labels]
    blocks += _curves(_read_json(here / places.EPOCHS), tasks)
    blocks += more
    predictions = here / places.PREDICTIONS
    if predictions.is_file():
        resamples = read.config.evaluation.resamples
        of_run = replace(read_predictions(predictions), name=here.name)
        for name, files in by_task([of_run]):
            names = names_of(files[0], calibrated=True, k=K)
            part = evaluate(name, files, names, resamples, seeds[0])
            blocks += show(part, calibrated=True, intervals=resamples > 0)
    blocks += blocks_of_tables([TableShape(**each) for each in first["tables"]])
    blocks += blocks_of_gates(first.get("gates", {}))
    blocks += [Heading("Beside other runs"), _others(here)]
    record = places.read_record(here)
    made = f"Made by deep-rec-kit {places.OURS}, {record['begun']}."
    blocks.append(Text(made))
    write_html(here / places.REPORT, here.name, blocks)
    return found


def of_test_rows(read: Read, found: Sequence[Mapping[str, Any]]) -> Grid:
    """Returns the metrics of the test rows by task; of several seeds mean ± deviation.

    Those of a match model stand beside those of the most popular items, others above
    those of the rates of items.

    Args:
        read: The configuration.
        found: What the metrics' file of each seed holds.
    """
    logs, rates = [each["test"] for each in found], found[0]["baseline"]
    tasks = [label.name for label in read.schema.labels]
    if not tasks:
        header = ["", read.config.model.name, "most popular"]
        both = [[name, _spread(logs, name), f"{rates[name]:.4f}"] for name in rates]
        return Grid(header, both)
    if not tasks[1:]:
        shown = [n for n in logs[0] if n != "loss" or "log_loss" not in logs[0]]
        rows = [[name, _spread(logs, name)] for name in shown]
        rows += [[f"{name}{OF_RATES}", f"{rates[name]:.4f}"] for name in rates]
        return Grid(["", *tasks], rows)
    own = {
        name.removeprefix(f"{task}_"): None
        for task in tasks
        for name in logs[0]
        if name.startswith(f"{task}_") and name != f"{task}_loss"
    }
    rows = [
        [
            name,
            *(_spread(logs, f"{task}_{name}") for task in tasks),
            _spread(logs, f"{name}{MEAN}"),
        ]
        for name in own
    ]
    for name in ("auc", "gauc", "log_loss"):
        known = [rates.get(f"{task}_{name}") for task in tasks]
        cells = ["" if value is None else f"{value:.4f}" for value in known]
        rows += [[f"{name}{OF_RATES}", *cells, ""]] if any(cells) else []
    return Grid(["", *tasks, "mean"], rows)


def doubts(read: Read, found: Mapping[str, Any]) -> list[str]:
    """Returns what speaks against a trained model, in whole sentences.

    That is what the baseline does as well, and that training ended too early.

    Args:
        read: The configuration.
        found: What the metrics' file holds.
    """
    what = "the rates of items" if read.schema.labels else "the most popular items"
    said = []
    for name, value in found["baseline"].items():
        own = found["test"].get(name, math.nan)  # what was not asked for says nothing
        if math.isnan(own) or math.isnan(value):
            continue
        if (own > value) == name.endswith("log_loss"):
            said.append(
                f"{name} of the test rows is {own:.4f}, and {value:.4f} of {what} "
                "alone: this model is not worth its costs yet."
            )
    if found["best_epoch"] == read.config.training.epochs:
        said.append(
            f"The last of {found['best_epoch']} epochs was the best by "
            f"{found['monitor']}: more of them, training.epochs, may be better."
        )
    return said


def _spread(logs: Sequence[Mapping[str, float]], name: str) -> str:
    """A number, of several logs their mean and deviation."""
    if name not in logs[0]:
        return ""
    values = np.array([each[name] for each in logs])
    if not values[1:].size:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"


def _curves(logs: Mapping[str, Sequence[float]], tasks: Sequence[str]) -> list[Block]:
    """The loss, and each metric: by task, if there are several."""
    charts = {"loss": {"training": "loss", "validation": "val_loss"}}
    for name in logs:
        if not tasks and name != "loss":
            charts[name.removeprefix("val_")] = {"validation": name}
        elif tasks[1:]:
            base = name.removesuffix(MEAN)
            if name.endswith(MEAN) and not name.startswith("val_"):
                lines = {task: f"val_{task}_{base}" for task in tasks}
                charts[f"{base}, validation rows"] = lines
        elif f"val_{name}" in logs:
            charts[name] = {"training": name, "validation": f"val_{name}"}
    blocks: list[Block] = []
    for title, names in charts.items():
        drawn = {
            line: logs[name]
            for line, name in names.items()
            if all(map(math.isfinite, logs.get(name, [math.nan])))
        }
        blocks += [Chart(title, drawn)] if drawn else []
    return blocks


def _others(here: Path) -> Block:
    """Beside the test metrics of earlier runs, the newest first."""
    names = [*_read_json(here / places.METRICS)["test"]]
    names = [n for n in names if n.endswith(MEAN)] or names  # of several tasks
    rows = [[here.name, *_cells(here, names)]]
    others = [
        each.parent
        for each in here.parent.glob(f"*/{places.METRICS}")
        if not each.parent.is_symlink() and each.parent.name != here.name
        if (each.parent / places.RECORD).is_file()  # a seed has none
    ]
    records = [(places.read_record(each)["begun"], each) for each in others]
    rows += [[each.name, *_cells(each, names)] for _, each in sorted(records)[::-1]]
    return Grid(["run", *(name.removesuffix(MEAN) for name in names)], rows)


def _cells(folder: Path, names: Sequence[str]) -> list[str]:
    found = _read_json(folder / places.METRICS)["test"]
    return [f"{found[name]:.4f}" if name in found else "" for name in names]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())
