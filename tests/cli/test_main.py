"""The command line: fast to start, and honest about mistakes."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import recsys
from recsys.cli.main import app


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from recsys.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in ('tensorflow', 'keras', 'ibis') if m in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "demo" in run.stdout and run.stdout.splitlines()[-1] == "[]", run.stderr


def test_models_are_a_table_that_is_never_cut():
    run = CliRunner().invoke(app, ["models", "*fm*"])
    head, *rows = run.output.splitlines()
    assert head.split() == ["name", "family", "year", "title", "tasks", "needs"]
    assert [row.split()[0] for row in rows] == recsys.list_models("*fm*")
    row = next(row for row in rows if row.startswith("deepfm "))
    wanted = ("rank", "2017", "Factorization-Machine based Neural Network", "one_dim")
    assert all(each in row for each in wanted) and max(map(len, rows)) > 100
    assert {row.split()[1] for row in _rows(["models", "match"])} == {"match"}
    every = _rows(["models"])
    assert len(every) == len(recsys.list_models())
    esmm = next(row for row in every if row.startswith("esmm "))
    assert esmm.split()[-1] == "several" and " one " in row


def _rows(command):
    return CliRunner().invoke(app, command).output.splitlines()[1:]


def test_a_model_is_told_with_figure_paper_options_and_needs():
    text = CliRunner().invoke(app, ["models", "DeepFM"]).output
    for each in (
        "https://arxiv.org/abs/1703.04247",
        "fm_fields ──┬─> one weight",
        "recsys.rank.deepfm(dnn_fields",
        "history_agg: How the deep part",
        "- one dim for all fields",
    ):
        assert each in text


def test_a_command_writes_nothing_of_tensorflow():
    run = [sys.executable, "-m", "recsys", "models", "deepfm"]
    found = subprocess.run(run, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "") and "DeepFM" in found.stdout


@pytest.mark.parametrize("end", ["", "    os.abort()"])
def test_other_words_than_notes_are_told_though_the_process_ends(end):
    code = (
        "import os; from recsys.cli.quiet import _without_notes\n"
        "with _without_notes():\n"
        "    os.write(2, b'I0000 a note\\nF0000 a processor is too old\\n')\n"
    )
    command = [sys.executable, "-c", code + end]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stderr == "F0000 a processor is too old\n"
    assert (run.returncode != 0) == bool(end)


def test_version():
    assert CliRunner().invoke(app, ["--version"]).output.strip() == recsys.__version__
    run = [sys.executable, "-m", "recsys", "--version"]
    found = subprocess.run(run, capture_output=True, text=True)
    assert found.stdout.strip() == recsys.__version__, found.stderr


@pytest.mark.parametrize("arguments", [["models", "ranking"], ["nosuch"]])
def test_mistakes_exit_with_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2
