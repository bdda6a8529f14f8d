"""Runs beside each other: the numbers are those of `bootstrap`, seed by seed."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from recsys import metrics
from recsys.cli.main import app
from recsys.runs.comparing import compare
from recsys.runs.config import Config
from recsys.runs.finished import Run
from recsys.runs.shown import as_yaml
from tests.close import close
from tests.runs.planted import config

ROWS = 400


def scores(noise, seed):
    rng = np.random.default_rng(7)
    z = rng.normal(size=ROWS)
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-2 * z))).astype(float)
    group = rng.integers(0, 25, ROWS)
    z = 2 * z + noise * np.random.default_rng(seed).normal(size=ROWS)
    return label, 1 / (1 + np.exp(-z)), group


def make_run(folder, model, noise, seeds, seconds):
    for place, seed in enumerate(seeds):
        at = folder if not place else folder / f"seed-{seed}"
        at.mkdir(parents=True)
        label, score, group = scores(noise, int(100 * noise) + seed)
        table = {"label": label, "score": score, "group": group.astype(str)}
        pq.write_table(pa.table(table), at / "predictions.parquet")
        found = {"test": {"auc": 0.5}, "parameters": 1000, "seconds": seconds + place}
        (at / "metrics.json").write_text(json.dumps(found))
    made = config(folder, model={"name": model}, training={"seeds": seeds})
    (folder / "config.yaml").write_text(as_yaml(Config.model_validate(made)))
    (folder / "run.json").write_text(json.dumps({"finished": True}))


@pytest.fixture
def folder(tmp_path):
    make_run(tmp_path / "a", "lr", 1.0, [0, 1, 2], 4.0)
    make_run(tmp_path / "b", "fm", 2.0, [0, 1, 2], 6.0)
    make_run(tmp_path / "c", "deepfm", 0.5, [0], 9.0)
    return tmp_path


def test_means_deviations_and_differences(folder):
    found = compare([Run(name, folder) for name in "abc"], resamples=50)
    assert "&lt;h1&gt;a, b, c" in found._repr_html_()
    assert found.runs == ["a", "b", "c"] and found.models == ["lr", "fm", "deepfm"]
    assert found.seconds == [5.0, 7.0, 9.0] and found.seeds == [3, 3, 1]
    for name in ("auc", "log_loss", "gauc"):
        draws = {}
        for run, noise, seeds in (("a", 1.0, 3), ("b", 2.0, 3), ("c", 0.5, 1)):
            draws[run] = []
            for seed in range(seeds):
                label, score, group = scores(noise, int(100 * noise) + seed)
                options = {"groups": group}
                values = metrics.bootstrap(
                    [name], label, score, **options, resamples=50
                )
                draws[run].append(values[name])
        a, b, c = found.tasks["all rows"][name]
        own = [draw[0] for draw in draws["a"]]
        close(a.mean, np.mean(own), terms=10)
        close(a.deviation, np.sqrt(np.sum((own - np.mean(own)) ** 2) / 2), terms=10)
        assert a.difference is None and np.isnan(a.p) and np.isnan(c.deviation)
        for other, run in ((b, "b"), (c, "c")):
            pairs = [x - y for x, y in zip(draws[run], draws["a"], strict=False)]
            every = np.concatenate([pair[1:] for pair in pairs])
            wanted = np.mean([pair[0] for pair in pairs])  # c has one seed
            close(other.difference.value, wanted, terms=10)
            close(other.difference.low, np.quantile(every, 0.025), terms=10)
            close(other.difference.high, np.quantile(every, 0.975), terms=10)
            less = min((every <= 0).sum(), (every >= 0).sum())
            close(other.p, min(1, 2 * (less + 1) / (len(every) + 1)), terms=10)


def test_the_command_prints_and_writes_all_of_it(folder):
    paths = folder / "c.json", folder / "c.html"
    arguments = ["compare", "a", "b", "c", "--runs", str(folder), "--resamples", "20"]
    options = ["--json", str(paths[0]), "--html", str(paths[1])]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    numbers = json.loads(paths[0].read_text())
    value = numbers["tasks"]["all rows"]["auc"][1]
    for text in (result.output, paths[1].read_text()):
        assert f"{value['mean']:.4f} ± {value['deviation']:.4f}" in text
        assert f"{value['difference']['value']:+.4f}" in text
    # The first run stays first, then by AUC: c is better than b.
    places = [result.output.index(f" {name} ") for name in ("lr", "deepfm", "fm")]
    assert places == sorted(places)


def test_other_test_rows_are_refused(folder):
    table = pq.read_table(folder / "b" / "predictions.parquet")
    label = 1 - table["label"].to_numpy()
    table = table.set_column(0, "label", pa.array(label))
    pq.write_table(table, folder / "b" / "predictions.parquet")
    with pytest.raises(ValueError, match="same rows in the same order.*'label'"):
        compare([Run(name, folder) for name in "ab"])


def test_what_cannot_be_compared_is_refused(folder):
    with pytest.raises(ValueError, match="two runs or more"):
        compare([Run("a", folder)])
    with pytest.raises(ValueError, match="must differ"):
        compare([Run("a", folder), Run("a", folder)])
    (folder / "b" / "predictions.parquet").unlink()
    with pytest.raises(ValueError, match="b must have predictions of a binary task"):
        compare([Run(name, folder) for name in "ab"])
    with pytest.raises(ValueError, match="There must be a run 'x'"):
        Run("x", folder)
