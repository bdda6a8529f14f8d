"""`recsys evaluate`: every number is that of the function, in text, JSON and HTML."""

import gzip
import json
import subprocess
import sys
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from recsys import metrics
from recsys.cli.main import app
from recsys.runs.evaluation import evaluating as evaluate
from recsys.runs.evaluation import predictions
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
    (paired,) = click["auc"]["paired"]
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


def test_tabs_are_read_as_commas(tmp_path):
    data = columns()
    comma = write(tmp_path / "a.csv", data)
    tab = tmp_path / "a.tsv"
    tab.write_text(comma.read_text().replace(",", "\t"))
    found = [call(path, "--resamples", "2").output for path in (comma, tab)]
    assert found[0].replace("a.csv", "a.tsv") == found[1]


NAMES = [
    ("007", "7"),
    ("18446744073709551615", "18446744073709551614"),
    ("0x1", "1"),
    ("1e5", "100000"),
    ("true", "1"),
    ("10:00", "10:00:00"),
    ("NA", "nan"),
    (" 1", "1"),
]


@pytest.mark.parametrize("texts", NAMES)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_names_are_texts(tmp_path, texts, ending):
    path = tmp_path / f"m.{ending}"
    lines = ["label,score,group,task,domain"]
    lines += [",".join(["1", ".5", *[text] * 3]) for text in texts]
    mark = {"csv": ",", "tsv": "\t"}[ending]
    path.write_text("\n".join(lines).replace(",", mark))
    found = predictions.read(path)
    for column in (found.group, found.task, found.domain):
        assert tuple(column) == texts


def test_integers_among_names_are_in_order(tmp_path):
    data = {"label": [1.0, 0.0], "score": [0.5, 0.2], "task": [10, 9]}
    path = write(tmp_path / "m.csv", data)
    out = tmp_path / "m.json"
    assert call(path, "--resamples", 0, "--json", out).exit_code == 0
    assert [*json.loads(out.read_text())["tasks"]] == ["9", "10"]


@pytest.mark.parametrize(
    "names",
    [
        *([1, 2], ["1", "2"], [True, False], ["a", "b"], [1.5, 2.0]),
        [Decimal("1.00"), Decimal("2.50")],
        [date(2024, 1, 5), date(2024, 1, 6)],
    ],
    ids=str,
)
def test_names_of_two_files_may_be_of_two_types(tmp_path, names):
    data = {"label": [1.0, 0.0], "score": [0.5, 0.2], "domain": names}
    texts = [str(name) for name in names]
    a = write(tmp_path / "a.parquet", data)
    b = write(tmp_path / "b.csv", {**data, "domain": texts})
    c = write(tmp_path / "c.csv", {**data, "domain": [texts[0], texts[0]]})
    for files in ([a, b], [b, a]):
        run = call(*files, "--resamples", 0)
        assert run.exit_code == 0, run.output
    for files in ([a, c], [b, c]):
        run = call(*files, "--resamples", 0)
        shown = [each.lower() if each in ("True", "False") else each for each in texts]
        wanted = f"'domain' is {shown[1]} in row 1 in {files[0]}, {shown[0]} in {c}"
        assert run.exit_code == 2 and wanted in run.output


def test_names_beyond_the_integers_of_floats_are_told_apart(tmp_path):
    data = {"label": [1.0, 0.0], "score": [0.5, 0.2]}
    one = write(tmp_path / "a.parquet", {**data, "group": [2**53 + 1, 1]})
    other = write(tmp_path / "b.parquet", {**data, "group": [2.0**53, 1.0]})
    run = call(one, other, "--resamples", 0)
    assert run.exit_code == 2 and f"is {2**53 + 1} in row 0" in run.output
    for least, most in ((0, 2**53 + 1), (-(2**63), 0), (0, 2**60), (0, 2**64 - 1)):
        kind = pa.uint64() if most > 2**62 else pa.int64()
        scores = {"label": [1, 0], "score": pa.array([least, most], kind)}
        run = call(write(tmp_path / "c.parquet", scores), "--scale", "any")
        wanted = "column 'score' must hold integers from -2^53 to 2^53. "
        wanted += f"Received: {least} to {most}"
        assert run.exit_code == 2 and wanted in " ".join(run.output.split())


