"""Every factory says what is wrong with its arguments, and what it has no use for."""

import importlib
import inspect
import re
import warnings

import keras
import numpy as np
import pytest

from recsys import Field, Task, create_model, list_models, load_model
from recsys.multitask.stem import stem
from recsys.rank.deepfm import deepfm
from recsys.rank.fm import fm
from recsys.train.factory import factory
from recsys.train.model import Model
from tests import zoo

IDS = [
    Field("user", vocabulary_size=9),
    Field("item", vocabulary_size=7, belong="item"),
    Field("place", vocabulary_size=3, belong="domain"),
]
NUMBERS = [
    Field("a", vocabulary_size=0, length=2, dtype="float32"),
    Field("b", vocabulary_size=0, dtype="float32", belong="item"),
]
TASKS = [Task("t0"), Task("t1")]


def _each(entries):
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.name)


each_model = _each(zoo.ENTRIES)


def _refusal(entry, fields, **kwargs):
    with pytest.raises((TypeError, ValueError)) as refused:
        create_model(entry.name, fields, **kwargs)
    return str(refused.value)


@_each([entry for entry in zoo.ENTRIES if "task" in entry.arguments()])
def test_models_of_one_task_refuse_several_and_name_those_that_take_them(entry):
    for tasks in (TASKS, [*TASKS, Task("t2")], [Task("t0")], tuple(TASKS)):
        text = _refusal(entry, IDS, task=tasks)
        assert text.startswith(f"{entry.name} answers one task")
        assert all(name in text for name in list_models("multitask"))
        assert "task_list" in text and "Task('t0')" in text


@_each([entry for entry in zoo.ENTRIES if entry.several_tasks])
def test_models_of_several_tasks_refuse_what_is_no_list_of_tasks(entry):
    for wrong in (Task("a"), "click", ["click", "like"], 3):
        text = _refusal(entry, IDS, task_list=wrong)
        assert text.startswith(f"{entry.name}: task_list must be list[Task]")
        assert text.endswith(f"Received: task_list={wrong!r}")


@each_model
def test_an_unknown_argument_is_told_the_nearest_name(entry):
    known = entry.arguments()[-1]
    wrong = known[:-1] + "_" + known[-1]
    text = _refusal(entry, IDS, **{wrong: 1})
    assert text.startswith(f"{entry.name} has no argument '{wrong}'")
    assert known in text


@pytest.mark.parametrize(
    ("argument", "of"),
    [
        ("history_agg", lambda name: True),
        ("structure", lambda name: name in ("dcn", "dcn_mix", "gdcn")),
    ],
)
def test_a_word_that_is_none_of_those_known_is_refused_by_the_model(argument, of):
    entries = [e for e in zoo.ENTRIES if argument in e.arguments() and of(e.name)]
    for entry in entries:
        given = {"task_list": TASKS} if entry.several_tasks else {}
        text = _refusal(entry, IDS, **given, **{argument: "nope"})
        assert text.startswith(f"{entry.name}: {argument} must be one of (")
        assert text.endswith(f"Received: {argument}='nope'")
    assert len(entries) >= 3


def test_hiden_units_are_hidden_units():
    with pytest.raises(
        TypeError, match="deepfm has no argument 'hiden_units'; the .* hidden_units"
    ):
        create_model("deepfm", IDS, hiden_units=(3,))
    with pytest.raises(TypeError, match="'zzz'; its arguments are fields, task"):
        fm(IDS, zzz=1)


@_each([entry for entry in zoo.ENTRIES if entry.name != "stem"])  # it takes a dict too
def test_fields_must_be_a_list_of_fields(entry):
    given = {"task_list": TASKS} if entry.several_tasks else {}
    for wrong in (Task("x"), IDS[0], "user", ["user"], None, 3):
        text = _refusal(entry, wrong, **given)
        assert text.startswith(f"{entry.name}: {entry.arguments()[0]} must be ")
        assert text.endswith(f"={wrong!r}")


