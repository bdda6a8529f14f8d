"""What is registered with Keras, and what a file is loaded with."""

import importlib
import zipfile
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from recsys import load_model
from recsys.layers.mlp import FeedForwardLayer
from tests import zoo


def test_files_know_each_class_by_its_own_name():
    """That two have one is an error where the second is defined: `test_house.py`."""
    for entry in zoo.ENTRIES:
        importlib.import_module(f"recsys.{entry.family}.{entry.name}")
    named = keras.saving.get_custom_objects()
    owned = {name: of for name, of in named.items() if name.startswith("recsys>")}
    assert len(owned) > 100
    assert all(name == f"recsys>{of.__name__}" for name, of in owned.items())


@pytest.fixture
def foreign():
    """A class of somebody else under the name of one of the library's."""
    name = keras.saving.get_registered_name(FeedForwardLayer)
    classes = keras.saving.get_custom_objects()
    before = classes[name]

    @keras.saving.register_keras_serializable("recsys", "FeedForwardLayer")
    class Other(FeedForwardLayer):
        def call(self, inputs, valid=None, training=False):
            return 0 * super().call(inputs, valid=valid, training=training)

    assert classes[name] is Other
    yield Other
    classes[name] = before


def test_a_file_is_loaded_with_the_classes_of_the_library(foreign, tmp_path):
    entry = next(entry for entry in zoo.ENTRIES if entry.name == "finalmlp")
    model = entry.build()
    zoo.jitter(model)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert not any(isinstance(layer, foreign) for layer in loaded.layers)
    assert keras.saving.get_custom_objects()["recsys>FeedForwardLayer"] is foreign
    x = zoo.rows(9)
    np.testing.assert_array_equal(zoo.predictions(loaded, x), zoo.predictions(model, x))


def test_threads_that_load_leave_the_users_classes(foreign, tmp_path):
    entry = next(entry for entry in zoo.ENTRIES if entry.name == "finalmlp")
    entry.build().save(tmp_path / "model.keras")
    with ThreadPoolExecutor(8) as pool:
        models = [*pool.map(lambda _: load_model(tmp_path / "model.keras"), range(16))]
    for model in models:
        assert not any(isinstance(layer, foreign) for layer in model.layers)
    assert keras.saving.get_custom_objects()["recsys>FeedForwardLayer"] is foreign


def damaged(content, harm):
    if harm == "text":
        return b"no model"
    if harm == "empty":
        return b""
    if harm == "cut":
        return content[:-50]
    if harm == "cut in half":
        return content[: len(content) // 2]
    place = content.index(b"\x89HDF") + len(content) // 3
    return (
        content[:place]
        + bytes(b ^ 255 for b in content[place:][:9])
        + content[place + 9 :]
    )


@pytest.mark.parametrize("harm", ["text", "empty", "cut", "cut in half", "flipped"])
def test_a_damaged_file_says_so(harm, tmp_path):
    inputs = keras.Input((20,))
    model = keras.Model(inputs, keras.layers.Dense(20)(inputs))
    path = tmp_path / "model.keras"
    model.save(path)
    load_model(path)
    path.write_bytes(damaged(path.read_bytes(), harm))
    with pytest.raises(ValueError, match=f"{path} must be a whole file") as error:
        load_model(str(path))
    assert "not found" not in str(error.value)


class Gated(keras.layers.Layer):
    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable("tests")
class Sized(keras.layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)

    def call(self, inputs):
        return inputs

    def get_config(self):
        return {"name": self.name}


def mine(x):
    return x


KNOWN = "must be known: register it with keras.saving.register_keras_serializable and"


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (Gated, f"class 'Gated' of .* {KNOWN}"),
        (lambda: keras.layers.Dense(2, activation=mine), f"function 'mine' .* {KNOWN}"),
        (
            lambda: Sized(3),
            "Received: TypeError: .*__init__.* missing 1 required.*'size'$",
        ),
        (
            lambda: keras.layers.Lambda(lambda x: x),
            "Received: ValueError: Requested the deserialization of a `Lambda`",
        ),
    ],
    ids=["class", "function", "argument", "lambda"],
)
def test_a_whole_file_that_cannot_be_loaded_says_why(layer, error, tmp_path):
    inputs, path = keras.Input((2,)), tmp_path / "model.keras"
    keras.Model(inputs, layer()(inputs)).save(path)
    with pytest.raises(ValueError, match=f"^load_model: (?s:.*){error}") as raised:
        load_model(path)
    assert "a whole file" not in str(raised.value) and len(str(raised.value)) < 600
    if layer is Gated:
        with keras.saving.custom_object_scope({"Gated": Gated}):
            load_model(path)


def test_weights_alone_are_no_model(tmp_path):
    (tmp_path / "m.weights.h5").write_bytes(b"weights")
    with pytest.raises(ValueError, match="must be a whole .*: weights alone, which"):
        load_model(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("name", ["schema.yaml", "model"])
def test_a_file_of_another_ending_says_so(name, tmp_path):
    (tmp_path / name).write_text("no model")
    with pytest.raises(ValueError, match=f"{name} must be a whole .*not in '.keras'"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("member", "content", "error"),
    [
        ("config.json", b"{", "a whole file .*damaged in config.json"),
        ("config.json", b"\xff", "a whole file .*damaged in config.json"),
        ("config.json", b"{}", "of what Keras can make anew. Received: ValueError"),
        ("config.json", b"5", "of what Keras can make anew. Received: ValueError"),
        ("model.weights.h5", b"no weights", "a whole file .*damaged in model.weights"),
        ("model.weights.h5", None, "a whole file .*: no model.weights.h5 in it"),
    ],
)
def test_an_archive_with_another_file_in_it_says_so(member, content, error, tmp_path):
    inputs = keras.Input((20,))
    model = keras.Model(inputs, keras.layers.Dense(20)(inputs))
    path, other = tmp_path / "model.keras", tmp_path / "other.keras"
    model.save(path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(other, "w") as archive:
        for name in whole.namelist():
            found = whole.read(name) if name != member else content
            if found is not None:
                archive.writestr(name, found)
    with pytest.raises(ValueError, match=f"{other} must be {error}"):
        load_model(other)


def test_other_archives_and_absent_files_say_so(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(ValueError, match=f"{path} must be .* no file of that name"):
        load_model(path)
    with pytest.raises(ValueError, match=f"{tmp_path} must be .* Received: a folder"):
        load_model(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "mine")
    with pytest.raises(ValueError, match=f"{path} must be .* Received: no config.json"):
        load_model(path)
