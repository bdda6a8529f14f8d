"""The README's programs run as they stand, one after the other."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from recsys import load_model
from recsys.cli.main import app
from recsys.data import click_log

README = Path(__file__).parents[1] / "README.md"


def test_the_programs_of_the_readme_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 9
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks))
    run = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert {"din.keras", "pipeline"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.all
def test_training_killed_at_any_step_ends_with_the_digits_of_one_that_was_not(tmp_path):
    """As the README says, with its own program, which is killed twice."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (use,) = re.findall(r"`(callbacks=\[recsys.*?\])`", README.read_text())
    fit = "model.fit(train, validation_data=valid, epochs=2"
    program = "\n".join(blocks[1:3])
    assert program.count(fit) == 1 and "save_freq=1000" in use
    program = program.replace(fit, f"{fit}, {use.replace('1000', '7')}")
    dying = program.replace("callbacks=[", "callbacks=[Die(), ")
    (tmp_path / "program.py").write_text(SEEDED + program)
    (tmp_path / "dying.py").write_text(SEEDED + DIE + dying)

    def run(folder, name, seed, kill_at=0):
        (tmp_path / folder).mkdir(exist_ok=True)
        environment = {"SEED": str(seed), "KILL_AT": str(kill_at)}
        return subprocess.run(
            [sys.executable, tmp_path / name],
            cwd=tmp_path / folder,
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
        )

    for seed, at in ((1, 17), (2, 43)):  # of 32 steps an epoch
        assert run("killed", "dying.py", seed, at).returncode == -9
    ends = {}
    for seed, folder in ((3, "killed"), (1, "whole")):
        done = run(folder, "program.py", seed)
        assert done.returncode == 0, done.stderr[-3000:]
        assert ("goes on in epoch 2" in done.stdout) == (folder == "killed")
        ends[folder] = load_model(tmp_path / folder / "din.keras").get_weights()
    for one, other in zip(*ends.values(), strict=True):
        np.testing.assert_array_equal(one, other)


SEEDED = """
import os, signal, keras

keras.utils.set_random_seed(int(os.environ["SEED"]))
"""
DIE = """
class Die(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)

"""


def test_the_first_commands_of_the_readme_run_and_print_what_it_says(
    tmp_path, monkeypatch
):
    text = README.read_text()
    block = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[0]
    commands = [line.partition(" #")[0].split() for line in block.splitlines()]
    assert {command[0] for command in commands} == {"recsys"}
    monkeypatch.chdir(tmp_path)
    log = pa.table(click_log(20_000))
    pq.write_table(log.slice(0, 18_000), "log.parquet")
    pq.write_table(log.slice(18_000), "later.parquet")
    pq.write_table(log.slice(18_000).drop_columns(["label", "logit"]), "new.parquet")
    (said,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    for place, (_, *command) in enumerate(commands):
        if place == 1:  # fewer rows for what takes long
            pq.write_table(log.slice(0, 3_000), "log.parquet")
        command = ["2" if each == "20" else each for each in command]  # trials
        run = CliRunner().invoke(app, command)
        assert run.exit_code == 0, f"{command}: {run.output}"
        if not place:
            assert run.output == said
    assert pq.read_table("scores.parquet").column_names == [
        "user_id",
        "item_id",
        "timestamp",
        "score",
    ]


def test_the_schema_of_the_readme_is_one(tmp_path):
    from recsys.data import FeaturePipeline

    (block,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "schema.yaml").write_text(block)
    columns = FeaturePipeline.from_yaml(tmp_path / "schema.yaml").schema.columns
    names = [column.name for column in columns]
    assert names == ["item_id", "genres", "clicks", "orders"]


def test_names_of_the_readme_are_there_after_import_recsys():
    text = README.read_text().replace("| `recsys.", "| ")  # of the models' modules
    names = sorted({*re.findall(r"\brecsys(?:\.\w+)+", text)})
    imported = re.findall(r"^(?:from|import) (recsys\S*)", text, re.MULTILINE)
    code = "\n".join(["import recsys", *(n for n in names if n not in imported)])
    assert "recsys.train.callbacks.Resume" in code
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


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

    (command,) = re.findall(r"^recsys (evaluate mine.*)$", text, re.MULTILINE)
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 200), rng.random((2, 200))
    monkeypatch.chdir(tmp_path)
    for name, column in zip(("mine", "other"), score, strict=True):
        pq.write_table(pa.table({"label": label, "score": column}), f"{name}.parquet")
    run = CliRunner().invoke(app, shlex.split(command))
    assert run.exit_code == 0, run.output
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
