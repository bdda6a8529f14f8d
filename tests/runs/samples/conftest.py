"""What the tests of samples share."""

import pytest

from recsys.runs.samples.engine import embedded


@pytest.fixture
def engine(tmp_path):
    with embedded(tmp_path / "scratch") as engine:
        yield engine
