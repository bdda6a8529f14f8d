"""A click log in a CSV file, with a signal in the item and in a number."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

CONFIG = {
    "data": {"user": "user", "item": "item", "time": "time"},
    "schema": {
        "columns": [
            {"kind": "categorical", "name": "user"},
            {"kind": "categorical", "name": "item", "belong": "item"},
            {"kind": "numeric", "name": "price", "belong": "item"},
        ],
        "labels": ["clicked"],
        "groups": {"user_key": "user"},
    },
    "model": {"name": "lr"},
    "training": {"epochs": 2, "batch_size": 256, "learning_rate": 0.05},
    "evaluation": {"resamples": 20},
}


def write_log(
    path: Path, rows: int = 3000, shift: float = -0.5
) -> dict[str, np.ndarray]:
    """Writes the log, and returns its columns."""
    rng = np.random.default_rng(3)
    taste = rng.normal(size=40) * 2
    columns = {
        "user": rng.integers(0, 60, rows),
        "item": rng.integers(0, 40, rows),
        "price": rng.normal(size=rows).round(3),
        "time": np.arange(rows) * 60,
    }
    logit = taste[columns["item"]] + columns["price"] + shift
    columns["clicked"] = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    pyarrow.csv.write_csv(pa.table(columns), path)
    return columns


def config(path: Path, **sections: dict) -> dict:
    """A configuration of the log; sections replace keys of the sections."""
    made = {**CONFIG, "data": {**CONFIG["data"], "files": [str(path)]}}
    for name, section in sections.items():
        made[name] = {**made.get(name, {}), **section}
    return made
