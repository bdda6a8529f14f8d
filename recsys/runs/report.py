"""The report of a run: one page that loads nothing."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recsys
from recsys.runs import folder as places
from recsys.runs.evaluation.evaluating import show
from recsys.runs.evaluation.findings import by_task, evaluate, names_of
from recsys.runs.evaluation.predictions import read as read_predictions
from recsys.runs.page import Block, Chart, Grid, Heading, Text, write_html
from recsys.runs.reading import Read

K = 10


def write_report(here: Path, read: Read, warnings: Sequence[str]) -> None:
    """Writes the report of a run whose models are trained.

    Args:
        here: Folder of the run.
        read: Its configuration.
        warnings: What was found in the rows.
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
    if warnings:
        blocks += [Heading("Warnings"), *map(Text, warnings)]
    blocks += [Heading("Test rows"), _of_seeds(found), Heading("Epochs")]
    blocks += _curves(_read_json(here / places.EPOCHS))
    predictions = here / places.PREDICTIONS
    if predictions.is_file():
        resamples = read.config.evaluation.resamples
        for name, files in by_task([read_predictions(predictions)]):
            names = names_of(files[0], calibrated=True, k=K)
            part = evaluate(name, files, names, resamples, seeds[0])
            blocks += show(part, calibrated=True, intervals=resamples > 0)
    blocks.append(_others(here))
    record = places.read_record(here)
    made = f"Made by deep-rec-kit {recsys.__version__}, {record['begun']}."
    blocks.append(Text(made))
    write_html(here / places.REPORT, here.name, blocks)


def _of_seeds(found: Sequence[Mapping[str, Any]]) -> Grid:
    rows = []
    for name in found[0]["test"]:
        values = np.array([each["test"][name] for each in found])
        cells = [f"{values.mean():.4f}"]
        cells += [f"{values.std(ddof=1):.4f}"] if len(values) > 1 else []
        rows.append([name, *cells])
    header = ["metric", "mean" if len(found) > 1 else "value"]
    return Grid([*header, *(["deviation"] if len(found) > 1 else [])], rows)


def _curves(logs: Mapping[str, Sequence[float]]) -> list[Block]:
    charts: list[Block] = []
    for name, values in logs.items():
        if name.startswith("val_"):
            continue
        lines = {"training": values, "validation": logs.get(f"val_{name}", [])}
        lines = {
            key: line
            for key, line in lines.items()
            if line and all(map(math.isfinite, line))
        }
        if lines:
            charts.append(Chart(name, lines))
    return charts


def _others(here: Path) -> Block:
    """Beside the test metrics of earlier runs, the newest first."""
    names = [*_read_json(here / places.METRICS)["test"]]
    rows = [[here.name, *_cells(here, names)]]
    others = [
        each.parent
        for each in here.parent.glob(f"*/{places.METRICS}")
        if not each.parent.is_symlink() and each.parent.name != here.name
    ]
    records = [(places.read_record(each)["begun"], each) for each in others]
    rows += [[each.name, *_cells(each, names)] for _, each in sorted(records)[::-1]]
    return Grid(["run", *names], rows)


def _cells(folder: Path, names: Sequence[str]) -> list[str]:
    found = _read_json(folder / places.METRICS)["test"]
    return [f"{found[name]:.4f}" if name in found else "" for name in names]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())
