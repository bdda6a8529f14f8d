"""Trials of a space: what is known to be best is found, and a study goes on."""

import gc
import json
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from recsys.cli.main import app
from recsys.data import FeaturePipeline
from recsys.runs import bench, preparing, run, tune
from recsys.runs.reading import read_config
from recsys.runs.tuning import trials as of_trials
from recsys.runs.tuning.space import check_space, distributions_of, values_of
from tests.runs.planted import config, write_log
from tests.runs.planted_choices import choices, write_choices

QUIET = Console(quiet=True)
ARGUMENT = "model.arguments.hidden_units: [[4], [8, 4]]"
RATES = {"training.learning_rate": [1e-9, 0.05]}
FILE = """data: {files: log.csv, user: user, item: item, time: time}
schema:
  columns:
  - {kind: categorical, name: user}
  - {kind: categorical, name: item, belong: item}
  labels: [clicked]
model: {name: deepfm}
training: {epochs: 1}
tuning:
  trials: 3
  space:
    model.dim: {low: 2, high: 8}
    KEY: VALUE
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A file of which the rate is known, in a folder with the log."""
    folder = tmp_path_factory.mktemp("tune")
    write_log(folder / "log.csv")
    entries = config(
        folder / "log.csv",
        training={"monitor": "val_log_loss"},
        tuning={"trials": 2, "space": RATES, "seed": 1},
    )
    (folder / "run.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    return folder / "run.yaml"


@pytest.fixture
def planted(monkeypatch):
    """Has trials train on nothing: what is yielded is called in place of `fit`.

    It is given the learning rate, and what is to see the logs of an epoch.
    """
    monkeypatch.setattr(preparing, "prepare", lambda *of: [])
    monkeypatch.setattr(FeaturePipeline, "load", lambda path: None)
    monkeypatch.setattr(gc, "collect", lambda: None)  # slow, and nothing is left

    def plant(scored):
        def fit(read, pipeline, samples, judge, seed, console, callbacks, trial):
            scored(read.config.training.learning_rate, *callbacks)

        monkeypatch.setattr(of_trials, "fit", fit)

    return plant


class Killed(BaseException):
    """What no code of the library catches."""


def untold(found):
    """What is the same however often the study was stopped."""
    return [(t.number, t.values, t.state, t.score, t.epochs) for t in found.trials]


def test_the_best_is_found_trained_again_and_the_study_goes_on(log, tmp_path):
    told = Console(record=True, width=200)
    found = tune(log, runs=tmp_path, console=told)
    assert found.folder == tmp_path / "run-tune" and len(found.trials) == 2
    assert found.best.values == {"training.learning_rate": 0.05}
    assert {trial.values["training.learning_rate"] for trial in found.trials} == {
        1e-9,
        0.05,
    }
    said = told.export_text()
    for trial in found.trials:
        rate = f"{trial.values['training.learning_rate']:.4g}"
        line = f"trial {trial.number}: training.learning_rate={rate}: val_log_loss "
        assert f"{line}{trial.score:.4f}, 2 epochs" in said
    assert " left\n" in said and f"recsys train {found.config}\n" in said
    assert {each.name for each in found.folder.iterdir()} == {
        ".lock",
        "best.yaml",
        "config.yaml",
        "pipeline",
        "report.html",
        "samples",
        "study.db",
    }
    page = (found.folder / "report.html").read_text()
    assert "best so far" in page and page.count("<tr>") == 3 and "http" not in page
    # The file is that of the run that was tried, to the last digit.
    text = found.config.read_text()
    assert "# The best of 2 trials" in text
    assert "#   training.learning_rate: 0.05\n" in text
    done = run(found.config, runs=tmp_path, console=QUIET)
    epochs = json.loads((done.folder / "epochs.json").read_text())["val_log_loss"]
    assert min(epochs) == found.best.score
    # A total of three is one more.
    more = tune(log, trials=3, runs=tmp_path, console=told)
    assert untold(more)[:2] == untold(found) and len(more.trials) == 3
    assert "2 of 3 trials are there" in told.export_text()
    assert tune(found.folder / "config.yaml", console=QUIET) == more
    with pytest.raises(ValueError, match=r"the same .*Received: other tuning.seed"):
        tune(log, settings=["tuning.seed=5"], runs=tmp_path, console=QUIET)
    with pytest.raises(ValueError, match="best must be new"):
        tune(log, name="best", runs=tmp_path, console=QUIET)


def test_a_trial_that_was_killed_is_run_again(log, tmp_path, planted):
    """With the values it had, and so does all that follows."""
    space = "tuning.space={training.learning_rate: {low: 0.001, high: 0.1, log: true}}"
    options = {"settings": [space, "tuning.pruning=false"], "trials": 12}
    calls, dies = [], 0

    def scored(rate, seen):
        calls.append(rate)
        for epoch in range(2):
            loss = abs(np.log(rate / 0.02)) + 1 / (epoch + 1)
            seen.on_epoch_end(epoch, {"loss": loss, "val_log_loss": loss})
            if len(calls) == dies:
                raise Killed

    planted(scored)
    whole = tune(log, name="whole", runs=tmp_path, console=QUIET, **options)
    rates = [trial.values["training.learning_rate"] for trial in whole.trials]
    assert len({*rates}) == 12 and calls == rates  # none is drawn twice
    calls, dies = [], 12
    with pytest.raises(Killed):
        tune(log, name="killed", runs=tmp_path, console=QUIET, **options)
    best = read_config(tmp_path / "killed" / "best.yaml").config
    assert best.training.learning_rate in rates  # of what is there
    dies = 0
    again = tune(log, name="killed", runs=tmp_path, console=QUIET, **options)
    assert untold(again) == untold(whole)
    assert calls == [*rates, rates[-1]]
    assert abs(np.log(again.best.values["training.learning_rate"] / 0.02)) < 0.7


def test_a_trial_that_is_worse_than_the_median_is_pruned(log, tmp_path, planted):
    """The first five are whole, the next two fall behind their median."""
    scores = [[3.0, 2.0]] * 5 + [[3.0, 2.5], [4.0, 1.0], [1.0, 0.5]]

    def scored(rate, seen):
        begun.append(rate)
        for epoch, score in enumerate(scores[len(begun) - 1]):
            seen.on_epoch_end(epoch, {"loss": 1.0, "val_log_loss": score})

    planted(scored)
    told, begun = Console(record=True, width=200), []
    options = {"trials": 8, "runs": tmp_path, "console": told}
    found = tune(log, **options)
    states = [trial.state for trial in found.trials]
    assert states == ["whole"] * 5 + ["pruned", "pruned", "whole"]
    assert [trial.epochs for trial in found.trials[5:]] == [2, 1, 2]
    assert [trial.score for trial in found.trials[5:]] == [2.5, 4.0, 0.5]
    assert found.best.number == 8 and found.ranked[-1].number == 7
    said = told.export_text()
    assert "val_log_loss 4.0000, 1 epochs, pruned" in said
    assert "8 trials, of which 2 were pruned and 0 failed" in said
    begun = []
    found = tune(log, name="all", settings=["tuning.pruning=false"], **options)
    assert [trial.state for trial in found.trials] == ["whole"] * 8
    assert found.trials[6].score == 1.0


def test_what_fails_is_told_and_the_study_goes_on(log, tmp_path):
    told = Console(record=True, width=400)
    space = "tuning.space={training.loss: [binary_crossentropy, ctc]}"
    own = ["training.epochs=1", space, "tuning.seed=1"]
    found = tune(log, trials=2, settings=own, runs=tmp_path, console=told)
    (failed,) = (trial for trial in found.trials if trial.state == "failed")
    assert failed.values == {"training.loss": "ctc"} and failed.epochs == 0
    assert failed.reason and np.isnan(failed.score)
    assert found.best.values == {"training.loss": "binary_crossentropy"}
    said = told.export_text()
    assert f"failed: {failed.reason}" in said and "and 1 failed" in said
    assert "failed: " in (found.folder / "report.html").read_text()


def test_a_loss_that_is_no_number_fails_and_if_all_do_nothing_is_left(
    log, tmp_path, planted
):
    def scored(rate, seen):
        seen.on_epoch_end(0, {"loss": float("nan"), "val_log_loss": 1.0})

    planted(scored)
    with pytest.raises(ValueError, match="2 trials of lr.*loss is nan in epoch 1"):
        tune(log, name="none", runs=tmp_path, console=QUIET)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.learning_rate", "{low: 0.0, high: 0.1}", "greater than 0.*: 0.0"),
        ("training.learning_rate", "[0.1, fast]", "valid number.*'fast'"),
        ("training.learning_rat", "[0.1, 0.2]", "nearest: learning_rate"),
        ("training.batch_size", "{low: 8, high: 64.0}", "batch_size must be.*8.0|64.0"),
        ("training.optimizer", "[adam, adm]", "optimizer must be one.*nearest: adam"),
        ("training.loss", "[poisson, poison]", "the name of a loss.*'poison'"),
        ("training.optimizer.embedding", "[adam, sgd]", "keys of its own.*'adam'"),
        ("training.learning_rate", "{low: 0.1, high: 0.01}", "low below high"),
        ("training.learning_rate", "{low: 0, high: 1, log: true}", "low above 0"),
        ("training.learning_rate", "{low: 0, high: 1, step: 0.3}", "a step that"),
        ("training.learning_rate", "{low: 0.1}", "a list of choices, or a mapping"),
        ("training.learning_rate", "[0.1]", "two different choices or more"),
        ("training.learning_rate", "[0.1, 0.1]", "two different choices or more"),
        ("model.arguments.dropuot", "[0.1, 0.2]", "nearest: dropout.*'dropuot'"),
        ("model.arguments.dropout", "{low: 0.0, high: 1.0}", "dropout must be .*=1.0"),
        ("model.arguments.hidden_units", "[[8], 9]", "hidden_units must be .*=9"),
        ("model.name", "[lr, fm]", "a study of its own"),
        ("training.seeds", "[[1], [2]]", "the first of them"),
        ("training.keep_negatives", "[0.1, 1.0]", "rows, which all trials share"),
        ("training.monitor", "[val_auc, val_loss]", "compared by"),
        ("samples.seed", "[1, 2]", "model and training alone.*'samples.seed'"),
        ("training", "[{epochs: 1}, {epochs: 2}]", "model and training alone"),
        ("model.dim.user", "[1, 2]", "a key and one within it"),
    ],
)
def test_a_bad_space_is_one_error_with_its_line(tmp_path, key, value, said):
    path = tmp_path / "run.yaml"
    path.write_text(FILE.replace("KEY", key).replace("VALUE", value))
    line = 12 if key == "model.dim.user" else 13
    with pytest.raises(ValueError, match=f"^{path}, line {line}: .*{said}") as error:
        check_space(read_config(path))
    assert "\n" not in str(error.value)


