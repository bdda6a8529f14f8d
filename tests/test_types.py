"""Types that say something, `typings` too: nonsense is an error of mypy."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

SENSE = """
from collections.abc import Sequence

import keras

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.rank.deepfm import deepfm


def sense(fields: Sequence[Field], vector: keras.KerasTensor) -> None:
    deepfm(fields).fit({}, epochs=2)
    first = 2 * Tower((3,))(vector, training=True)[:, 0] + 7
    first > FieldEmbedder(fields)(fields).concat()
    predict(Task("a"), [vector, vector])
"""

NONSENSE = """

def nonsense(fields: Sequence[Field], vector: keras.KerasTensor) -> None:
    deepfm(fields).no_such_method()  # attr-defined
    Tower((3,)).no_such(4)  # attr-defined
    FieldEmbedder(fields)(fields).concat() + 7 + "a"  # operator
    predict(Task("a"), 17)  # call-overload
    Tower((3,))(vector, no_such=4)  # call-arg
    Tower((3,))("a") + 1  # arg-type
    keras.ops.sqaure(vector)  # attr-defined
    keras.layers.Dense(3).no_such  # attr-defined
"""


def test_nonsense_is_an_error_and_sense_is_none(tmp_path):
    path = tmp_path / "snippet.py"
    path.write_text(SENSE + NONSENSE)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = re.findall(r"snippet\.py:(\d+): error: .*\[([a-z-]+)\]", run.stdout)
    lines = enumerate((SENSE + NONSENSE).splitlines(), 1)
    wanted = [(str(n), kind) for n, s in lines for kind in re.findall("  # (.+)", s)]
    assert wanted and found == wanted, run.stdout + run.stderr