def test_flags_are_one_however_they_are_written_but_not_among_names(tmp_path):
    path = tmp_path / "m.csv"
    for texts, wanted in (
        (["True", "False"], ["true", "false"]),
        (["true", "false"], ["true", "false"]),
        (["True", "true"], ["True", "true"]),
        (["True", "TRUE"], ["True", "TRUE"]),
        (["True", "other"], ["True", "other"]),
        (["TRUE", "TRUE"], ["true", "true"]),
    ):
        lines = ["label,score,group", *(f"1,.5,{text}" for text in texts)]
        path.write_text("\n".join(lines))
        assert predictions.read(path).group.tolist() == wanted


@pytest.mark.parametrize("name", ["m.CSV.GZ", "m.tsv.Gz"])
def test_endings_of_packed_files_may_be_capital(tmp_path, name):
    plain = write(tmp_path / "plain.csv", columns())
    text = plain.read_text()
    text = text if "CSV" in name else text.replace(",", "\t")
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    found = [predictions.read(each).columns() for each in (tmp_path / name, plain)]
    np.testing.assert_equal(*found)


@pytest.mark.parametrize("name", ["m.PARQUET", "m.Pq", "m.TSV", "m.csv.tsv", "m.CSV"])
def test_endings_may_be_capital(tmp_path, name):
    data = columns()
    plain, path = write(tmp_path / "plain.csv", data), tmp_path / name
    if name in ("m.PARQUET", "m.Pq"):
        write(tmp_path / "m.parquet", data).rename(path)
    else:
        mark = "," if name == "m.CSV" else "\t"
        path.write_text(plain.read_text().replace(",", mark))
    found = [predictions.read(each).columns() for each in (path, plain)]
    np.testing.assert_equal(*found)


def test_mistakes_exit_with_2_and_say_why(tmp_path):
    data = columns()
    good = write(tmp_path / "good.parquet", data)
    changed = write(tmp_path / "b.parquet", {**data, "group": data["group"] + 1})
    first = data["group"][0]
    labels = {name: data[name] for name in ("label", "score")}
    plain = write(tmp_path / "g.parquet", labels)
    fewer = write(tmp_path / "c.csv", {"label": [1.0], "score": [0.5]})
    logits = write(tmp_path / "d.csv", {"label": [1.0], "score": [5.0]})
    words = write(tmp_path / "e.csv", {"label": ["a"], "score": [0.5]})
    nothing = write(tmp_path / "f.csv", {"label": [1.0]})
    for files, message in [
        ([good, changed], f"is {first} in row 0 in {good}, {first + 1} in {changed}"),
        ([good, fewer], f"'label' is of 400 rows in {good}, of 1 rows in {fewer}"),
        ([good, plain], f"'group' is of 400 rows in {good}, absent in {plain}"),
        ([logits], "--scale logit"),
        ([words], "row 0: CSV conversion error to double: invalid value 'a'"),
        ([nothing], "there must be one column 'score'. Received: columns ['label']"),
        ([tmp_path / "absent.csv"], "absent.csv"),
        ([good, tmp_path / ".." / tmp_path.name / good.name], "Received twice"),
    ]:
        run = call(*files)
        assert run.exit_code == 2 and message in run.output
        assert run.output.count("\n") == 1 and str(files[-1]) in run.output


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


