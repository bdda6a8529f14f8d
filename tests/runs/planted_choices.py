"""Choices of users who each like the items of one taste, in CSV files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

FOUND = 12  # candidates of two stages
TASTES, OF_TASTE, USERS, EVENTS = 5, 16, 150, 12
START = np.datetime64("2024-03-01T10:00:00")


def write_choices(folder: Path) -> dict[str, np.ndarray]:
    """Writes `events.csv` and `items.csv`, and returns the columns of the events.

    Nine of ten choices are of a user's own taste. A tenth of the events are views, some
    items are chosen twice by a user, two of ten users come late, and two items are
    chosen by nobody.
    """
    rng = np.random.default_rng(5)
    taste = rng.integers(0, TASTES, USERS)
    user = np.repeat(np.arange(USERS), EVENTS)
    own = taste[user] * OF_TASTE + rng.integers(0, OF_TASTE, len(user))
    any_item = rng.integers(0, TASTES * OF_TASTE, len(user))
    item = np.where(rng.random(len(user)) < 0.9, own, any_item)
    late = np.select([user % 10 == 0, user % 10 == 1], [7000, 8800], 0)
    minute = late + rng.integers(0, 10_000, len(user)) * (10_000 - late) // 10_000
    columns = {
        "who": np.char.add("u", user.astype(str)),
        "what": 100 + item,
        "when": START + minute.astype("timedelta64[m]"),
        "mood": np.array(["calm", "keen"])[rng.integers(0, 2, len(user))],
        "action": np.where(rng.random(len(user)) < 0.1, "view", "buy"),
    }
    mixed = rng.permutation(len(user))
    columns = {name: values[mixed] for name, values in columns.items()}
    pyarrow.csv.write_csv(pa.table(columns), folder / "events.csv")
    ids = np.arange(TASTES * OF_TASTE + 2)
    items = {
        "what": 100 + ids,
        "kind": np.char.add("k", (ids // OF_TASTE).astype(str)),
        "title": np.char.add("Item, the ", ids.astype(str)),
    }
    pyarrow.csv.write_csv(pa.table(items), folder / "items.csv")
    return columns


def choices(folder: Path, **sections: dict) -> dict:
    """A configuration of the files; sections replace keys of the sections."""
    made = {
        "data": {
            "files": [str(folder / "events.csv")],
            "items": [str(folder / "items.csv")],
            "user": "who",
            "item": "what",
            "time": "when",
        },
        "schema": {
            "columns": [
                {"kind": "categorical", "name": "who"},
                {"kind": "categorical", "name": "what", "belong": "item"},
                {"kind": "categorical", "name": "mood", "belong": "context"},
                {"kind": "categorical", "name": "kind", "belong": "item"},
                {
                    "kind": "history",
                    "name": "past",
                    "of": ["what", "kind"],
                    "length": 5,
                    "user": "who",
                    "time": "when",
                },
            ]
        },
        "samples": {"where": {"action": "buy"}},
        "split": {"by": "time", "valid": 0.15, "test": 0.15},
        "model": {
            "name": "two_tower",
            "dim": 8,
            "arguments": {"hidden_units": [16], "temperature": 0.1},
        },
        "training": {"epochs": 5, "batch_size": 64, "learning_rate": 0.01},
        "candidates": {"k": 10},
    }
    for name, section in sections.items():
        made[name] = {**made.get(name, {}), **section}
    return made


def two_stages(folder: Path, **sections: dict) -> dict:
    """The configuration of the match model as the first stage, then din."""
    entries = choices(folder)
    first = {name: entries.pop(name) for name in ("model", "training", "candidates")}
    first["candidates"] = {"k": FOUND}
    first["training"] = {"epochs": 2, "batch_size": 64, "learning_rate": 0.01}
    entries["schema"] |= {"labels": ["bought"], "groups": {"user": "who"}}
    entries |= {
        "samples": {
            "positives": {"action": "buy"},
            "negatives": {"label": "bought", "per_event": 2},
        },
        "match": first,
        "model": {"name": "din", "dim": 4, "arguments": {"dnn_hidden_units": [8]}},
        "training": {"epochs": 2, "batch_size": 256, "learning_rate": 0.02},
    }
    for name, section in sections.items():
        entries[name] = {**entries.get(name, {}), **section}
    return entries
