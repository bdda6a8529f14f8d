"""Files that earlier commits wrote load, and predict what they did."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys import load_model
from recsys.data import FeaturePipeline
from tests.close import close
from tests.fixtures import write

FIXTURES = Path(__file__).parent / "fixtures"
COMMITS = [path.name for path in FIXTURES.iterdir() if (path / "pipeline").is_dir()]


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("name", write.MODELS)
def test_a_model_of_before(commit, name):
    model = load_model(FIXTURES / commit / f"{name}.keras")
    rows = write.rows()
    found = model.predict({key: rows[key] for key in model.input}, verbose=0)
    found = found if isinstance(found, dict) else {"": found}
    before = np.load(FIXTURES / commit / "predictions.npz")
    of_model = {key for key in before if key.startswith(f"{name}/")}
    assert of_model == {f"{name}/{task}" for task in found}
    for task, value in found.items():  # to the bit where it was written
        close(value, before[f"{name}/{task}"])


@pytest.mark.parametrize("commit", COMMITS)
def test_a_pipeline_of_before(commit):
    pipeline = FeaturePipeline.load(FIXTURES / commit / "pipeline")
    found = pipeline.transform(write.raw())
    before = pq.read_table(FIXTURES / commit / "transformed.parquet")
    assert found.select(before.column_names).to_pydict() == before.to_pydict()
