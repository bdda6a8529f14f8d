"""`recsys evaluate`: every number is that of the function, in text, JSON and HTML."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from recsys import metrics
from recsys.cli import evaluate
from recsys.cli.main import app
from tests.close import close


def columns(noise=0.3, num=400):
    rng = np.random.default_rng(0)
    z = rng.normal(size=num)
    label = (rng.random(num) < 1 / (1 + np.exp(-z))).astype(float)
    label[::40] = np.nan
    z = z + np.random.default_rng(1).normal(size=num) * noise
    domain = rng.choice(["feed", "search"], num)
    task = rng.choice(["buy", "click"], num)
    label[(task == "buy") & (domain == "feed")] = 0  # no AUC there
    return {
        "label": label,
        "score": 1 / (1 + np.exp(-z)),
        "group": rng.integers(0, 30, num),
        "weight": rng.choice([0.5, 1, 2], num),
        "task": task,
        "domain": domain,
    }


def write(path, data):
    table = pa.table(
        {
            name: pa.array(column, from_pandas=True)  # NaN is an empty cell
            for name, column in data.items()
        }
    )
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pa.parquet.write_table(table, path)
    return path


def call(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(evaluate.console, "_width", 250)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_files(tmp_path, suffix):
    paths, data = [], []
    for i, noise in enumerate((0.3, 3.0)):
        data.append(columns(noise))
        paths.append(write(tmp_path / f"m{i}.{suffix}", data[-1]))
    out, page = tmp_path / "m.json", tmp_path / "r.html"
    run = call(*paths, "--resamples", 40, "--k", 3, "--json", out, "--html", page)
    assert run.exit_code == 0, run.output
    found = json.loads(out.read_text())
    assert list(found["tasks"]) == ["buy", "click"]
    for task, result in found["tasks"].items():
        for i, each in enumerate(data):
            mine = each["task"] == task
            rows = {key: column[mine] for key, column in each.items()}
            given = {"sample_weight": rows["weight"], "groups": rows["group"]}
            for name, numbers in result["metrics"].items():
                wanted = metrics.NamedMetric(name)(
                    rows["label"], rows["score"], **given
                )
                file = numbers["files"][i]
                close(file["value"], wanted, terms=10**6, dtype="float64")
                if name not in ("ece", "mce"):
                    assert file["low"] <= file["value"] <= file["high"], name
            table = metrics.breakdown(
                metrics.NamedMetric("auc"),
                rows["label"],
                rows["score"],
                by=rows["domain"],
                **given,
            )
            domains = result["domains"]["auc"][i]
            close(domains["macro"], table.macro())
            close(domains["weighted"], table.weighted())
            assert domains["skipped"] == table.skipped()
            for name, value in table.values.items():
                if np.isnan(value):
                    assert domains["values"][name] is None
                else:
                    close(domains["values"][name], value)
        assert "ndcg@3" in result["metrics"] and "log_loss" in result["metrics"]
    assert found["tasks"]["buy"]["domains"]["auc"][0]["skipped"] == ["feed"]
    click = found["tasks"]["click"]["metrics"]
    paired = click["auc"]["paired"]
    values = [file["value"] for file in click["auc"]["files"]]
    close(paired["value"], values[1] - values[0])
    assert paired["high"] < 0 and paired["p"] < 0.06
    of_tasks = [
        task["metrics"]["auc"]["files"][0]["value"] for task in found["tasks"].values()
    ]
    macro = found["means_over_tasks"]["auc"]["macro"]
    close(macro, np.mean(of_tasks))

    text, html = run.output, page.read_text()
    for value in (f"{values[0]:.4f}", f"{paired['value']:.4f}", "gauc by domain"):
        assert value in text and value in html
    assert html.count("<svg") == 4 and "Share of positives" in html
    assert "http" not in html  # self-contained


def test_label_and_score_are_enough(tmp_path):
    data = columns()
    kept = {name: data[name] for name in ("label", "score")}
    path = write(tmp_path / "m.csv", kept)
    run = call(path, "--resamples", 10, "--json", tmp_path / "m.json")
    result = json.loads((tmp_path / "m.json").read_text())["tasks"]["all rows"]
    assert run.exit_code == 0 and "gauc" not in result["metrics"]
    close(
        result["metrics"]["pcoc"]["files"][0]["value"],
        metrics.pcoc(data["label"], data["score"]),
    )


def test_logits_and_scores_of_any_kind(tmp_path):
    data = columns()
    p = data["score"].copy()
    data["score"] = np.log(p / (1 - p))
    path = write(tmp_path / "m.parquet", data)
    out = tmp_path / "m.json"
    few = ("--resamples", 2, "--json", out)
    assert call(path, "--scale", "logit", *few).exit_code == 0
    found = json.loads(out.read_text())["tasks"]["click"]["metrics"]
    mine = data["task"] == "click"
    close(
        found["log_loss"]["files"][0]["value"],
        metrics.log_loss(
            data["label"][mine], p[mine], sample_weight=data["weight"][mine]
        ),
    )
    assert call(path, "--scale", "any", *few).exit_code == 0
    found = json.loads(out.read_text())["tasks"]["click"]["metrics"]
    assert "log_loss" not in found and "ndcg@10" in found


def test_mistakes_exit_with_2_and_say_why(tmp_path):
    data = columns()
    good = write(tmp_path / "good.parquet", data)
    changed = write(tmp_path / "b.parquet", {**data, "group": data["group"] + 1})
    fewer = write(tmp_path / "c.csv", {"label": [1.0], "score": [0.5]})
    logits = write(tmp_path / "d.csv", {"label": [1.0], "score": [5.0]})
    words = write(tmp_path / "e.csv", {"label": ["a"], "score": [0.5]})
    nothing = write(tmp_path / "f.csv", {"label": [1.0]})
    for files, message in [
        ([good, changed], "column 'group'"),
        ([good, fewer], "column 'label'"),
        ([logits], "--scale logit"),
        ([words], "'label' must hold numbers"),
        ([nothing], "'score' is missing"),
        ([tmp_path / "absent.csv"], "absent.csv"),
    ]:
        run = call(*files)
        flat = " ".join(run.output.replace("│", " ").split())
        assert run.exit_code == 2 and message.replace(" ", "") in flat.replace(" ", "")


def test_it_needs_no_tensorflow(tmp_path):
    path = write(tmp_path / "m.csv", {"label": [1.0, 0.0], "score": [0.5, 0.2]})
    code = (
        "import sys; from recsys.cli.main import app\n"
        f"try: app(['evaluate', {str(path)!r}, '--resamples', '2'])\n"
        "except SystemExit: pass\n"
        "print({'keras', 'tensorflow', 'ibis'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "set()", run.stderr
