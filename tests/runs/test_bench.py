"""Several models on the same rows: runs that are there are of the same call."""

import pytest
from rich.console import Console

from recsys.runs.bench import bench
from tests.runs.planted import config, write_log

QUIET = Console(quiet=True)


def test_models_are_compared_on_the_same_rows_and_trained_once(tmp_path):
    write_log(tmp_path / "log.csv")
    entries = config(tmp_path / "log.csv", training={"epochs": 1})
    options = {"seeds": 1, "name": "b", "runs": tmp_path, "console": QUIET}
    found = bench(entries, ["lr", "fm"], **options)
    assert found.runs == ["lr", "fm"] and found.seeds == [1, 1]
    file = tmp_path / "b" / "lr" / "model.keras"
    written = file.stat().st_mtime_ns
    again = bench(entries, ["lr", "fm"], **options)
    assert again.plain() == found.plain() and file.stat().st_mtime_ns == written
    other = ["training.batch_size=64"]
    with pytest.raises(ValueError, match="Received: other training.batch_size"):
        bench(entries, ["lr", "fm"], settings=other, **options)
    with pytest.raises(ValueError, match="Received: other training.seeds"):
        bench(entries, ["lr", "fm"], **{**options, "seeds": 2})


@pytest.mark.parametrize("models", [["lr", "lr"], ["lr", "fmm"], ["lr fm", "lr"]])
def test_models_are_names_each_once(tmp_path, models):
    entries = config(tmp_path / "log.csv")
    with pytest.raises(ValueError, match="bench: models must be names of"):
        bench(entries, models, name="b", runs=tmp_path)


def test_rows_that_need_a_match_model_are_refused(tmp_path):
    entries = config(tmp_path / "log.csv", samples={"negatives": {"label": "clicked"}})
    entries["samples"]["negatives"]["by"] = "candidates"
    with pytest.raises(ValueError, match="bench must be of rows that need no match"):
        bench(entries, ["lr", "fm"], name="b", runs=tmp_path)
