"""From a file to a run's folder, and what it says of the test rows."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from recsys import metrics
from recsys.cli.main import app
from recsys.runs.finished import Run
from recsys.runs.running import run
from tests.close import close
from tests.runs.planted import config, write_log

QUIET = Console(quiet=True)
FOLDER = {
    ".lock",
    "config.yaml",
    "epochs.json",
    "last.keras",
    "metrics.json",
    "model.keras",
    "pipeline",
    "predictions.parquet",
    "report.html",
    "run.json",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The log's columns, its file and a run of two seeds with a history."""
    folder = tmp_path_factory.mktemp("runs")
    columns = write_log(folder / "log.csv")
    entries = config(folder / "log.csv", training={"seeds": [0, 5]})
    entries["schema"] = {
        **entries["schema"],
        "columns": [
            *entries["schema"]["columns"],
            {
                "kind": "history",
                "name": "seen",
                "of": ["item"],
                "length": 4,
                "user": "user",
                "time": "time",
                "where": {"clicked": 1},
            },
        ],
    }
    path = folder / "first.yaml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    done = run(path, runs=folder / "runs", console=QUIET)
    return columns, path, done


def test_a_run_is_a_folder_of_what_it_made(made):
    _, path, done = made
    assert {each.name for each in done.folder.iterdir()} == FOLDER | {
        "events.parquet",
        "seed-5",
    }
    assert done.folder == path.parent / "runs" / "first"
    assert (path.parent / "runs" / "latest").resolve() == done.folder.resolve()
    record = json.loads((done.folder / "run.json").read_text())
    assert record["finished"] and record["seeds"] == [0, 5]
    assert [*record["data"]] == [str(path.parent / "log.csv")]
    assert record["versions"]["recsys"] and len(record["data"].popitem()[1]) == 64
    assert Run("latest", path.parent / "runs").metrics == done.metrics


def test_the_predictions_of_the_test_rows_are_the_models(made):
    columns, path, done = made
    table = pq.read_table(done.folder / "predictions.parquet")
    late = slice(2700, 3000)  # the last tenth in time
    assert table["label"].to_pylist() == columns["clicked"][late].tolist()
    assert table["group"].to_pylist() == [str(u) for u in columns["user"][late]]
    rows = pa.table({name: values[late] for name, values in columns.items()})
    made_input = done.pipeline.dataset(rows, 64, events=pa.table(columns))
    wanted = done.model.predict(made_input, verbose=0)[:, 0]
    close(table["score"].to_numpy(), wanted, terms=20)
    found = done.metrics["test"]
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    close(found["auc"], metrics.auc(label, score), terms=300)
    close(found["log_loss"], metrics.log_loss(label, score), terms=300)
    assert found["auc"] > 0.75  # the planted signal
    other = json.loads((done.folder / "seed-5" / "metrics.json").read_text())
    assert other["test"]["auc"] != found["auc"] and other["test"]["auc"] > 0.75


def test_the_report_has_what_it_promises(made):
    _, _, done = made
    page = (done.folder / "report.html").read_text()
    assert html.escape(page[-500:]) in done._repr_html_()
    both = [done.metrics["test"]["auc"]]
    both.append(
        json.loads((done.folder / "seed-5" / "metrics.json").read_text())["test"]["auc"]
    )
    assert f"{np.mean(both):.4f} ± {np.std(both, ddof=1):.4f}" in page
    for each in ("Epochs", "Observed rate", "Share of positives", "lr, "):
        assert each in page
    assert "http" not in page


def test_the_report_of_several_tasks_tells_of_experts_and_tables(tmp_path):
    write_log(tmp_path / "log.csv")
    entries = config(
        tmp_path / "log.csv",
        schema={"labels": ["clicked", "dear"]},
        samples={"labels": {"dear": "price > 0"}},
        model={"name": "mmoe", "dim": 4, "arguments": {"num_experts": 3}},
        training={"epochs": 1},
    )
    done = run(entries, name="m", runs=tmp_path, console=QUIET)
    gates = done.metrics["gates"]
    assert len(gates) == 2 and {len(shares) for shares in gates.values()} == {3}
    close([sum(shares) for shares in gates.values()], [1.0, 1.0], terms=100)
    page = (tmp_path / "m" / "report.html").read_text()
    for name, shares in gates.items():
        cells = "".join(f"<td>{share:.3f}</td>" for share in shares)
        assert f"<td>{name}</td>{cells}" in page
    tables = {each["name"]: each for each in done.metrics["tables"]}
    assert {*tables} == {"embedding_user", "embedding_item"}
    for name, each in tables.items():
        values = done.model.get_layer(name).get_weights()[0].astype("float64")
        assert (each["rows"], each["dim"]) == values.shape == (len(values), 4)
        close(each["norm"], np.linalg.norm(values, axis=1).mean(), terms=100)
        singular = np.linalg.svd(values, compute_uv=False)
        close(each["abundance"], singular.sum() / singular[0], terms=1_000)
        assert f"<td>{each['norm']:.4f}</td>" in page
    assert "auc, rates of items alone" in page