def test_a_task_in_the_place_of_a_list_of_fields():
    with pytest.raises(
        ValueError,
        match=r"^deepfm: fm_fields must be list\[Field\] \| "
        r"None\. Received: fm_fields=Task\('x'",
    ):
        deepfm(IDS, Task("x"))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"task": "ctr"}, "task must be Task. Received: task='ctr'"),
        ({"task": None}, "task must be Task. Received: task=None"),
        ({"hidden_units": 64}, r"hidden_units must be list[int]. Received: "),
        ({"hidden_units": [0]}, "hidden_units must be a list, each an integer of at "),
        ({"activation": 3}, "activation must be str | Callable[..., Any]. Received: "),
        ({"hidden_units": "64"}, r"hidden_units must be list[int]. Received: "),
        ({"hidden_units": (8, 2.5)}, r"hidden_units must be list[int]. Received: "),
        ({"dropout": "0.5"}, "dropout must be float. Received: dropout='0.5'"),
        ({"use_bn": "yes"}, "use_bn must be bool. Received: use_bn='yes'"),
        ({"use_bn": 2}, "use_bn must be bool. Received: use_bn=2"),
        ({"hidden_units": [True]}, "hidden_units must be list[int]. Received: "),
        ({"hidden_units": {8, 4}}, "hidden_units must be list[int]. Received: "),
        ({"hidden_units": (8 for _ in "a")}, "hidden_units must be list[int]. Recei"),
        ({"dropout": True}, "dropout must be float. Received: dropout=True"),
        ({"history_agg": None}, "history_agg must be str. Received: history_agg=None"),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(wrong, text):
    with pytest.raises(ValueError) as refused:
        deepfm(IDS, **wrong)
    assert str(refused.value).startswith(f"deepfm: {text}")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("deepfm", {"dropout": np.float32(0.5), "use_bn": np.True_}),
        ("deepfm", {"hidden_units": [np.int64(4)], "l2_reg": np.float32(0.1)}),
        ("deepfm", {"hidden_units": np.array([4, 3])}),
        ("din", {"task": Task("m", "multiclass", np.int64(3))}),
        ("autoint", {"num_heads": np.int64(2)}),
        ("mmoe", {"task_list": TASKS, "num_experts": np.int64(2)}),
        ("deepfm", {"agg_kwargs": {"ffn_hidden_units": (np.int64(4),)}}),
    ],
)
def test_numbers_of_numpy_are_numbers_and_are_saved(name, numbers, tmp_path):
    fields = [*IDS, Field("seen", emb="item", belong="history", length=3)]
    model = create_model(name, fields, **numbers)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    x = {field.name: np.ones((2, field.length), int) for field in fields}
    for field in IDS:
        x[field.name] = x[field.name][:, 0]
    for value, wanted in zip(
        keras.tree.flatten(loaded.predict(x, verbose=0)),
        keras.tree.flatten(model.predict(x, verbose=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(value, wanted)


def test_classes_of_a_task_are_an_integer():
    assert type(Task("m", "multiclass", np.int64(3)).num_classes) is int
    for wrong in (3.0, "3", None):
        with pytest.raises(ValueError, match="'m': num_classes must be an integer"):
            Task("m", "multiclass", wrong)


def test_the_values_of_a_dict_and_an_array_are_lists_of_fields():
    by_name = {field.name: field for field in IDS}
    fields = np.empty(len(IDS), object)
    fields[:] = IDS
    for given in (by_name.values(), fields):
        assert [*fm(given).input] == [*by_name]
    for wrong in (by_name, iter(IDS), "user"):
        with pytest.raises(ValueError, match="^fm: fields must be list"):
            fm(wrong)


@each_model
def test_no_fields_and_no_tasks_are_refused_in_words(entry):
    several = {"task_list": TASKS} if entry.several_tasks else {}
    texts = [_refusal(entry, [], **several)]
    if several:
        texts.append(_refusal(entry, IDS, task_list=[]))
    for text in texts:
        assert "Received: " in text and "Exception encountered" not in text


@_each([entry for entry in zoo.ENTRIES if entry.family != "match"])
def test_a_task_and_a_field_of_one_name_are_both_named(entry):
    task = Task("item_id")
    given = {"task_list": [task, TASKS[0]]} if entry.several_tasks else {"task": task}
    text = _refusal(entry, entry.fields(), **given)
    assert "a field and a task must not have one name" in text, text
    assert text.endswith("Received: field 'item_id' and task 'item_id'")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: stem({Task("a"): []}), "a field at least. Received: {'a': []}"),
        (lambda: stem([], task_list=TASKS), "Received: {'t0': [], 't1': []}"),
        (lambda: stem({TASKS[0]: IDS}, {TASKS[1]: []}), "'t1': []}"),
        (lambda: stem({TASKS[0]: IDS}, shared_group=[]), "'shared': []}"),
        (lambda: stem({"a": IDS}), "Received: task_group={'a': "),
        (lambda: stem({("a",): IDS}), "Received: task_group={('a',): "),
        (lambda: stem({}), "Received: []"),
        (lambda: create_model(None, IDS), "Received: name=None"),
        (lambda: create_model(["deepfm"], IDS), "Received: name=['deepfm']"),
        (lambda: create_model("DeepFM", IDS), "nearest names are deepfm"),
        (
            lambda: create_model("esmm", [*IDS, Field("cvr", vocabulary_size=3)]),
            "esmm: a field and a task must not have one name. Received: field 'cvr'",
        ),
    ],
)
def test_what_cannot_be_built_is_said(call, text):
    with pytest.raises(ValueError) as refused:
        call()
    assert text in str(refused.value)


