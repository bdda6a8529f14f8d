import subprocess
import sys
from pathlib import Path

import pytest

import recsys.metrics


def test_functions_need_no_tensorflow():
    script = (
        "import sys, recsys.metrics as m; m.auc([0, 1], [0, 1]);"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.stdout == "set()\n", run.stderr


def test_every_name_exists():
    for name in recsys.metrics.__all__:
        assert callable(getattr(recsys.metrics, name))
    assert recsys.metrics.auc is not recsys.metrics.AUC


def test_other_names_do_not():
    with pytest.raises(AttributeError, match="no attribute 'AUK'"):
        recsys.metrics.AUK  # noqa: B018
