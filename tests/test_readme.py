"""The README's programs run as they stand, one after the other."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_programs_of_the_readme_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 6
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