@each_model
def test_numbers_without_embeddings_build_or_are_refused_in_words(entry):
    given = {"task_list": TASKS} if entry.several_tasks else {}
    place = IDS[2:] if entry.family == "multidomain" else []
    try:
        create_model(entry.name, [*NUMBERS, *place], **given)
    except ValueError as refused:
        assert "Received: " in str(refused)
        assert "Exception encountered" not in str(refused)


def _tops():
    """Models whose embeddings interact; deep ones take numbers alone."""
    names = ("adaf2m2", "afm", "autoint", "contextnet", "deepfefm", "deepfm")
    names += ("deepfwfm", "edcn", "eulernet", "fefm", "ffm", "fibinet", "fibinet_plus")
    return (
        *names,
        "fm",
        "fmfm",
        "fwfm",
        "gwpfm",
        "hmoe",
        "masknet",
        "nfm",
        "pin",
        "pnn",
        "wukong",
        "xdeepfm",
    )


@pytest.mark.parametrize("name", _tops())
def test_numbers_alone_do_not_interact(name):
    with pytest.raises(ValueError, match="fields: one at least must have an embedding"):
        create_model(name, NUMBERS)


UNREAD = {
    "bert4rec": {"user_id", "category", "seen_category"},
    "comirec": {"user_id"},
    "gru4rec": {"user_id", "category", "seen_category"},
    "hstu": {"user_id", "category", "seen_category"},
    "lightgcn": {"category", "seen", "seen_category"},
    "ncf": {"category", "seen", "seen_category"},
    "sasrec": {"user_id", "category", "seen_category"},
    "sdm": {"category"},
    "simplex": {"category", "seen_category"},
    "youtube_dnn": {"category"},
}
"""Which fields of ids of `tests.zoo` match models do not read."""


@each_model
def test_fields_that_a_model_does_not_read_are_named_in_one_warning(entry):
    module = importlib.import_module(f"recsys.{entry.family}.{entry.name}")
    given = entry.given() | ({"task_list": TASKS} if entry.several_tasks else {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = getattr(module, entry.name)(entry.fields(), **given)
    named = [str(warning.message) for warning in caught]
    declared = {each for f in entry.fields() for each in (f.name, f.weight) if each}
    unread = declared - {*model.input}
    unread -= given.get("catalogue", {}).keys()
    assert len(named) == bool(unread)
    if unread:
        assert UNREAD[entry.name] <= unread
        text = f"{entry.name} does not read the columns {sorted(unread)}:"
        assert named[0].startswith(text)
        assert caught[0].filename == __file__
    else:
        assert entry.name not in UNREAD


def test_a_factory_keeps_its_name_signature_and_help():
    @factory()
    def mine(fields, depth: int = 2) -> Model:
        """Builds mine."""
        return fm(fields)

    assert (mine.__name__, mine.__doc__) == ("mine", "Builds mine.")
    assert [*inspect.signature(mine).parameters] == ["fields", "depth"]
    with pytest.raises(ValueError, match="^mine: depth must be int. Received: depth='"):
        mine(IDS, "3")
    with pytest.raises(TypeError, match="^mine: missing a required argument: 'fields'"):
        mine()


@pytest.mark.parametrize("wrong", [Task("a"), IDS[0], {Task("a"): Task("b")}, 3])
def test_groups_of_stem_must_be_dicts_of_tasks_and_fields(wrong):
    for name in ("task_group", "auxiliary_task_group"):
        with pytest.raises(ValueError, match=f"^stem: {name} must be Mapping"):
            stem(**{"task_group": {Task("a"): IDS}, name: wrong})


def _numbers(entry):
    """The arguments that hold numbers, one or several, and of which kind."""
    module = importlib.import_module(f"recsys.{entry.family}.{entry.name}")
    parameters = inspect.signature(getattr(module, entry.name)).parameters
    one = {
        p.name: str(p.annotation).removeprefix("<class '") for p in parameters.values()
    }
    for name, kind in one.items():
        for number in ("int", "float"):
            if re.match(f"{number}\\b(?! \\| (str|bool))", kind):
                yield name, number, False
            elif f"Sequence[{number}]" in kind and "Mapping" not in kind:
                yield name, number, True


@each_model
def test_a_number_that_cannot_be_meant_is_named(entry):
    given = {"task_list": TASKS} if entry.several_tasks else {}
    for name, number, several in _numbers(entry):
        wrong = [float("nan"), float("inf"), -float("inf"), True, "3", 1j]
        if number == "int":
            wrong += [2.5] if name == "seed" else [2.5, -1]
            wrong += [] if name in {"seed", *entry.factory.may_be_zero} else [0]
        elif name.endswith("dropout"):
            wrong += [1.0, 1.5, -0.1]
        elif name == "l2_reg" or "weight" in name:
            wrong += [-0.1]
        for value in wrong:
            value = [value] if several else value
            text = _refusal(entry, IDS, **given, **{name: value})
            assert text.startswith(f"{entry.name}: {name} must be "), text
            assert text.endswith(f"Received: {name}={value!r}"), text


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        pytest.param(entry, name, id=f"{entry.name}-{name}")
        for entry in zoo.ENTRIES
        for name in entry.factory.may_be_zero
    ],
)
def test_a_count_that_may_be_zero_builds_with_zero(entry, name):
    model = entry.build(**{name: 0})
    rows = zoo.rows(4)
    predicted = model.predict_on_batch({key: rows[key] for key in model.input})
    for each in keras.tree.flatten(predicted):
        assert np.isfinite(each).all()


