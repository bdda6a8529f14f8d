"""A run's file: each error names file, line and nearest key; nothing is cast."""

import re

import pytest
import yaml

from recsys.runs.config import Config
from recsys.runs.reading import read_config
from recsys.runs.shown import as_yaml, json_schema

FILE = """data:
  files: a.csv
schema:
  columns:
  - {kind: categorical, name: user_id}
  - kind: numeric
    name: x
  labels: [y]
model:
  name: deepfm
training: {epochs: 3}
"""


def written(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_what_is_not_said_has_its_default(tmp_path):
    read = read_config(written(tmp_path, FILE))
    assert read.config.data.files == ["a.csv"]
    assert read.config.training.epochs == 3
    assert read.config.training.batch_size == 1024
    assert [column.name for column in read.schema.columns] == ["user_id", "x"]
    assert read.origin.folder == tmp_path
    assert read_config(yaml.safe_load(FILE)).config == read.config


def test_settings_take_the_place_of_values(tmp_path):
    path = written(tmp_path, FILE)
    settings = ["training.epochs=5", "split.by=ratio", "model.arguments.dropout=0.1"]
    config = read_config(path, settings).config
    assert (config.training.epochs, config.split.by) == (5, "ratio")
    assert config.model.arguments == {"dropout": 0.1}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("epochs: 3", "epoch: 3", 11, r"keys of training .*nearest: epochs.*'epoch'"),
        ("epochs: 3", "epochs: '3'", 11, r"training\.epochs must be a valid integer"),
        ("epochs: 3", "epochs: true", 11, r"training\.epochs must be .*True"),
        ("epochs: 3", "epochs: 0", 11, r"training\.epochs must be greater"),
        ("epochs: 3", "learning_rate: .nan", 11, r"learning_rate must be .*nan"),
        ("{epochs: 3}", "3", 11, "training must be a mapping"),
        ("numeric", "numeri", 6, r"kind of .*'numeri'"),
        ("    name: x", "    nam: x", 6, r"nearest: name.*'nam'"),
        ("name: x", "name: user_id", 3, "names must differ"),
        ("files: a.csv", "file: a.csv", 2, r"nearest: files.*'file'"),
        ("files: a.csv", "files: []", 2, r"data\.files must have at least 1"),
        ("model:", "modl:", 9, r"nearest: model.*'modl'"),
        ("name: deepfm", "name: deepfm\n  dim: [3]", 11, r"model\.dim must"),
        ("training:", "split: {by: tim}\ntraining:", 11, r"split\.by must be 'time'"),
        ("model:", "split: {until: '9'}\nmodel:", 9, r"until must be a number, a date"),
        ("model:", "split: {until: true}\nmodel:", 9, r"until must be a number.*True"),
        ("model:", "split: {test_from: 1}\nmodel:", 9, "valid_from and test_from, or"),
        (
            "model:",
            "split: {valid_from: 2, test_from: 2}\nmodel:",
            9,
            "split must have valid_from before test_from",
        ),
        (
            "model:",
            "split: {valid_from: 2, test_from: 3, until: 2024-01-01}\nmodel:",
            9,
            "test_from and until of one type",
        ),
        ("model:", "training: {}\nmodel:", 12, "'training' stands twice"),
        ("labels: [y]", "labels: [y", 9, "cannot be read as YAML"),
    ],
)
def test_an_error_says_where(tmp_path, old, new, line, said):
    assert FILE.count(old) == 1
    path = written(tmp_path, FILE.replace(old, new))
    with pytest.raises(ValueError) as error:
        read_config(path)
    text = str(error.value)
    assert text.startswith(f"{path}, line {line}: ")
    assert re.search(said, text) and "\n" not in text


@pytest.mark.parametrize("text", ["", "- 1", "words"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="must be a mapping with the keys data"):
        read_config(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere.yaml cannot be read"):
        read_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.epochs=x", r"^--set training\.epochs=x: training\.epochs must"),
        ("trainin.epochs=3", r"^--set trainin\.epochs=3: .*nearest: training"),
        ("split.by=tim", r"^--set split\.by=tim: split\.by must be"),
        ("training.epochs.x=3", "epochs must have keys of its own"),
        ("epochs", "KEY.KEY=VALUE"),
        ("=3", "KEY.KEY=VALUE"),
        ("training.epochs=[3", "the value must be YAML"),
    ],
)
def test_an_error_of_a_setting_names_it(tmp_path, setting, said):
    with pytest.raises(ValueError, match=said):
        read_config(written(tmp_path, FILE), [setting])


def test_what_is_shown_is_read_as_the_same(tmp_path):
    text = FILE.replace("epochs: 3", "epochs: 3, schedule: {by: cosine}").replace(
        "files: a.csv", 'files: ["用户 a.csv", "b: c.csv"]'
    )
    config = read_config(written(tmp_path, text)).config
    shown = as_yaml(config)
    assert read_config(written(tmp_path, shown)).config == config
    assert all(
        len(line) <= 88 for line in shown.splitlines() if line.strip()[0:1] == "#"
    )


def test_every_key_says_what_it_is():
    def keys(section, path=""):
        for name, field in section.model_fields.items():
            inner = getattr(field.annotation, "model_fields", None)
            yield f"{path}{name}", field.description or field.annotation.__doc__
            if inner:
                yield from keys(field.annotation, f"{path}{name}.")

    for key, said in keys(Config):
        assert said and said.strip()[-1] in ".`", f"{key}: {said!r}"


def test_an_editors_schema_has_every_section():
    schema = yaml.safe_load(json_schema())
    assert {"data", "schema", "model", "training"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
