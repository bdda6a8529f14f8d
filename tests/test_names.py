"""Names as real data have them: what a user calls a column or a task stays its name."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from recsys import Field, Task, load_model
from recsys.data import Categorical, FeaturePipeline, History, Label, Numeric
from recsys.feature._names import given_name, layer_name, signature_names
from recsys.match.two_tower import two_tower
from recsys.multitask.mmoe import mmoe
from recsys.rank.din import din
from recsys.rank.fm import fm
from recsys.rank.lr import lr
from tests import zoo
from tests.close import close

PART = "[A-Za-z0-9][A-Za-z0-9_-]*"
SCOPE = re.compile(f"{PART}(>{PART})*")  # all that TensorFlow and PyTorch take
FIELDS = [
    Field("user id", vocabulary_size=9),
    Field("价格", dtype="float32"),
    Field("товар(№)", vocabulary_size=8, belong="item"),
    Field("~seen %", emb="товар(№)", length=3, belong="history", group="1 сеанс"),
]
CLICK, BUY = Task("will click"), Task("点击")
names = st.text(min_size=1)


TASKS = (Task("_will click"), BUY)


def _rows(n=24):
    rng = np.random.default_rng(0)
    return {
        "user id": rng.integers(0, 9, n),
        "价格": rng.random(n),
        "товар(№)": rng.integers(1, 8, n),
        "~seen %": rng.integers(0, 8, (n, 3)),
    }


@given(names)
def test_a_layers_name_is_a_scope_that_says_which_name_it_was_made_of(name):
    assert SCOPE.fullmatch(layer_name(name))
    assert given_name(layer_name(name)) == name


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]*", fullmatch=True))
def test_a_plain_name_is_that_of_its_layer(name):
    assert layer_name(name) == name


def _odd(name):
    return name if name is None else f"{name} (№)"


def _odd_fields(fields):
    return [
        replace(
            field,
            name=_odd(field.name),
            emb=_odd(field.emb),
            weight=_odd(field.weight),
            group=_odd(field.group),
        )
        for field in fields
    ]


@pytest.mark.parametrize("entry", zoo.ENTRIES, ids=lambda entry: entry.name)
def test_every_model_names_its_layers_by_the_one_rule(entry, monkeypatch):
    odd = _odd_fields(entry.fields())
    monkeypatch.setattr(zoo.Entry, "fields", lambda _: odd)
    given = {"task_list": TASKS} if entry.several_tasks else {}
    if "catalogue" in entry.needs:
        given["catalogue"] = {_odd(k): v for k, v in zoo.CATALOGUE.items()}
    if entry.name == "dat":
        given["category"] = _odd("category")
    model = entry.build(**given)
    inputs = {layer.name for layer in model.layers if layer.name in model.input}
    named = {layer.name for layer in model.layers} - inputs
    named |= {part for v in model.variables for part in v.path.split("/")}
    assert not [name for name in named if not SCOPE.fullmatch(name)]


LIVES = {
    "rank": (lambda: din(FIELDS, BUY), lambda y: y, ["点击"]),
    "two tasks": (
        lambda: mmoe(FIELDS, [CLICK, BUY]),
        lambda y: {"will click": y, "点击": 1 - y},
        ["will click", "点击"],
    ),
    "match": (lambda: two_tower(FIELDS), lambda y: None, None),
}


@pytest.mark.parametrize(("build", "label", "outputs"), LIVES.values(), ids=LIVES)
def test_a_model_of_any_names_lives_as_others_do(build, label, outputs, tmp_path):
    x, model = _rows(), build()
    y = label(np.arange(24) % 2)
    loss = {} if y is None else {"loss": "binary_crossentropy", "metrics": ["auc"]}
    model.compile({"embedding_товар": "adagrad", "default": "adam"}, **loss)
    (table,) = (v for v in model.optimizer["embedding_товар"]._trainable_variables)
    assert table.shape == (8, 4)
    logs = model.fit(x, y, epochs=2, verbose=0).history
    if isinstance(y, dict):
        assert set(logs) == {
            "loss",
            *(f"{task}_{what}" for task in outputs for what in ("loss", "auc")),
            *(f"auc_task_{what}" for what in ("macro", "weighted", "skipped")),
        }
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert [*loaded.input] == [*model.input]
    assert [*loaded.heads] == [*model.heads]
    expected = model.predict(x, verbose=0)
    close(loaded.predict(x, verbose=0), expected, terms=300)
    loaded.fit(x, y, verbose=0)

    if outputs is None:
        model, outputs = model.user_model, ["user_vector"]
        expected = model.predict({name: x[name] for name in model.input}, verbose=0)
    elif not isinstance(expected, dict):
        expected = {outputs[0]: expected}
    model.export(str(tmp_path / "saved"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    given = {
        name: tf.constant(x[name], tensor.dtype) for name, tensor in model.input.items()
    }
    as_layers = {layer_name(name): value for name, value in given.items()}
    found = served.signatures["serving_default"](**as_layers)
    assert set(found) == set(outputs)
    if not isinstance(expected, dict):
        expected = {outputs[0]: expected}
    close({k: v.numpy() for k, v in found.items()}, expected, terms=300)


@pytest.mark.parametrize(
    "names",
    [
        ["class", "class_", "x"],
        ["self", "args", "kwargs", "from", "name"],
        ["a b", "a_20b", "a>20b", "a%20b"],
        ["A", "a", "A b", "a b", "inputs", "None", "training"],
    ],
)
def test_columns_of_any_names_are_in_a_signature(names, tmp_path):
    fields = [Field(name, vocabulary_size=5) for name in names]
    model = lr(fields, Task("click"))
    zoo.jitter(model)
    random = np.random.default_rng(0)
    x = {name: random.integers(0, 5, 9).astype("int32") for name in names}
    model.export(str(tmp_path / "saved"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    given = {n: tf.constant(x[m]) for m, n in signature_names(names).items()}
    found = served.signatures["serving_default"](**given)
    close(found["click"].numpy(), model.predict(x, verbose=0), terms=100)
    assert signature_names(["user id", "class", "class_"]) == {
        "user id": "user>20id",
        "class": "class_",
        "class_": "class__",
    }


def test_a_pipeline_of_any_names_feeds_a_model():
    raw = {
        "user id": [1, 2, 1, 2],
        "товар(№)": ["a", "b", "b", "a"],
        "цена $": [1.0, 2.0, 3.0, 4.0],
        "时间": [1, 2, 3, 4],
        "will click": [0, 1, 1, 0],
    }
    pipeline = FeaturePipeline(
        [
            Categorical("user id"),
            Categorical("товар(№)", belong="item"),
            Numeric("цена $"),
            History("1 сеанс", of=["товар(№)"], length=2, user="user id", time="时间"),
        ],
        labels=[Label("will click")],
        groups={"user key": "user id"},
    ).fit(raw)
    model = din(pipeline.fields(dim=4), Task("will click"))
    model.compile("adam", loss="binary_crossentropy")
    model.fit(pipeline.dataset(raw, batch_size=2), verbose=0)
    assert model.predict(pipeline.dataset(raw, batch_size=4), verbose=0).shape == (4, 1)


USER_AND_ITEM = [
    Field("user", vocabulary_size=9),
    Field("item", vocabulary_size=9, belong="item"),
]


@pytest.mark.parametrize("name", ["dnn_mlp", "embedding_user"])
def test_a_field_or_task_of_a_layers_name_is_one_error_that_names_both(name):
    history = Field("past", emb="item", length=2, belong="history")
    refusal = f"^din: a {{}} and a {{}} must not have one name. Received: {{}} {name!r}"
    with pytest.raises(ValueError, match=refusal.format("field", "layer", "field")):
        din([*USER_AND_ITEM, Field(name, dtype="float32"), history])
    with pytest.raises(ValueError, match=refusal.format("layer", "task", "layer")):
        din([*USER_AND_ITEM, history], Task(name))


def test_a_field_of_a_tasks_name_is_refused_in_any_alphabet():
    with pytest.raises(ValueError, match="a field and a task must not have one name"):
        fm([*USER_AND_ITEM, Field("点击", dtype="float32")], BUY)


def test_tasks_whose_names_begin_alike_log_apart():
    a, b = Task("a"), Task("a_loss")
    tasks, x = [Task("loss"), a, b], {"user": np.arange(8), "item": np.arange(8)}
    model = mmoe(USER_AND_ITEM, tasks)
    model.compile("adam", loss="binary_crossentropy", metrics=["auc"])
    y = {task.name: np.arange(8) % 2 for task in tasks}
    logs = model.fit(x, y, validation_data=(x, y), verbose=0).history
    of_tasks = [f"{t.name}_{what}" for t in tasks for what in ("loss", "auc")]
    of_all = [f"auc_task_{what}" for what in ("macro", "weighted", "skipped")]
    names = ["loss", *of_tasks, *of_all]
    assert sorted(logs) == sorted([*names, *(f"val_{name}" for name in names)])


@pytest.mark.parametrize(
    ("tasks", "metrics", "name"),
    [
        (["val", "a"], None, "val_loss"),
        (["a", "val_a"], None, "val_a_loss"),
        (["auc_task", "a"], {"auc_task": "macro", "a": "auc"}, None),
        (["a", "a_loss"], {"a": "loss_auc", "a_loss": "auc"}, "a_loss_auc"),
    ],
)
def test_tasks_whose_logs_would_be_one_are_refused(tasks, metrics, name):
    model = mmoe(USER_AND_ITEM, [Task(task) for task in tasks])
    metrics = metrics and {
        task: keras.metrics.AUC(name=metric) for task, metric in metrics.items()
    }
    given = {"loss": "binary_crossentropy", "metrics": metrics}
    if name is None:
        model.compile("adam", **given)
        return
    with pytest.raises(ValueError, match=f"must differ.*Received: .*{name!r}"):
        model.compile("adam", **given)
