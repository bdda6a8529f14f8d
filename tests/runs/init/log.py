"""A click log in which it is known what each column is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.runs.init.roles import roles_of
from recsys.runs.init.rows import Rows, database, rows_of

NUM = 2000
START = datetime(2024, 1, 1)


def click_log() -> dict[str, Any]:
    """Column -> values, `None` where there is none."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 80, NUM), rng.integers(0, 120, NUM)
    seconds = np.sort(rng.integers(0, 10**6, NUM))
    taste = rng.random(120)
    click = rng.random(NUM) < taste[item]
    buy = click & (rng.random(NUM) < 0.4)
    refunded = buy & (rng.random(NUM) < 0.5)
    genres = ["drama", "comedy", "action", "war"]
    return {
        "user_id": user,
        "video_id": [f"v{i:03d}" for i in item],
        "event_time": [START + timedelta(seconds=int(s)) for s in seconds],
        "is_click": click.astype(int),
        "buy": buy,
        "duration": np.round(np.exp(2 * rng.normal(size=120)) * 30, 3)[item],
        "price": [None if p < 0.1 else float(p) for p in rng.random(NUM)],
        "genres": ["|".join(genres[: 1 + i % 4]) for i in item],
        "words": [[f"w{i % 7}", f"w{i % 5}"] for i in item],
        "brand": [f"brand {i % 9}" for i in item],
        "title": [f"The {i}. film" for i in item],
        "gender": [("f", "m")[u % 2] for u in user],
        "hour": rng.integers(0, 24, NUM),
        "city": rng.integers(100, 400, NUM),
        "play_ms": np.where(click, 900, 100) + rng.integers(0, 850, NUM),
        "outcome": np.where(rng.random(NUM) < 0.96, click, ~click).astype(str),
        "refund": np.where(refunded, 3, 0),
        "click_time": [START if c else None for c in click],
        "request": [f"{r:04x}" for r in rng.permutation(NUM)],
        "row": np.arange(7, NUM + 7),
        "same": ["x"] * NUM,
        "empty": pa.nulls(NUM),
        "vector": [[float(i), 1.0, 2.0] for i in item],
        "record": [{"a": 1}] * NUM,
    }


def write(path: Path, columns: Mapping[str, Any]) -> str:
    """Writes a parquet or a CSV file, and returns its path."""
    table = pa.table({name: pa.array(list(v)) for name, v in columns.items()})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        table.to_pandas().to_csv(path, index=False)
    return str(path)


@contextmanager
def opened(*files: str, most: int = 10**6) -> Iterator[Rows]:
    """Lends the rows of files."""
    with database() as connection:
        roles = roles_of(files, connection, connection.to_pyarrow)
        yield rows_of(roles, connection, most)


def area(ones: np.ndarray, scores: np.ndarray) -> float:
    """AUC, by all pairs."""
    above = scores[ones == 1][:, None] - scores[ones == 0][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)