@pytest.mark.parametrize("agg", ["transformer", "tim"])
def test_histories_are_pooled_with_zero_layers(agg):
    past = Field("past", emb="item", length=3, belong="history")
    deepfm([*IDS[:2], past], history_agg=agg, agg_kwargs={"num_layers": 0})


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("masknet", "block_units"),
        ("xdeepfm", "cin_units"),
        ("dat", "hidden_units"),
        ("gru4rec", "hidden_units"),
        ("two_tower", "hidden_units"),
        ("mmoe", "experts_dim"),
        ("ame", "times"),
    ],
)
def test_a_list_that_must_not_be_empty_is_named(name, argument):
    given = {"task_list": TASKS} if name in list_models("multitask") else {}
    for empty, came in (((), ()), ([], []), (np.array([], int), [])):
        with pytest.raises(ValueError) as refused:
            create_model(name, IDS, **given, **{argument: empty})
        assert str(refused.value) == (
            f"{name}: {argument} must be a list of at least one. "
            f"Received: {argument}={came}"
        )


NO_ACTIVATIONS = [keras.layers.ReLU, print, lambda: 0, "nope", "", "Dice"]


@_each([e for e in zoo.ENTRIES if any("activation" in a for a in e.arguments())])
def test_an_activation_that_there_is_not_is_named(entry):
    given = {"task_list": TASKS} if entry.several_tasks else {}
    names = [n for n in entry.arguments() if re.fullmatch("(.*_)?activation", n)]
    for name in names:
        for wrong in NO_ACTIVATIONS:
            text = _refusal(entry, IDS, **given, **{name: wrong})
            assert text.startswith(f"{entry.name}: {name} must be 'dice', 'prelu', the")
            assert text.endswith(f"Received: {name}={wrong!r}")


def test_every_model_has_numbers_to_be_wrong_in():
    found = {name for entry in zoo.ENTRIES for name, *_ in _numbers(entry)}
    assert {"hidden_units", "dropout", "l2_reg", "num_heads", "temperature"} <= found


@pytest.mark.parametrize(
    ("agg", "wrong"),
    [
        ("transformer", {"num_heads": 2.5}),
        ("transformer", {"num_layers": -1}),
        ("transformer", {"num_heads": 0}),
        ("tim", {"d_model": 0}),
        ("attention", {"query_activation": "nope"}),
        ("transformer", {"dropout": float("nan")}),
        ("attention", {"ffn_hidden_units": (8, True)}),
        ("tim", {"dropout": 1.0}),
        ("tim", {"d_model": "8"}),
    ],
)
def test_a_bad_argument_of_how_histories_are_pooled_is_named(agg, wrong):
    past = Field("past", emb="item", length=3, belong="history")
    ((name, value),) = wrong.items()
    text = f"history_agg {agg!r}: {name} must be .*Received: {name}="
    with pytest.raises(ValueError, match=text):
        deepfm([*IDS[:2], past], history_agg=agg, agg_kwargs=wrong)
