"""The items of a match run, with titles that no model reads."""

import pytest

from recsys.runs.samples.titles import title_in
from recsys.runs.samples.write import write_samples
from tests.runs.samples.configs import COLUMNS, config, read, write

EVENTS = {
    "user": ["a", "a", "b", "b", None, "c", "c", "c"],
    "item": [1, 2, 1, 3, 4, 3, None, 2],
    "time": [*range(8)],
}
ITEMS = {
    "item": [1, 2, 5, 3],
    "kind": ["x", "y", "x", None],
    "name": ["one", None, "five", ""],
}
KIND = {"kind": "categorical", "name": "kind", "belong": "item"}


def written(folder, items=ITEMS, columns=(*COLUMNS, KIND), model="two_tower"):
    write(folder, events=EVENTS, items=items)
    split = {"by": "ratio", "valid": 0.3, "test": 0.3, "seed": 3}
    data = {"items": "items.parquet"}
    made = config(columns, [], data, model={"name": model}, split=split)
    return write_samples(made, folder, folder / "samples")


def test_items_are_all_that_are_known_with_their_titles(tmp_path):
    found = written(tmp_path)
    assert read(tmp_path / "samples", "items") == {
        "item": [1, 2, 3, 5],
        "kind": ["x", "y", None, "x"],
        "name": ["one", None, "", "five"],
    }
    said = "2 of 8 events have no 'user' or no 'item', which match models need, and"
    assert any(note.startswith(said) for note in found.notes)
    assert sum(found.rows.values()) == 6
    assert "name" not in read(tmp_path / "samples", "train")


def test_a_title_that_the_model_reads_is_there_once(tmp_path):
    name = {"kind": "categorical", "name": "name", "belong": "item"}
    written(tmp_path, columns=[*COLUMNS, name])
    assert [*read(tmp_path / "samples", "items")] == ["item", "name"]


def test_without_a_title_there_is_none(tmp_path):
    written(tmp_path, {"item": [1, 2, 3], "kind": ["x", "y", "z"]})
    assert [*read(tmp_path / "samples", "items")] == ["item", "kind"]


def test_other_models_keep_no_items(tmp_path):
    written(tmp_path, model="din")
    assert not (tmp_path / "samples" / "items.parquet").exists()


@pytest.mark.parametrize(
    ("columns", "item", "title"),
    [
        (["id", "name", "title"], "id", "title"),
        (["id", "name"], "id", "name"),
        (["name", "kind"], "name", None),
        (["title", "name"], "title", "name"),
    ],
)
def test_which_column_has_the_titles(columns, item, title):
    assert title_in(columns, item) == title
