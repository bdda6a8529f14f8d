"""From files to a YAML that says what was found, and is accepted as it stands."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest

from recsys import create_model
from recsys.data import FeaturePipeline, Schema
from recsys.feature import Task
from recsys.feature._yaml import read_yaml
from recsys.runs.config import Config
from recsys.runs.init import init, making
from recsys.runs.init.rows import rows_of
from recsys.runs.reading import read_config
from recsys.runs.tuning.space import check_space
from tests.runs.init.log import NUM, click_log, write

ODD = {"x\ny", "#", "null", "ü: {", "e'\""}


def read(output):
    """The text, what it says, and the schema; both are accepted."""
    text = output.read_text()
    config = Config.model_validate(read_yaml(text))
    return text, config, Schema.from_dict(config.declared)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    (path / "data").mkdir()
    write(path / "data" / "log.parquet", click_log())
    init([str(path / "data" / "log.parquet")], path / "run.yaml")
    return path


def test_a_whole_yaml(folder):
    text, config, schema = read(folder / "run.yaml")
    assert config.data.files == ["data/log.parquet"]
    assert (config.data.user, config.data.item) == ("user_id", "video_id")
    assert (config.data.time, config.split.by) == ("event_time", "time")
    assert config.model.name == "mmoe"
    assert [label.name for label in schema.labels] == ["is_click", "buy"]
    names = {column.name for column in schema.columns}
    assert {"seen", "user_id", "duration", "genres"} <= names
    assert not names & {"play_ms", "outcome", "refund", "row", "title", "click_time"}
    assert "recsys train run.yaml" in text and "recsys config show" in text
    assert re.search(r"# - \{.*name: play_ms,.*# LEAK: alone it tells 'is_click'", text)
    assert re.search(r"price,.*# number; [\d,]+ different; \d+\.\d\d% missing; 0", text)
    assert re.search(r"name: brand,.*; 9 different; none missing; such as brand", text)
    assert f"{NUM:,} rows and {len(click_log())} columns" in text
    assert "user: user_id  # a guess, by its name" in text
    assert "match:" not in text  # which rows are choices, its labels say


def test_what_is_left_out_can_be_taken_in(folder):
    text = (folder / "run.yaml").read_text()
    taken = re.sub(r"(?m)^  # - \{kind", "  - {kind", text)
    schema = Schema.from_dict(read_yaml(taken)["schema"])
    names = {column.name for column in schema.columns}
    assert {"play_ms", "outcome", "refund", "row", "title", "request"} <= names


def test_the_same_files_make_the_same_yaml(folder, tmp_path):
    init([str(folder / "data" / "log.parquet")], folder / "again.yaml")
    again = (folder / "again.yaml").read_text().replace("again.yaml", "run.yaml")
    assert again == (folder / "run.yaml").read_text()


def test_the_model_takes_what_the_schema_makes(folder):
    _, config, schema = read(folder / "run.yaml")
    pipeline = FeaturePipeline(schema.columns, groups=schema.groups)
    fields = pipeline.fit(folder / "data" / "log.parquet").fields(dim=config.model.dim)
    labels = [Task(label.name) for label in schema.labels]
    for name, tasks in (
        (config.model.name, {"task_list": labels}),
        ("din", {"task": labels[0]}),
        ("deepfm", {"task": labels[0]}),
    ):
        assert create_model(name, fields, **tasks).name == name


def test_each_model_that_is_proposed_takes_what_is_to_be_tried(folder):
    text = (folder / "run.yaml").read_text()
    assert "`recsys tune run.yaml` tries" in text
    one = "schema.labels=[buy]"
    for own in ([], ["model.name=din", one], ["model.name=deepfm", one]):
        read = read_config(folder / "run.yaml", own)
        check_space(read)
        assert len(read.config.tuning.space) == 3


def test_items_users_and_parts(tmp_path):
    log, names = click_log(), ("user_id", "video_id", "is_click", "hour")
    events = {name: log[name] for name in names}
    files = [write(tmp_path / f"{n}.csv", events) for n in ("train", "valid", "test")]
    users = {"user_id": range(80), "age": [20 + u % 50 for u in range(80)]}
    video = {"video_id": [f"v{i:03d}" for i in range(120)], "kind": ["a", "b"] * 60}
    users = write(tmp_path / "u.csv", users)
    items = write(tmp_path / "i.parquet", video)
    init([*files, users, items], tmp_path / "run.yaml")
    _, config, schema = read(tmp_path / "run.yaml")
    assert config.data.files == ["train.csv"] and config.split.by == "files"
    assert config.split.valid_files == ["valid.csv"]
    assert config.split.test_files == ["test.csv"]
    assert (config.data.items, config.data.users) == (["i.parquet"], ["u.csv"])
    belong = {column.name: column.belong for column in schema.columns}
    assert (belong["age"], belong["kind"]) == ("user", "item")
    assert belong["hour"] == "context"


def test_no_label_and_odd_names(tmp_path):
    rng = np.random.default_rng(7)
    log = {name: [f"b{k}" for k in rng.integers(0, 9, NUM)] for name in ODD}
    log |= {name: click_log()[name] for name in ("user_id", "video_id", "event_time")}
    draft = init([write(tmp_path / "log.parquet", log)], tmp_path / "run.yaml")
    _, config, schema = read(tmp_path / "run.yaml")
    assert ODD <= {column.name for column in schema.columns}
    assert config.samples.negatives.label == "chosen" == schema.labels[0].name
    assert draft.left_out == []
    text = (tmp_path / "run.yaml").read_text()  # where a first stage is to be taken
    assert text.count("\n# match: ") == 1 and config.match is None
    for old, new in (("\n# match: ", "\nmatch: "), ("4}", "4, by: candidates}")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "two.yaml").write_text(text)
    two = read_config(tmp_path / "two.yaml").config
    assert two.match.model.name == "two_tower"
    assert two.samples.negatives.by == "candidates"
    gone = {name: ["one\nvalue"] * NUM for name in ODD}
    draft = init([write(tmp_path / "b.parquet", {**log, **gone})], tmp_path / "b.yaml")
    _, _, schema = read(tmp_path / "b.yaml")
    assert {column.seen.name for column in draft.left_out} == ODD
    assert not ODD & {column.name for column in schema.columns}


def test_of_many_rows_the_yaml_says_how_many_were_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "rows_of", lambda *of: rows_of(*of, most=500))
    log = {name: click_log()[name] for name in ("user_id", "video_id", "is_click")}
    draft = init([write(tmp_path / "log.csv", log)], tmp_path / "run.yaml")
    assert 350 < draft.sampled < 650
    text = " ".join((tmp_path / "run.yaml").read_text().replace("#", "").split())
    assert f"all else is of {draft.sampled:,} rows, drawn at random" in text


def test_files_as_seen_from_the_yaml(tmp_path, monkeypatch):
    log = {"user_id": [1, 2, 1, 3] * 9, "hour": range(36), "y": [0, 1, 1] * 12}
    far = tmp_path / "a" / "b" / "c"
    far.mkdir(parents=True)
    (tmp_path / "parts").mkdir()
    for place in ("parts/1.csv", "parts/2.csv"):
        write(tmp_path / place, log)
    monkeypatch.chdir(tmp_path)
    for files, output, wanted in (
        ("parts", "a.yaml", "parts"),
        ("parts/*.csv", "b.yaml", "parts/*.csv"),
        ("parts/1.csv", "a/b/c.yaml", "../../parts/1.csv"),
        ("parts/1.csv", "a/b/c/d.yaml", str(tmp_path / "parts" / "1.csv")),
        (str(tmp_path / "parts"), "parts.yaml", "parts"),
    ):
        init([files], Path(output))
        _, config, _ = read(Path(output))
        assert config.data.files == [wanted]


def test_what_is_there_is_never_overwritten(tmp_path, monkeypatch):
    log = write(tmp_path / "log.csv", {"user_id": [1, 2, 1], "y": [0, 1, 1]})
    output = tmp_path / "run.yaml"
    output.write_text("mine")
    with pytest.raises(FileExistsError, match=r"run.yaml must be new.* a file"):
        init([log], output)
    with pytest.raises(FileExistsError, match=r"must be new.* a folder"):
        init([log], tmp_path)
    with pytest.raises(FileNotFoundError, match="must be in a folder that is there"):
        init([log], tmp_path / "none" / "run.yaml")
    late = tmp_path / "late.yaml"

    def meanwhile(*of):
        late.write_text("mine")
        return rows_of(*of)

    monkeypatch.setattr(making, "rows_of", meanwhile)
    with pytest.raises(FileExistsError, match=r"late.yaml must be new"):
        init([log], late)
    assert output.read_text() == late.read_text() == "mine"
    assert {*os.listdir(tmp_path)} == {"log.csv", "run.yaml", "late.yaml"}


def test_bad_files_are_one_error(tmp_path):
    output = tmp_path / "run.yaml"
    broken = tmp_path / "log.csv.gz"
    broken.write_bytes(gzip.compress(b"user_id,y\n1,0\n")[:-4])
    bare = write(tmp_path / "bare.csv", {"row": [1, 2, 3], "one": ["x", "x", "x"]})
    for file, wanted in (
        (str(broken), f"Cannot read {broken} as CSV"),
        (bare, r"bare.csv must have a column that a model can read. Received: row: it"),
    ):
        with pytest.raises(ValueError, match=wanted):
            init([file], output)
        assert not output.exists()
