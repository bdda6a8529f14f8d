"""Runs whose items have vectors: read once, by id, for items without events too."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from recsys.feature.schema.schema import Schema
from recsys.runs.reading import read_config
from recsys.runs.running import run
from recsys.runs.samples.vectors import files_of_vectors

QUIET = Console(quiet=True)
USERS, OLD, NEW = 30, 20, 10


def _write(folder):
    """Users choose items of one half of the space; some items nobody has chosen."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(OLD + NEW, 4)).round(4)
    vectors[:, 0] = rng.choice([-1.0, 1.0], OLD + NEW)
    side = vectors[:, 0] > 0
    rows = []
    for user in range(USERS):
        mine = np.flatnonzero(side[:OLD] == user % 2)
        rows += [(user, int(item)) for item in rng.choice(mine, 12)]
    rng.shuffle(rows)
    user, item = np.array(rows).T
    columns = {"user": user, "item": item, "time": np.arange(len(rows)) * 60}
    pyarrow.csv.write_csv(pa.table(columns), folder / "events.csv")
    items = {
        "item": np.arange(OLD + NEW),
        "title": [f"Film {item}" for item in range(OLD + NEW)],
        "image": list(vectors),
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    return side


def _config(folder, **sections):
    vector = {"kind": "vector", "name": "image", "length": 4, "of": "item"}
    made = {
        "data": {
            "files": [str(folder / "events.csv")],
            "items": [str(folder / "items.parquet")],
            "user": "user",
            "item": "item",
            "time": "time",
        },
        "schema": {
            "columns": [
                {"kind": "categorical", "name": "item", "belong": "item"},
                {**vector, "id_dropout": 0.3},
                {
                    "kind": "history",
                    "name": "past",
                    "of": ["item"],
                    "length": 5,
                    "user": "user",
                    "time": "time",
                },
            ],
        },
        "model": {
            "name": "two_tower",
            "dim": 8,
            "arguments": {"hidden_units": [8], "temperature": 0.2},
        },
        "training": {"epochs": 12, "batch_size": 32, "learning_rate": 0.02},
        "candidates": {"k": 5},
    }
    return {**made, **sections}


def test_new_items_are_recommended_by_their_vectors(tmp_path):
    side = _write(tmp_path)
    samples = tmp_path / "samples"
    config = _config(tmp_path)
    done = run(config, runs=tmp_path / "runs", console=QUIET, samples=samples)
    for file in samples.glob("*.parquet"):
        assert "image" not in pq.read_schema(file).names
    words = done.pipeline.vocabulary("item").to_pydict()
    assert sorted(words["value"]) == [*range(OLD + NEW)]
    assert [words["count"][words["value"].index(i)] for i in range(OLD, OLD + NEW)] == [
        0
    ] * NEW
    found = done.recommend(k=3).to_pydict()  # the right ones are few
    new = [
        (side[item] == user % 2, title == f"Film {item}")
        for user, item, title in zip(
            found["user"], found["item"], found["title"], strict=True
        )
        if item >= OLD
    ]
    assert len(new) > USERS / 2
    right, titled = np.mean(new, axis=0)
    assert right > 0.9 and titled == 1


def test_the_events_may_have_them(tmp_path):
    _write(tmp_path)
    read = read_config(_config(tmp_path))
    schema = Schema.from_dict(read.config.declared)
    assert [column.name for column in read.schema.columns] == ["item", "past"]
    assert files_of_vectors(read, schema) == [str(tmp_path / "items.parquet")]
    assert files_of_vectors(read, read.schema) is None
    items = pq.read_table(tmp_path / "items.parquet")
    pq.write_table(items.drop(["image"]), tmp_path / "items.parquet")
    with pytest.raises(ValueError, match=r"must have \['image', 'item'\].*lacking"):
        files_of_vectors(read, schema)
    events = pyarrow.csv.read_csv(tmp_path / "events.csv")
    image = items["image"].take(events["item"])
    pq.write_table(events.append_column("image", image), tmp_path / "e.parquet")
    data = {**_config(tmp_path)["data"], "files": [str(tmp_path / "e.parquet")]}
    read = read_config(_config(tmp_path, data=data))
    assert files_of_vectors(read, schema) == [str(tmp_path / "e.parquet")]
