"""The README's programs run as they stand, one after the other."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from recsys.cli.main import app

README = Path(__file__).parents[1] / "README.md"


def test_the_programs_of_the_readme_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 7
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks))
    run = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert {"din.keras", "pipeline"} <= {path.name for path in tmp_path.iterdir()}


def test_the_schema_of_the_readme_is_one(tmp_path):
    from recsys.data import FeaturePipeline

    (block,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "schema.yaml").write_text(block)
    columns = FeaturePipeline.from_yaml(tmp_path / "schema.yaml").schema.columns
    names = [column.name for column in columns]
    assert names == ["item_id", "genres", "clicks", "orders"]


def test_every_model_is_in_the_readme():
    from recsys.registry import _owners

    for name, family in _owners().items():
        assert f"`recsys.{family}.{name}`" in README.read_text()


def test_the_commands_of_the_readme_exist(tmp_path, monkeypatch):
    text = README.read_text()
    for path in re.findall(r"`(?:python )?(benchmarks/\S+)`", text):
        assert (README.parent / path).exists(), path
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\.\[([\w,]+)\]", text):
        assert {*extras.split(",")} <= project["optional-dependencies"].keys()
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"\bmake ([\w-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target

    (command,) = re.findall(r"^recsys (evaluate .*)$", text, re.MULTILINE)
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 200), rng.random((2, 200))
    monkeypatch.chdir(tmp_path)
    for name, column in zip(("mine", "other"), score, strict=True):
        pq.write_table(pa.table({"label": label, "score": column}), f"{name}.parquet")
    run = CliRunner().invoke(app, shlex.split(command))
    assert run.exit_code == 0, run.output
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