def test_a_space_is_not_compared_by_a_part_of_it(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        FILE.replace("KEY", "model.arguments.l2_reg").replace("VALUE", "[0.0, 0.1]")
    )
    check_space(read_config(path))
    check_space(read_config(path, ["training.monitor=val_log_loss"]))
    with pytest.raises(ValueError, match="line 13: .*compared by val_loss"):
        check_space(read_config(path, ["training.monitor=val_loss"]))
    with pytest.raises(ValueError, match="^--set .*: tuning.space must have what"):
        check_space(read_config(path, ["tuning.space={}"]))
    with pytest.raises(
        ValueError, match=r"^--set tuning.space=.*: training.epochs must"
    ):
        own = "tuning.space={training.epochs: [0, 1]}"
        check_space(read_config(path, [own, "training.epochs=3"]))
    both = "tuning.space={training.schedule.by: [linear, cosine], KEY: [0.0, 0.1]}"
    check_space(read_config(path, [both.replace("KEY", "training.schedule.end")]))
    path.write_text(FILE.partition("  space")[0])
    with pytest.raises(ValueError, match=", line 9: tuning.space must have what"):
        check_space(read_config(path))


def test_whole_numbers_stay_whole_and_choices_are_as_written():
    import optuna

    entries = {
        "model.dim": {"low": 2, "high": 64, "log": True},
        "training.epochs": {"low": 1, "high": 9, "step": 4},
        "training.learning_rate": {"low": 1, "high": 2.0},
        "model.arguments.hidden_units": [[8], [16, 8], None],
    }
    made = config("log.csv", tuning={"space": entries})
    space = read_config(made).config.tuning.space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [
        values_of(space, study.ask(distributions_of(space)).params) for _ in range(40)
    ]
    assert {type(each["model.dim"]) for each in drawn} == {int}
    assert {each["training.epochs"] for each in drawn} == {1, 5, 9}
    assert {type(each["training.learning_rate"]) for each in drawn} == {float}
    units = [each["model.arguments.hidden_units"] for each in drawn]
    assert [8] in units and [16, 8] in units and None in units