def test_scores_of_raw_rows_are_those_of_the_model(made, tmp_path):
    columns, path, done = made
    raw = {n: columns[n][2700:2760] for n in ("item", "user", "price", "time")}
    pyarrow.csv.write_csv(pa.table(raw), tmp_path / "raw.csv")
    output = tmp_path / "scores.parquet"
    runs = ["--runs", str(path.parent / "runs")]
    arguments = ["predict", "first", str(tmp_path / "raw.csv"), "--output", str(output)]
    result = CliRunner().invoke(app, [*arguments, *runs])
    assert result.exit_code == 0, result.output
    table = pq.read_table(output)
    assert table.column_names == ["user", "item", "time", "score"]
    assert table["time"].to_pylist() == raw["time"].tolist()
    tested = pq.read_table(done.folder / "predictions.parquet")["score"][:60]
    close(table["score"].to_numpy(), tested.to_numpy(), terms=20)
    before = (tmp_path / "raw.csv").read_bytes()
    arguments[-1] = str(tmp_path / "raw.csv")
    result = CliRunner().invoke(app, [*arguments, *runs])
    assert result.exit_code == 2 and "must not be a file that is read" in result.output
    assert (tmp_path / "raw.csv").read_bytes() == before
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    arguments[2:] = [str(tmp_path / "odd.csv"), "--output", str(output)]
    result = CliRunner().invoke(app, [*arguments, *runs])
    assert result.exit_code == 2 and "odd.csv: there must be columns" in result.output


def test_evaluating_a_run_is_evaluating_its_predictions(made, tmp_path):
    columns, path, done = made
    rows = {name: values[2700:] for name, values in columns.items()}
    pyarrow.csv.write_csv(pa.table(rows), tmp_path / "rows.csv")
    runs = ["--runs", str(path.parent / "runs"), "--resamples", "0"]
    numbers = tmp_path / "numbers.json"
    arguments = ["evaluate", "first", str(tmp_path / "rows.csv"), "--json"]
    result = CliRunner().invoke(app, [*arguments, str(numbers), *runs])
    assert result.exit_code == 0, result.output
    found = json.loads(numbers.read_text())["tasks"]["all rows"]["metrics"]
    for name in ("auc", "gauc", "log_loss"):
        value = found[name]["files"][0]["value"]
        close(value, done.metrics["test"][name], terms=300), name


def test_a_name_is_taken_once(made):
    _, path, done = made
    with pytest.raises(ValueError, match="first must be new: --name gives another"):
        run(path, name="first", runs=path.parent / "runs", console=QUIET)
    with pytest.raises(ValueError, match="must be that of a folder"):
        run(path, name="latest", runs=path.parent / "runs", console=QUIET)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.name=deepfmm"], "There is no model 'deepfmm'; .*deepfm"),
        (["model.arguments.dropuot=0.1"], "lr has no argument 'dropuot'"),
        (["model.name=star"], "star needs exactly one field of ids.*domain"),
        (["evaluation.metrics=[acu]"], "a metric must be one of"),
        (["evaluation.group=item"], "evaluation.group must be one of schema.groups"),
        (["training.monitor=val_pcoc"], "of which more, or less, is better"),
        (["training.monitor=val_acu"], "training.monitor must be one of the logs"),
        (
            ["training.optimizer=adm"],
            "--set training.optimizer=adm: optimizer must be one of .*nearest: adam",
        ),
        (
            ["training.schedule.by=exponential"],
            r"line \d+: training.schedule.end must be above 0",
        ),
        (["training.optimizer={tower: adam}"], "tower"),
        (
            ["training.loss=hinje"],
            "--set training.loss=hinje: .*a loss of Keras, such as .*'hinje'",
        ),
        (["training.loss={klick: poisson}"], "must be of labels, clicked. .*'klick'"),
        (["data.files=nowhere.csv"], "nowhere.csv"),
        (["split.valid=0.00001"], "each part must have rows"),
        (["schema.labels=[bought]"], "the data must have a column 'bought'"),
        (
            ["schema.labels=[clicked, again]", "samples.labels.again=price > 0"],
            "one task",
        ),
        (["schema.labels=[]", "schema.columns=[]"], "at least one column"),
    ],
)
def test_what_cannot_be_leaves_no_folder(made, settings, said):
    _, path, _ = made
    before = {each.name for each in (path.parent / "runs").iterdir()}
    with pytest.raises((ValueError, OSError), match=said):
        run(path, settings=settings, runs=path.parent / "runs", console=QUIET)
    assert {each.name for each in (path.parent / "runs").iterdir()} == before