MISTAKES = {
    "doubled column": ("label,score,label\n1,.5,0\n", "one column 'label'. Received"),
    "header only": ("label,score\n", "there must be rows. Received: none"),
    "header only, task": ("label,score,task\n", "there must be rows. Received: none"),
    "ragged": ("label,score\n1,.5\n0,.5,3\n", "row 1: Expected 2 columns, got 3"),
    "NaN": ("label,score\n1,.5\n0,nan\n", "scores must be there where labels are"),
    "infinite": ("label,score\n1,.5\n0,inf\n", "scores from 0.5 to inf"),
    "no labels": ("label,score\n,.5\n,\n", "there must be labels. Received: none in 2"),
    "words": (
        "label,score\n1,.5\n0,x\n",
        "row 1: CSV conversion error to double: inv",
    ),
    "times": ("label,score\n1,2020-01-01\n", "invalid value '2020-01-01'"),
    "labels": (
        "label,score\n1,.5\n2,.5\n",
        "labels must be 0, 1 or empty. Received: 2",
    ),
    "weights": (
        "label,score,weight\n1,.5,-1\n",
        "weights must be finite and at least 0",
    ),
    "no weight": (
        "label,score,weight\n1,.5,\n",
        "weights must be finite and at least 0",
    ),
    "gap": (
        "label,score,group\n1,.5,3\n0,.5,\n",
        "'group' must have no gaps. Received",
    ),
    "no task": (
        "label,score,task\n1,.5,a\n0,.5,\n",
        "'task' must have no gaps. Received: 1",
    ),
    "empty": ("", "Empty CSV file"),
    "latin-1": (
        b"label,score,group\n1,.5,a\n0,.5,\xe9\n",
        "row 1: CSV conversion error to string: invalid UTF8 data",
    ),
    "latin-1 columns": (b"label,score,\xe9\n1,.5,a\n", "Cannot read "),
    "parquet": (b"PAR1\x15\xe0\nPAR1", "Cannot read "),
}
ODD = {
    "list scores": ({"score": [[0.5], [0.5]]}, "column 'score' must hold numbers. Rec"),
    "time scores": (
        {"score": pa.array([1, 2], "time32[s]")},
        "'score' must hold numbers",
    ),
    "days": (
        {"score": pa.array([0, 1], "date32")},
        "'score' must hold numbers. Received",
    ),
    "list groups": ({"group": [[1], [2]]}, "column 'group' must hold names. Received"),
    "bytes": ({"group": [b"a", b"\xe9"]}, "'group' must hold names. Received: binary"),
    "NaN groups": ({"group": [1.0, np.nan]}, "'group' must have no gaps. Received: 1"),
    "no score": ({"score": [0.5, None]}, "scores must be there where labels are"),
}


def check_mistake(path, message, *options):
    run = call(path, *options)
    assert run.exit_code == 2 and message in run.output, run.output
    assert run.output.count("\n") == 1 and str(path) in run.output


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_in_csv_files_are_one_line(tmp_path, kind):
    text, message = MISTAKES[kind]
    path = tmp_path / f"{'long' * 30} [red].csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    check_mistake(path, message)


@pytest.mark.parametrize("kind", ODD)
def test_mistakes_in_parquet_files_are_one_line(tmp_path, kind):
    columns, message = ODD[kind]
    path = tmp_path / "m.parquet"
    table = pa.table({"label": [1.0, 0.0], "score": [0.5, 0.2]} | columns)
    pa.parquet.write_table(table, path)
    check_mistake(path, message)
    pa.parquet.write_table(
        pa.concat_tables([table]).append_column("score", [[1, 2]]), path
    )
    check_mistake(path, "there must be one column 'score'")
    path.write_bytes(path.read_bytes()[:-9])
    check_mistake(path, f"Cannot read {path}: ")