def test_a_match_model_is_tuned_by_its_lists(tmp_path):
    write_choices(tmp_path)
    entries = choices(
        tmp_path,
        training={"epochs": 2},
        tuning={"trials": 2, "space": RATES, "seed": 1},
    )
    found = tune(entries, name="m", runs=tmp_path, console=QUIET)
    assert found.monitor == "val_recall@10"
    assert {trial.state for trial in found.trials} == {"whole"}
    assert found.best.values == {"training.learning_rate": 0.05}


def test_models_are_tuned_by_as_many_trials_on_the_same_rows(
    log, tmp_path, monkeypatch
):
    """Trials are planted: the larger rate is the better one."""

    def fit(read, pipeline, samples, judge, seed, console, callbacks, trial):
        (seen,), rate = callbacks, read.config.training.learning_rate
        seen.on_epoch_end(0, {"loss": 1.0, "val_log_loss": 1 - rate})

    monkeypatch.setattr(of_trials, "fit", fit)
    told = Console(record=True, width=200)
    space = f"tuning.space={{training.learning_rate: [1.0e-9, 0.05], {ARGUMENT}}}"
    options = {"seeds": 1, "trials": 2, "name": "b", "runs": tmp_path, "console": told}
    own = [space, "training.epochs=1", "tuning.seed=2"]
    found = bench(log, ["lr", "deepfm"], settings=own, **options)
    said = told.export_text()
    assert "lr has no model.arguments.hidden_units, which are left out for it" in said
    assert said.count("train: 2,400 rows") == 1
    for model in ("lr", "deepfm"):
        with sqlite3.connect(tmp_path / "b" / f"{model}-tune" / "study.db") as study:
            (trials,) = study.execute("select count(*) from trials").fetchone()
        best = read_config(tmp_path / "b" / f"{model}-tune" / "best.yaml").config
        used = read_config(tmp_path / "b" / model / "config.yaml").config
        assert trials == 2 and best == used
        assert best.training.learning_rate == 0.05
    assert used.model.arguments == {"hidden_units": [4]}
    assert (
        bench(log, ["lr", "deepfm"], settings=own, **options).plain() == found.plain()
    )
    with pytest.raises(ValueError, match="tuning.space must have what is tried"):
        bench(log, ["lr", "fm"], settings=["tuning.space={}"], **options)


