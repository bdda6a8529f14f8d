"""Numbers of training in TensorBoard and MLflow."""

import importlib.util
import json

import pytest
import yaml
from rich.console import Console

from recsys.runs import training
from recsys.runs.running import Stopped, run
from tests.close import close
from tests.runs.planted import config, write_log

QUIET = Console(quiet=True)


@pytest.fixture
def path(tmp_path):
    write_log(tmp_path / "log.csv")
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path / "log.csv")))
    return path


def test_tensorboard_has_each_epoch(path, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    done = run(
        path,
        runs=tmp_path,
        console=QUIET,
        settings=["tracking.tensorboard=true", "training.epochs=2"],
    )
    logs = json.loads((done.folder / "epochs.json").read_text())
    for part, name in (("train", "loss"), ("validation", "val_loss")):
        events = EventAccumulator(str(done.folder / "tensorboard" / part))
        events.Reload()
        points = events.Tensors("epoch_loss")
        found = [float(make_ndarray(each.tensor_proto)) for each in points]
        assert len(found) == 2
        close(found, logs[name], terms=10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own calls
def test_mlflow_has_one_run_of_a_training_that_was_stopped(path, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    settings = ["tracking.mlflow=tried", "training.epochs=3", "training.patience=9"]

    class Dies(training.TrainingProgress):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            if epoch == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(training, "TrainingProgress", Dies)
        run(path, runs=tmp_path, name="a", console=QUIET, settings=settings)
    assert mlflow.active_run() is None
    mine = mlflow.start_run(run_name="mine")  # a program's own is left alone
    done = run(tmp_path / "a" / "config.yaml", resume=True, console=QUIET)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("tried")
    mlflow.end_run()
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id != mine.info.run_id
    assert found.info.status == "FINISHED"
    assert found.info.run_name == str(done.folder)
    logs = json.loads((done.folder / "epochs.json").read_text())
    history = client.get_metric_history(found.info.run_id, "val_auc")
    steps = {each.step: each.value for each in history}
    assert [*steps] == [1, 2, 3]
    close([*steps.values()], logs["val_auc"], terms=1)
    close(found.data.metrics["test_auc"], done.metrics["test"]["auc"], terms=1)
    assert found.data.params["model.name"] == "lr"
    assert found.data.params["training.epochs"] == "3"
    assert mlflow.active_run() is None


@pytest.mark.parametrize("setting", ["tensorboard=true", "mlflow=a"])
def test_a_package_that_is_missing_is_told_before_any_work(
    path, tmp_path, monkeypatch, setting
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--set tracking.*deep-rec-kit\[track\]"):
        run(path, runs=tmp_path, console=QUIET, settings=[f"tracking.{setting}"])
