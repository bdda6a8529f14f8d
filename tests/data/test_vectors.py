"""Vectors of rows and of items: what `fit` learns, refuses and saves."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from recsys.data import Categorical, FeaturePipeline, History, MultiValue, Vector
from recsys.feature import Content
from recsys.feature.schema import Schema
from recsys.match.two_tower import two_tower
from tests.close import close

EVENTS = {
    "user": [1, 1, 2, 2, 2, 2],
    "item": ["a", "b", "a", "b", "a", "c"],
    "time": [1, 2, 3, 4, 5, 6],
}
VECTORS = {
    "a": [1.0, 2.0, 3.0],
    "b": [0.0, 1.0, 0.0],
    "c": [9.0, 9.0, 9.0],
    "d": [1.0, 0.0, 0.0],
}
ITEMS: dict[str, list[Any]] = {
    "item": ["e", "d", "c", "b", "a"],
    "image": [None, *(VECTORS[item] for item in "dcba")],
}


def columns(min_count: int = 2, **options: Any) -> list[Any]:
    return [
        Categorical("user"),
        Categorical("item", belong="item", min_count=min_count),
        Vector("image", 3, of="item", **options),
        History("past", of=["item"], length=3, user="user", time="time"),
    ]


def fitted(items: Any = ITEMS, **options: Any) -> FeaturePipeline:
    return FeaturePipeline(columns(**options)).fit(EVENTS, items=items)


def _centred(names: str) -> np.ndarray:
    """By hand: the mean of all items with a vector, and one standard deviation."""
    all_of = np.array([VECTORS[name] for name in "abcd"])
    centre = all_of - all_of.mean(axis=0)
    of = {name: row for name, row in zip("abcd", centre, strict=True)}
    none = np.zeros(3)
    rows = [of[name] / np.sqrt((centre**2).mean()) for name in names]
    return np.stack([none, none, *rows])


def test_an_item_with_a_vector_has_an_id_behind_those_that_occur() -> None:
    pipeline = fitted()
    words = pipeline.vocabulary("item").to_pydict()
    # c is too rare for a row of its own, d does not occur, e has no vector
    assert words["value"] == ["a", "b", "c", "d"]
    assert words["count"] == [3, 2, 1, 0]
    user, item, past = pipeline.fields(dim=4)
    assert isinstance(item.content, Content) and item.content is past.content
    assert user.content is None
    assert item.content.num_rows == 4
    close(item.content.vectors, _centred("abcd"), dtype="float16")
    found = pipeline.transform(EVENTS).to_pydict()
    assert found["item"] == [2, 3, 2, 3, 2, 4]
    assert found["past_item"][-1] == [2, 3, 2]


def test_most_values_with_a_row_are_those_of_max_size() -> None:
    item = Categorical("item", belong="item", max_size=1)
    pipeline = FeaturePipeline([item, Vector("image", 3, of="item")])
    (field,) = pipeline.fit(EVENTS, items=ITEMS).fields()
    assert field.vocabulary_size == 6 and field.content.num_rows == 3


def test_no_row_has_a_column_of_them() -> None:
    pipeline = fitted()
    assert pipeline.transform(EVENTS).column_names == ["user", "item", "past_item"]
    with pytest.raises(ValueError, match="Received: 'image'"):
        pipeline.transform(EVENTS, columns=["image"])
    assert pipeline.catalogue(EVENTS, "item") == {}


def test_the_data_of_fit_may_have_them_itself() -> None:
    rows = {**EVENTS, "image": [VECTORS[item] for item in EVENTS["item"]]}
    rows["image"][2] = None  # another row of a tells it
    pipeline = FeaturePipeline(columns()).fit(rows)
    assert pipeline.vocabulary("item")["value"].to_pylist() == ["a", "b", "c"]
    assert pipeline.transform(EVENTS)["item"].to_pylist() == [2, 3, 2, 3, 2, 4]


def test_vectors_of_one_length_keep_their_directions() -> None:
    rows = [[3.0, 4.0, 0.0], [0.0, 0.0, 5.01], None, [5.0, 0.0, 0.0]]
    items = {"item": [*"abcd"], "image": rows}
    found = fitted(items, dtype="float32").fields()[1].content.vectors
    assert found.dtype == "float32"
    # a row without a vector, c is too rare to have an id without one
    close(found[2:], [[0.6, 0.8, 0], [0, 0, 1], [1, 0, 0]])  # a, b, d
    items["image"][1] = [0.0, 0.0, 5.2]  # no longer alike
    assert fitted(items).fields()[1].content.vectors[4].min() < 0


def test_the_options_are_those_of_the_fields() -> None:
    content = fitted(fuse="concat", id_dropout=0.25).fields()[1].content
    assert (content.fuse, content.id_dropout) == ("concat", 0.25)
    assert content.vectors.dtype == "float16"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ([[1.0], None, None, None, None], "of 3 numbers. Received: 1, of item 'e'"),
        ([None, [1, None, 2], None, None, None], "finite numbers .* nan.* of item 'd'"),
        ([None, [1, 2, np.inf], None, None, None], "finite numbers .* inf.* item 'd'"),
        ([None] * 5, "an item at least must have a vector. Received: none"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "must be of type array. Received: float64"),
        (
            [["x"], None, None, None, None],
            "of lists of type .*Received: array<str",
        ),
    ],
)
def test_what_is_no_vector_is_an_error(image: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"Vector 'image'.*{says}"):
        fitted({**ITEMS, "image": image})


def test_two_vectors_of_an_item_are_an_error() -> None:
    items = {"item": ["a", "b", "b"], "image": [[1.0, 2, 3], [1.0, 2, 3], [1.0, 2, 4]]}
    with pytest.raises(ValueError, match=r"\[1.0, 2.0, 3.0\] and .* of item 'b'"):
        fitted(items)
    items["image"][2] = [1.0, 2, 3]
    fitted(items)


def test_the_items_must_have_ids_as_the_data_has() -> None:
    with pytest.raises(ValueError, match="'item' must be of type string .* integer"):
        fitted({"item": [1, 2], "image": [[1.0, 2, 3], [2.0, 2, 3]]})
    with pytest.raises(ValueError, match="Vector 'image': the data must have a column"):
        fitted(None)
    with pytest.raises(ValueError, match="items must be left out"):
        FeaturePipeline([Categorical("item")]).fit(EVENTS, items=ITEMS)


def test_texts_of_csv_files(tmp_path: Path) -> None:
    text = "item,image\na,1 2 3\nb,0 1 0\nc,\n"
    (tmp_path / "items.csv").write_text(text)
    pipeline = fitted(str(tmp_path / "items.csv"), separator=" ")
    both = fitted({"item": ["a", "b"], "image": [VECTORS["a"], VECTORS["b"]]})
    found, expected = (p.fields()[1].content for p in (pipeline, both))
    assert found == expected
    (tmp_path / "items.csv").write_text(text.replace("0 1 0", "0 x 0"))
    with pytest.raises(ValueError, match="items.csv.*Vector 'image'.*of item 'b'"):
        fitted(str(tmp_path / "items.csv"), separator=" ")


def test_files_hold_them(tmp_path: Path) -> None:
    pipeline = fitted()
    pipeline.save(tmp_path / "p")
    again = FeaturePipeline.load(tmp_path / "p")
    assert again.schema == pipeline.schema
    assert again.fields()[1].content == pipeline.fields()[1].content
    assert again.fields() == pipeline.fields()  # of one fingerprint
    table = pq.read_table(tmp_path / "p" / "vocabulary-1" / "image.parquet")
    assert table["vector"].type == pa.list_(pa.float16(), 3) and len(table) == 4
    again.save(tmp_path / "p")  # over itself
    FeaturePipeline.from_yaml(_schema(tmp_path, pipeline.schema))


def _schema(folder: Path, schema: Schema) -> Path:
    schema.to_yaml(folder / "schema.yaml")
    assert Schema.from_yaml(folder / "schema.yaml") == schema
    return folder / "schema.yaml"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path / "p")
    manifest = tmp_path / "p" / "pipeline.yaml"
    text = manifest.read_text()
    for key, value in (("num_rows", 99), ("std", 0.0), ("mean", [1.0])):
        saved = yaml.safe_load(text)
        saved["vectors"]["image"][key] = value
        manifest.write_text(yaml.safe_dump(saved))
        with pytest.raises(ValueError, match="vectors of 'image' must be such"):
            FeaturePipeline.load(tmp_path / "p")
    saved = yaml.safe_load(text)
    del saved["vectors"]
    manifest.write_text(yaml.safe_dump(saved))
    with pytest.raises(ValueError, match="must be a folder that"):
        FeaturePipeline.load(tmp_path / "p")
    manifest.write_text(text)
    (tmp_path / "p" / "vocabulary-1" / "image.parquet").unlink()
    with pytest.raises(ValueError, match=r"image\.parquet"):
        FeaturePipeline.load(tmp_path / "p")


def test_other_vectors_are_another_pipeline() -> None:
    changed = [None, [1.0, 0.0, 0.5], *ITEMS["image"][2:]]
    found = [
        fitted({**ITEMS, "image": image}).fields()[0].fingerprint
        for image in (ITEMS["image"], ITEMS["image"], changed)
    ]
    assert found[0] == found[1] != found[2]


def test_a_vector_of_each_row_is_a_column() -> None:
    schema = [Categorical("user"), Vector("text", 2, belong="context")]
    rows = {"user": [1, 2, 3], "text": [[0.5, 1.5], None, []]}
    pipeline = FeaturePipeline(schema).fit(rows)
    found = pipeline.transform(rows)
    assert found["text"].to_pylist() == [[0.5, 1.5], [0, 0], [0, 0]]
    field = pipeline.fields()[1]
    assert (field.vocabulary_size, field.length, field.belong) == (0, 2, "context")
    batch = next(iter(pipeline.dataset(rows, 3)))
    assert np.array_equal(batch["text"], [[0.5, 1.5], [0, 0], [0, 0]])
    for text, says in (
        ([[1.0], None, None], "length: vectors must have 2 numbers. Received: 1"),
        ([[1.0, None], None, None], "must be finite numbers that float32 holds"),
        ([[1.0, np.nan], None, None], "must be finite numbers that float32 holds"),
        ([[1.0, 1e39], None, None], "must be finite numbers that float32 holds"),
    ):
        with pytest.raises(ValueError, match=f"Vector 'text'.*{says}"):
            pipeline.transform({**rows, "text": text})


def test_vectors_of_rows_in_texts() -> None:
    pipeline = FeaturePipeline([Vector("text", 2, separator="|")])
    found = pipeline.fit({"text": ["1|2", ""]}).transform({"text": ["0.5|-1", "3|4"]})
    assert found["text"].to_pylist() == [[0.5, -1], [3, 4]]
    with pytest.raises(ValueError, match="numbers in a vector: all must be finite"):
        pipeline.transform({"text": ["1|x"]})


def test_declarations_that_cannot_be_are_refused() -> None:
    item, other = Categorical("item", belong="item"), MultiValue("tags", length=3)
    shared = Categorical("next", emb="item")
    for of in ("tags", "next"):
        with pytest.raises(ValueError, match="of must name a Categorical column that"):
            Schema([item, other, shared, Vector("image", 3, of=of)])
    with pytest.raises(ValueError, match="Vector 'image': of must be one of"):
        Schema([item, Vector("image", 3, of="itm")])
    with pytest.raises(ValueError, match="'item' must have one vector"):
        Schema([item, Vector("image", 3, of="item"), Vector("text", 3, of="item")])
    with pytest.raises(ValueError, match="belong must be left to 'item'"):
        Vector("image", 3, of="item", belong="item")
    with pytest.raises(ValueError, match="of must be given where fuse"):
        Vector("image", 3, fuse="concat")
    past = History("h", of=["image"], length=2, user="u", time="t")
    with pytest.raises(ValueError, match="'image', which is Vector"):
        Schema([item, Vector("image", 3), past])


def test_a_new_item_is_recommended() -> None:
    pipeline = fitted()
    fields = pipeline.fields(dim=4)
    model = two_tower(fields, (4,))
    model.compile("adam")
    model.fit(pipeline.dataset(EVENTS, 6), epochs=1, verbose=0)
    found, _ = model.recommend(pipeline.transform(EVENTS, columns=["user", "past"]), 4)
    assert {*found[0].tolist()} == {2, 3, 4, 5}


def test_a_vector_that_is_the_mean_is_one() -> None:
    vectors = {"a": [1.0, 1.0, 0.0], "b": [3.0, 3.0, 0.0], "c": [2.0, 2.0, 0.0]}
    items = {"item": [*vectors], "image": [*vectors.values()]}
    content = fitted(items).fields()[1].content
    assert content is not None and content.vectors[2:].any(axis=1).all()
    assert np.abs(content.vectors[4]).max() < 1e-4


@pytest.mark.parametrize("value", [0.0, 1e-200])
def test_vectors_of_zeros_alone_are_refused(value: float) -> None:
    items = {"item": ["a", "b"], "image": [[value] * 3, [0.0] * 3]}
    with pytest.raises(
        ValueError, match="'image': an item at least must have a vector"
    ):
        fitted(items)


@pytest.mark.parametrize("far", [1e5, -1e30])
def test_one_vector_of_another_scale_is_an_error(far: float) -> None:
    """Nothing would be left of the others: all would be the same vector."""
    images = np.random.default_rng(0).normal(size=(40, 3))
    images[17, 1] = far
    items = {"item": [f"i{n:02d}" for n in range(40)], "image": images.tolist()}
    with pytest.raises(ValueError, match="'image': .* one scale. Received: .*'i17'"):
        fitted(items)
    images[17, 1] = 50.0
    fitted({**items, "image": images.tolist()})
    images[:30] = 0.5  # of which most are the same
    fitted({**items, "image": images.tolist()})