def test_a_run_that_was_stopped_goes_on_to_the_same_digits(tmp_path):
    """Stopped by Ctrl-C in the second epoch, in a process of its own."""
    write_log(tmp_path / "log.csv")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config(tmp_path / "log.csv")))
    program = (
        "import os, signal, sys\n"
        "from recsys.runs import training\n"
        "from recsys.cli.main import app\n"
        "class Dies(training.TrainingProgress):\n"
        "    def on_train_batch_end(self, batch, logs=None):\n"
        "        super().on_train_batch_end(batch, logs)\n"
        "        self.count = getattr(self, 'count', 0) + 1\n"
        "        if self.count == 13: os.kill(os.getpid(), signal.SIGINT)\n"
        "training.TrainingProgress = Dies\n"
        "training.SAVE_STEPS = 3\n"
        "sys.argv = ['recsys', 'train', 'run.yaml', '--name', 'a']\n"
        "app()\n"
    )
    stopped = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert stopped.returncode == 130, stopped.stderr[-2000:]
    assert "`recsys train runs/a/config.yaml --resume` goes on" in stopped.stderr
    folder = tmp_path / "runs"
    with pytest.raises(ValueError, match="must be a run that has ended"):
        Run("a", folder)
    other = ["training.epochs=3"]
    with pytest.raises(ValueError, match="Received: other training.epochs"):
        run(folder / "a/config.yaml", settings=other, resume=True, console=QUIET)
    done = run(folder / "a" / "config.yaml", resume=True, console=QUIET)
    whole = run(tmp_path / "run.yaml", name="b", runs=folder, console=QUIET)
    scores = [
        pq.read_table(each.folder / "predictions.parquet")["score"]
        for each in (done, whole)
    ]
    assert scores[0].equals(scores[1])
    assert done.metrics["test"] == whole.metrics["test"]
    assert {e.name for e in done.folder.iterdir()} == FOLDER


def test_predictions_are_rates_of_all_rows_where_negatives_were_left_out(tmp_path):
    """A tenth of the negatives trains; predictions are those of all (PCOC near 1)."""
    columns = write_log(tmp_path / "log.csv", rows=40_000, shift=-3.0)
    entries = config(
        tmp_path / "log.csv",
        training={
            "keep_negatives": 0.1,
            "epochs": 8,
            "batch_size": 128,
            "monitor": "val_log_loss",
        },
    )
    done = run(entries, name="down", runs=tmp_path, console=QUIET)
    train = columns["clicked"][:32_000]
    trained = done.pipeline.vocabulary("item")["count"].to_numpy().sum()
    negatives = trained - train.sum()
    assert abs(negatives / (train == 0).sum() - 0.1) < 0.01
    assert abs(done.metrics["test"]["pcoc"] - 1) < 0.03
    (head,) = done.model.heads.values()
    close(head.logit_shift, np.log(0.1), terms=2)
    rows = done.pipeline.transform(pa.table(columns).slice(0, 50))
    table = {n: rows[n].to_numpy() for n in ("user", "item", "price")}
    inner = done.model(table, training=True).numpy()[:, 0]
    outer = done.model.predict(rows, verbose=0)[:, 0]
    odds = (outer / (1 - outer)) / (inner / (1 - inner))
    close(odds, np.full(50, 0.1), terms=100)
    done.model.export(tmp_path / "saved", verbose=False)
    import tensorflow as tf

    saved = tf.saved_model.load(str(tmp_path / "saved"))  # `serve` does not hold it
    served = saved.serve(table)
    close(served["clicked"].numpy()[:, 0], outer, terms=20)


def test_a_run_is_explained_by_its_columns(made, tmp_path):
    columns, path, _ = made
    rows = {name: values[2000:] for name, values in columns.items()}
    pyarrow.csv.write_csv(pa.table(rows), tmp_path / "rows.csv")
    files = [str(tmp_path / "rows.csv"), "--json", str(tmp_path / "e.json")]
    options = ["--row", "5", "--repeats", "2", "--html", str(tmp_path / "e.html")]
    runs = ["--runs", str(path.parent / "runs")]
    result = CliRunner().invoke(app, ["explain", "first", *files, *options, *runs])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "e.json").read_text())
    order = [each["name"] for each in found["importance"]["clicked"]]
    assert set(order[:2]) == {"item", "price"} and len(order) == 4  # as planted
    assert found["rows"] == [1000, 1000]
    one = found["one"]["clicked"]
    close(sum(one["columns"].values()), one["logit"] - one["start"], terms=1_000)
    past = (columns["user"] == rows["user"][5]) & (columns["time"] < rows["time"][5])
    last = [*map(str, columns["item"][past & (columns["clicked"] == 1)][-4:])]
    assert [name for _, name, _ in one["events"]] == last and last
    assert {history for history, _, _ in one["events"]} == {"seen"}
    of_history = sum(v for n, v in one["columns"].items() if n.startswith("seen"))
    close(sum(adds for *_, adds in one["events"]), of_history, terms=1_000)
    assert "integrated gradients" in (tmp_path / "e.html").read_text()
