"""Exports of models that nobody called, and what their outputs are named."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task, load_model
from recsys.match.two_tower import two_tower
from recsys.multitask.mmoe import mmoe
from recsys.rank.lr import lr
from tests import zoo
from tests.close import close

FIELDS = [
    Field("user", vocabulary_size=9),
    Field("item", vocabulary_size=7, belong="item"),
]
ROWS = {"user": np.array([1, 2, 3], "int32"), "item": np.array([4, 5, 6], "int32")}
MODELS = {
    "one task": (lambda: lr(FIELDS, Task("ctr")), ["ctr"]),
    "its logit": (
        lambda: lr(FIELDS, Task("ctr", return_logit=True)),
        ["ctr", "logit"],
    ),
    "several": (lambda: mmoe(FIELDS, [Task("b"), Task("a")]), ["b", "a"]),
    "user": (lambda: two_tower(FIELDS).user_model, ["user_vector"]),
    "item": (lambda: two_tower(FIELDS).item_model, ["item_vector"]),
}
models = pytest.mark.parametrize(("build", "names"), MODELS.values(), ids=MODELS)


def _saved(model, x, path):
    model.export(path, verbose=False)
    served = tf.saved_model.load(path).signatures["serving_default"]
    return {k: v.numpy() for k, v in served(**x).items()}


def _onnx(model, x, path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model.export(f"{path}.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(f"{path}.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, x), strict=True))


@models
@pytest.mark.parametrize(
    "run", [_saved, pytest.param(_onnx, marks=pytest.mark.all)], ids=["saved", "onnx"]
)
@pytest.mark.parametrize("loaded", [False, True], ids=["new", "loaded"])
def test_a_model_that_nobody_called_exports_with_named_outputs(
    build, names, run, loaded, tmp_path
):
    model = build()
    zoo.jitter(model)
    x = {name: ROWS[name] for name in model.input}
    if loaded:
        model.save(tmp_path / "model.keras")
        model = load_model(tmp_path / "model.keras")
    found = run(
        model,
        {k: tf.constant(v) if run is _saved else v for k, v in x.items()},
        str(tmp_path / "exported"),
    )
    assert set(found) == set(names)
    expected = model.predict(x, verbose=0)
    expected = expected if isinstance(expected, dict) else {names[0]: expected}
    close(found, expected, terms=300)


def test_onnx_names_the_extra_it_needs(monkeypatch, tmp_path):
    entry = next(entry for entry in zoo.ENTRIES if entry.name == "lr")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"deep-rec-kit\[export\]"):
        entry.build().export(tmp_path / "m.onnx", format="onnx")


def test_an_export_replaces_an_export(tmp_path):
    model = next(each for each in zoo.ENTRIES if each.name == "lr").build()
    for _ in range(2):
        model.export(tmp_path / "model", verbose=False)


@pytest.mark.parametrize("format", ["openvino", "torch", "nope", None])
def test_a_format_that_is_not_written_says_which_are(format, tmp_path):
    model = next(each for each in zoo.ENTRIES if each.name == "lr").build()
    with pytest.raises(ValueError, match="export: format must be one of .*'onnx'"):
        model.export(tmp_path / "x.xml", format=format)


@pytest.mark.parametrize("path", [None, 3, ""])
def test_what_is_no_path_is_refused(path):
    model = next(each for each in zoo.ENTRIES if each.name == "lr").build()
    for call in (model.export, model.save, model.save_weights, model.load_weights):
        error = f"{call.__name__}: filepath must be a path. Received: filepath={path!r}"
        with pytest.raises(ValueError, match=error):
            call(path)
    with pytest.raises(ValueError, match=f"load_model: path must be .*path={path!r}"):
        load_model(path)


@pytest.mark.parametrize("verbose", [True, False])
def test_an_export_says_where_it_is(verbose, tmp_path, capfd):
    model = next(each for each in zoo.ENTRIES if each.name == "lr").build()
    model.export(tmp_path / "model", verbose=verbose)
    said = f"Exported lr to {tmp_path / 'model'}\n" if verbose else ""
    assert capfd.readouterr().out == said


@pytest.mark.parametrize(
    "there",
    [
        "a file",
        "notes.txt",
        "notes.txt, saved_model.pb",
        "assets, variables",
        "assets, saved_model.pb",
        "assets/notes.txt, saved_model.pb",
        "variables/notes.txt, saved_model.pb",
        "variables/mine/, saved_model.pb, variables/mine/variables.index",
    ],
)
def test_an_export_replaces_nothing_of_another_kind(tmp_path, there):
    (entry,) = (entry for entry in zoo.ENTRIES if entry.name == "lr")
    path = tmp_path / "mine"
    files = [path]
    if there != "a file":
        path.mkdir()
        files = [path / n for n in there.split(", ") if not n.endswith("/")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    found = there.split(",")[0]
    error = f"mine must be new, empty, or a folder of .*Received: {found}"
    with pytest.raises(FileExistsError, match=error):
        entry.build().export(path, verbose=False)
    assert [file.read_text() for file in files] == ["mine"] * len(files)


@pytest.mark.parametrize(
    ("format", "ending"), [("onnx", ".onnx"), ("litert", ".tflite")]
)
def test_a_file_of_another_ending_is_not_written_over(tmp_path, format, ending):
    (entry,) = (entry for entry in zoo.ENTRIES if entry.name == "lr")
    model, path = entry.build(), tmp_path / "lr.keras"
    model.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"must end in '{ending}' .*: {path}"):
        model.export(path, format=format, verbose=False)
    assert path.read_bytes() == before
