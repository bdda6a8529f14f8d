"""Runs at several times of the same data."""

import json

import numpy as np
import pyarrow.csv
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from recsys.cli.main import app
from recsys.runs.backtest import backtest
from recsys.runs.finished import Run
from tests.runs.planted import config, write_log

QUIET = Console(quiet=True)
ROWS = 3000


@pytest.fixture
def path(tmp_path):
    write_log(tmp_path / "log.csv", ROWS)
    path = tmp_path / "run.yaml"
    entries = config(
        tmp_path / "log.csv",
        training={"epochs": 1},
        split={"by": "time", "valid": 0.1, "test": 0.2},
    )
    path.write_text(yaml.safe_dump(entries))
    return path


def test_each_run_is_tested_where_the_one_before_ends(path, tmp_path):
    html, plain = tmp_path / "b.html", tmp_path / "b.json"
    told = CliRunner().invoke(
        app,
        ["backtest", str(path), "--runs", str(tmp_path / "runs"), "--folds", "3"]
        + ["--html", str(html), "--json", str(plain)],
    )
    assert told.exit_code == 0, told.output
    here = tmp_path / "runs" / "run-backtest"
    times = np.sort(pyarrow.csv.read_csv(tmp_path / "log.csv")["time"])
    # Of the rows, when each run begins to test, and when the last one ends.
    cuts = [times[round(ROWS * share)] for share in (0.4, 0.6, 0.8)]
    found = json.loads(plain.read_text())
    assert found["runs"] == ["fold-1", "fold-2", "fold-3"]
    assert found["tested_from"] == [str(cut) for cut in cuts]
    assert found["until"] == [*found["tested_from"][1:], None]
    for number, name in enumerate(found["runs"]):
        done = Run(here / name)
        assert found["tested"]["auc"][number] == done.metrics["test"]["auc"]
        assert found["baseline"]["auc"][number] == done.metrics["baseline"]["auc"]
    tested = [(times < end).sum() for end in (*cuts[1:], np.inf)]
    tested = np.diff([(times < cuts[0]).sum(), *tested])
    for rows in tested:
        assert f"test: {rows:,} rows" in told.output
    page, aucs = html.read_text(), found["tested"]["auc"]
    for text in (f"{np.mean(aucs):.4f}", f"{np.std(aucs, ddof=1):.4f}", "auc by run"):
        assert text in page
    written = (here / "fold-1" / "model.keras").stat().st_mtime_ns
    again = backtest(path, 3, runs=tmp_path / "runs", console=QUIET)
    assert again.plain() == found
    assert (here / "fold-1" / "model.keras").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="Received: other split"):
        backtest(path, 2, runs=tmp_path / "runs", console=QUIET)


@pytest.mark.parametrize(
    ("folds", "settings", "said"),
    [
        (1, [], "folds must be at least 2"),
        (5, [], "5 folds must leave rows to train the first"),
        (2, ["split.by=ratio"], "--set split.by=ratio: split must be by 'time'"),
        (
            2,
            ["split.valid_from=2", "split.test_from=3"],
            "--set split.test_from=3: split must be by 'time' and shares",
        ),
        (3, ["data.time=clicked"], "each of the folds must have times of its own"),
    ],
)
def test_what_cannot_be(path, tmp_path, folds, settings, said):
    runs = tmp_path / "runs"
    with pytest.raises(ValueError, match=said):
        backtest(path, folds, settings=settings, runs=runs, console=QUIET)
    assert not runs.exists()