def test_files_that_are_not_there_are_one_line(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path / "absent.parquet", tmp_path):
        check_mistake(path, "there must be a file of that name")
    path = write(tmp_path / "m.csv", {"label": [1.0], "score": [0.5]})
    check_mistake(tmp_path, "Received: a folder")
    run = call(path, "--resamples", 0, "--json", tmp_path / "no" / "m.json")
    assert run.exit_code == 2 and "must be in a folder that is there" in run.output
    for option in ("--json", "--html"):
        run = call(path, "--resamples", 0, option, path)
        assert run.exit_code == 2 and "must not be a file that is read" in run.output
        assert path.read_text().startswith('"label","score"')
        run = call(path, "--resamples", 0, option, tmp_path)
        assert run.exit_code == 2 and "must be a file to write. Rec" in run.output
        assert run.output.count("\n") == 1 and str(tmp_path) in run.output
    both = ("--json", tmp_path / "o", "--html", tmp_path / "." / "o")
    run = call(path, "--resamples", 0, *both)
    assert run.exit_code == 2 and f"Received twice: {tmp_path / 'o'}" in run.output
    assert not (tmp_path / "o").exists()
    (tmp_path / "link.json").hardlink_to(path)
    run = call(path, "--resamples", 0, "--json", tmp_path / "link.json")
    assert run.exit_code == 2 and "must not be a file that is read" in run.output
    run = call(path, path)
    assert run.exit_code == 2 and f"Received twice: {path}" in run.output


def test_names_are_no_markup(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.console, "_width", 80)
    data = columns()
    names = ["[/]", "[red]a[/red]", ":smile:"]
    data["task"] = np.array(names)[np.arange(400) % 3]
    data["domain"] = np.array([f"{name} {'long' * 30}" for name in data["task"]])
    path = write(tmp_path / "m[0].csv", data)
    run = call(path, "--resamples", 2)
    assert run.exit_code == 0, run.output
    for text in (*names, *np.unique(data["domain"]), "m[0].csv"):
        assert text in run.output


def test_wide_tables_are_not_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.console, "_width", 80)
    paths = [
        write(tmp_path / f"{i}_{'long' * 20}.csv", columns(0.1 + i)) for i in range(5)
    ]
    page = tmp_path / "r.html"
    run = call(*paths, "--resamples", 3, "--html", page)
    assert run.exit_code == 0 and "…" not in run.output
    header = next(line for line in run.output.splitlines() if "metric" in line)
    assert all(path.name in header for path in paths)
    assert page.read_text().count("<polyline") == 2 * 2 * (5 + 1)


def test_several_files_are_compared_with_the_first(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    data = [columns(noise) for noise in (0.3, 3.0, 9.0)]
    paths = [
        write(folder / "m.csv", each)
        for folder, each in zip(folders, data, strict=True)
    ]
    out, page = tmp_path / "m.json", tmp_path / "r.html"
    run = call(*paths, "--resamples", 20, "--json", out, "--html", page)
    assert run.exit_code == 0, run.output
    found = json.loads(out.read_text())["tasks"]["click"]["metrics"]["auc"]
    values = [file["value"] for file in found["files"]]
    assert len(values) == 3 and len({*values}) == 3
    for value, pair in zip(values[1:], found["paired"], strict=True):
        close(pair["value"], value - values[0])
        assert pair["low"] <= pair["value"] <= pair["high"] and 0 < pair["p"] <= 1
    for path in paths[1:]:  # whose names are equal but for the folder
        assert f"difference of {path}" in run.output
    assert page.read_text().count("<polyline") > 3


def test_without_resamples_there_are_no_intervals(tmp_path):
    paths = [write(tmp_path / f"m{i}.csv", columns(i + 0.1)) for i in range(2)]
    out = tmp_path / "m.json"
    run = call(*paths, "--resamples", 0, "--json", out)
    assert run.exit_code == 0, run.output
    text = run.output.replace("Undefined values are nan", "")
    assert "95 %" not in text and "resamples of" not in text
    tables = [line for line in text.splitlines() if line.startswith("│ log_loss")]
    assert tables and not any("nan" in line for line in tables)
    found = json.loads(out.read_text())["tasks"]["click"]["metrics"]["log_loss"]
    assert found["files"][0]["low"] is None and found["paired"][0]["p"] is None