def test_what_needs_a_trained_match_model_is_not_tuned(log, tmp_path):
    stage = "match={model: {name: two_tower}}"
    own = ["samples.negatives={label: clicked, by: candidates}", stage]
    with pytest.raises(ValueError, match="^--set samples.*'candidates' to tune"):
        tune(log, settings=own, runs=tmp_path, console=QUIET)


def test_without_optuna_the_extra_is_named(log, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    told = CliRunner().invoke(app, ["tune", str(log), "--runs", str(tmp_path)])
    assert told.exit_code == 2
    assert (
        told.output
        == "recsys tune: tune needs optuna: pip install 'deep-rec-kit[tune]'\n"
    )
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_leaves_no_folder(log, tmp_path):
    runs = ["--runs", str(tmp_path)]
    for option, said in (
        ("data.files=nowhere.csv", "nowhere.csv"),
        ("split.valid=0.00001", "each part must have rows"),
        ("evaluation.metrics=[acu]", "a metric must be one of"),
    ):
        told = CliRunner().invoke(app, ["tune", str(log), "--set", option, *runs])
        assert told.exit_code == 2 and said in told.output
        assert told.output.count("recsys tune: ") == 1
    with pytest.raises(ValueError, match="trials must be at least 1"):
        tune(log, trials=0, runs=tmp_path, console=QUIET)
    assert not [*tmp_path.iterdir()]


PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it at times
from recsys.cli.main import app
from recsys.runs.tuning import trials

class Dies(trials._Reported):
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if self.trial.number == 1:
            os.kill(os.getpid(), signal.SIGNAL)

trials._Reported = Dies
app(sys.argv[1:])
"""


@pytest.mark.all
@pytest.mark.parametrize(("signal", "code"), [("SIGKILL", -9), ("SIGINT", 130)])
def test_a_study_that_was_stopped_ends_as_one_that_was_not(log, tmp_path, signal, code):
    command = ["tune", str(log), "--runs", str(tmp_path), "--name", "stopped"]
    program = [sys.executable, "-c", PROGRAM.replace("SIGNAL", signal), *command]
    died = subprocess.run(program, capture_output=True, text=True)
    assert died.returncode == code, died.stderr[-3000:]
    if signal == "SIGINT":
        assert f"`recsys tune {tmp_path / 'stopped' / 'config.yaml'}`" in died.stderr
    again = tune(tmp_path / "stopped" / "config.yaml", console=QUIET)
    whole = tune(log, runs=tmp_path, console=QUIET)
    assert untold(again) == untold(whole) and len(whole.trials) == 2
