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


def test_models_and_version():
    run = CliRunner().invoke(app, ["models", "rank"])
    assert run.output.split() == recsys.list_models("rank")
    assert CliRunner().invoke(app, ["--version"]).output.strip() == recsys.__version__


@pytest.mark.parametrize("arguments", [["models", "ranking"], ["nosuch"]])
def test_mistakes_exit_with_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2
