"""What reaches a model from a user: taken as it is, or one error before its step."""

import itertools
import re
import warnings

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf

from recsys import Field, Task, metrics
from recsys.data import Categorical, FeaturePipeline
from recsys.inputs.embedder import FieldEmbedder
from recsys.layers.heads import PredictLayer, predict
from recsys.layers.mlp import Tower
from recsys.match.youtube_dnn import youtube_dnn
from recsys.train import feeding, gate
from recsys.train.columns import ColumnSpec
from recsys.train.model import Model
from tests import zoo
from tests.close import close

N = 12
A, B = Task("b_task"), Task("a_task")
CLASSES, COUNT = Task("kind", "multiclass", 3), Task("count", "count")
FIELDS = [
    Field("u", vocabulary_size=50),
    Field("past", belong="history", emb="u", vocabulary_size=50, length=3),
    Field("f", dtype="float32"),
]


def _model(*tasks, loss="ce"):
    embed = FieldEmbedder(FIELDS)
    x = embed(FIELDS, "mean_pooling").concat()
    logits = [
        Tower((), num_logits=t.num_classes, name=f"dnn_{t.name}")(x) for t in tasks
    ]
    one = len(tasks) == 1
    outputs = predict(tasks[0], logits[0]) if one else predict(tasks, logits)
    model = Model(inputs=embed.inputs, outputs=outputs)
    model.compile("sgd", loss)
    return model


@pytest.fixture(scope="module")
def one():
    return _model(A)


@pytest.fixture(scope="module")
def two():
    return _model(A, B)


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return {
        "u": rng.integers(0, 50, N),
        "past": rng.integers(0, 50, (N, 3)),
        "f": rng.normal(size=N),
    }


@pytest.fixture
def y():
    rng = np.random.default_rng(1)
    return {task.name: rng.integers(0, 2, N).astype(float) for task in (A, B)}


USES = {
    "fit": lambda m, x, y, w: m.fit(x, y, sample_weight=w, verbose=0),
    "evaluate": lambda m, x, y, w: m.evaluate(x, y, sample_weight=w, verbose=0),
    "train_on_batch": lambda m, *parts: m.train_on_batch(*parts),
    "test_on_batch": lambda m, *parts: m.test_on_batch(*parts),
}


def refused(model, error, use):
    """Asserts that one error of ours comes, and before any step."""
    before = model.get_weights()
    with pytest.raises(ValueError, match=error) as found:
        use()
    assert type(found.value) is ValueError
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# As many rows.

ROWS = {
    "labels by name": (
        lambda y: {**y, "a_task": np.tile(y["a_task"], 2)},
        None,
        "Labels of task 'a_task' must have as many rows as the columns, 12. .*: 24",
    ),
    "labels in a list": (
        lambda y: [y["b_task"][:5], y["a_task"]],
        None,
        "Labels of task 'b_task' must have as many rows as the columns, 12. .*: 5",
    ),
    "weights": (dict, np.ones(2 * N), "sample_weight must have as many rows.*12.*: 24"),
    "too few weights": (dict, np.ones(N - 1), "sample_weight must have as many.*: 11"),
    "weights by name": (
        dict,
        {"a_task": np.ones(2 * N)},
        "sample_weight of task 'a_task' must have as many rows.*12.*: 24",
    ),
    "a frame": (
        lambda y: pd.DataFrame(y).iloc[:7],
        None,
        "Labels of task 'b_task' must have as many rows as the columns, 12. .*: 7",
    ),
    "weights in a frame": (
        dict,
        pd.DataFrame({"a_task": np.ones(2 * N)}),
        "sample_weight of task 'a_task' must have as many rows.*12.*: 24",
    ),
}


@pytest.mark.parametrize("use", [*USES, "validation"])
@pytest.mark.parametrize("case", ROWS)
def test_other_numbers_of_rows_are_one_error_before_the_first_step(
    two, x, y, case, use
):
    labels, weights, error = ROWS[case]
    given = x, labels(y), weights
    if use == "validation":
        refused(two, error, lambda: two.fit(x, y, validation_data=given, verbose=0))
    else:
        refused(two, error, lambda: USES[use](two, *given))


@pytest.mark.parametrize("use", USES)
def test_other_numbers_of_rows_in_a_column_that_a_metric_groups_by(x, y, use):
    model = _model(A)
    model.compile("sgd", "ce", metrics=[metrics.GAUC(group="who")])
    given = {**x, "who": np.arange(2 * N)}
    error = "Column 'who', which a metric groups by, must have as many rows.*12.*: 24"
    refused(model, error, lambda: USES[use](model, given, y["b_task"], None))


def test_columns_that_nobody_reads_may_be_of_any_form(one, x, y):
    given = {**x, "day": 3, "notes": np.ones(2 * N)}
    one.fit(given, y["b_task"], verbose=0)
    assert one.predict(given, verbose=0).shape == (N, 1)
    lists = [[1], [2, 3, 4]] * (N // 2)
    frame = pd.DataFrame({**x, "past": [*x["past"]], "tags": lists})
    labels = pd.DataFrame({"b_task": y["b_task"], "tags": lists})
    tables = pl.from_pandas(frame), {**x, "tags": lists}
    rows = [{n: v[i] for n, v in tables[1].items()} for i in range(N)]
    frame["any"] = [*["text", 3, object()] * (N // 3)]
    for table in (frame, *tables, tables[0].to_arrow(), rows):
        one.fit(table, labels, verbose=0)
        for validate in (True, False):
            batches = Batches([(table, y["b_task"])])
            one.fit(batches, validate=validate, verbose=0)
    error = r"Column 'f' is missing. Received: columns \['any', 'past', 'tags', 'u'\]"
    refused(one, error, lambda: one.predict(frame.drop(columns="f")))
    ragged = tf.ragged.constant(lists)
    one.fit(_as_tensors(({**x, "notes": ragged}, y["b_task"])), verbose=0)


@pytest.mark.parametrize("parts", [0, 4])
def test_validation_data_has_one_to_three_parts(one, x, y, parts):
    label = y["b_task"]
    data = (x, label, label, label)[:parts]
    error = r"validation_data must be x, \(x, y\) or .*Received: \d parts"
    refused(one, error, lambda: one.fit(x, label, validation_data=data, verbose=0))


def test_a_label_of_one_row_may_be_in_a_list(one, x, y):
    row = {name: column[:1] for name, column in x.items()}
    close(one.evaluate(row, [1], verbose=0), one.evaluate(row, np.ones(1), verbose=0))


# What makes batches.


class Batches(keras.utils.PyDataset):
    def __init__(self, batches, **kwargs):
        super().__init__(**kwargs)
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def _cuts(parts):
    """Three batches of four rows."""

    def cut(at):
        return keras.tree.map_structure(lambda array: array[at : at + 4], parts)

    return [cut(at) for at in range(0, N, 4)]


def _as_tensors(parts):
    return tf.data.Dataset.from_tensor_slices(parts).batch(4)


def _of_any_shape(parts):
    batches = _cuts(parts)
    spec = keras.tree.map_structure(
        lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), batches[0]
    )
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)


def _loader(parts):
    torch = pytest.importorskip("torch")
    tensors = keras.tree.map_structure(torch.as_tensor, parts)
    rows = [keras.tree.map_structure(lambda t, i=i: t[i], tensors) for i in range(N)]
    return torch.utils.data.DataLoader(rows, batch_size=4)


def _of_no_known_rank(parts):
    batches = _cuts(parts)
    spec = keras.tree.map_structure(
        lambda array: tf.TensorSpec(None, array.dtype), batches[0]
    )
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)


SOURCES = {
    "dataset": _as_tensors,
    "dataset of any shape": _of_any_shape,
    "dataset of no known rank": _of_no_known_rank,
    "PyDataset": lambda parts: Batches(_cuts(parts)),
    "threads": lambda parts: Batches(_cuts(parts), workers=2),
    "processes": lambda parts: Batches(
        _cuts(parts), workers=2, use_multiprocessing=True
    ),
    "generator": lambda parts: (batch for batch in _cuts(parts)),
    "DataLoader": _loader,
}


def _with(array, value, at=6):
    array = array.astype(np.result_type(array, np.asarray(value)))
    array[at] = value
    return array


COLUMNS = {
    "a large id": ("u", 2**32 + 3, "ids from 0 to 49. Received: 4294967299 in row 2"),
    "an unknown id": ("u", 77, "ids from 0 to 49. Received: 77 in row 2"),
    "a negative id": ("u", -1, "ids from 0 to 49. Received: -1 in row 2"),
    "half an id": ("u", 1.5, "whole ids. Received: 1.5 in row 2"),
    "an id that is NaN": ("u", np.nan, "finite numbers. Received: nan in row 2"),
    "NaN": ("f", np.nan, "finite numbers. Received: nan in row 2"),
    "infinity": ("f", -np.inf, "finite numbers. Received: -inf in row 2"),
    "1e300": ("f", 1e300, r"numbers that float32 holds. Received: 1e\+300 in row 2"),
    "a past id": ("past", 50, "ids from 0 to 49. Received: 50 in row 2"),
}
LABELS = {
    "a label of 7": (7, "Labels of task 'b_task' must be 0, 1, .*: 7.0 in row 2"),
    "an infinite label": (np.inf, "Labels of task 'b_task' must be 0, 1, .*: inf"),
}
WEIGHTS = {
    "a weight of NaN": (np.nan, "sample_weight must be finite and.*: nan in row 2"),
    "an infinite weight": (np.inf, "sample_weight must be finite and.*: inf in row 2"),
    "a negative weight": (-1.0, "sample_weight must be finite and at.*: -1.0 in row 2"),
    "a huge weight": (1e39, "sample_weight must be finite and at.*in row 2"),
}


def _bad(x, label, case):
    """Parts of batches, of which the second is not right, and the error."""
    weight = np.ones(N)
    if case in COLUMNS:
        name, value, error = COLUMNS[case]
        changed = {**x, name: _with(x[name], value)}
        return (changed, label), f"batch 1: Column '{name}' must hold {error}"
    if case in LABELS:
        value, error = LABELS[case]
        return (x, _with(label, value)), f"batch 1: {error}"
    value, error = WEIGHTS[case]
    return (x, label, _with(weight, value)), f"batch 1: {error}"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", [*COLUMNS, *LABELS, *WEIGHTS])
def test_every_batch_is_checked(one, x, y, source, case):
    parts, error = _bad(x, y["b_task"], case)
    for who, use in (("fit", one.fit), ("evaluate", one.evaluate)):
        with pytest.raises(ValueError, match=f"{who}, {error}") as found:
            use(SOURCES[source](parts), verbose=0)
        assert type(found.value) is ValueError
    if case in COLUMNS:
        given = SOURCES[source](parts[:1])
        with pytest.raises(ValueError, match=f"predict, {error}") as found:
            one.predict(given, verbose=0)
        assert type(found.value) is ValueError


@pytest.mark.parametrize("case", [*COLUMNS, *LABELS, *WEIGHTS])
def test_batches_by_hand_are_checked(one, x, y, case):
    parts, error = _bad(x, y["b_task"], case)
    error = error.removeprefix("batch 1: ").replace("row 2", "row 6")
    refused(one, error, lambda: one.train_on_batch(*parts))
    refused(one, error, lambda: one.test_on_batch(*parts))
    if case in COLUMNS:
        refused(one, error, lambda: one.predict_on_batch(parts[0]))


@pytest.mark.parametrize("source", SOURCES)
def test_validation_batches_are_checked(one, x, y, source):
    parts, error = _bad(x, y["b_task"], "NaN")
    good = _as_tensors((x, y["b_task"]))
    with pytest.raises(ValueError, match=f"validation_data, {error}"):
        one.fit(good, validation_data=SOURCES[source](parts), verbose=0)


ENDS = "ignore:Your input ran out of data"  # which Keras says where it has no length


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("source", SOURCES)
def test_checks_can_be_switched_off(one, x, y, source):
    parts, _ = _bad(x, y["b_task"], "infinity")
    before = one.get_weights()
    one.fit(SOURCES[source](parts), validate=False, verbose=0)
    one.evaluate(SOURCES[source](parts), validate=False, verbose=0)
    one.predict(SOURCES[source](parts[:1]), validate=False, verbose=0)
    one.set_weights(before)  # they are not finite any more


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("source", SOURCES)
def test_batches_that_are_right_give_what_arrays_do(one, x, y, source):
    label = np.where(np.arange(N) == 7, np.nan, y["b_task"])
    weight = np.arange(N) / N
    parts = x, label, weight
    given = SOURCES[source]
    wanted = one.evaluate(*parts[:2], sample_weight=weight, batch_size=4, verbose=0)
    close(one.evaluate(given(parts), verbose=0), wanted, terms=100)
    close(one.predict(given((x,)), verbose=0), one.predict(x, verbose=0), terms=100)


BY_HAND = {
    "PyDataset": Batches,
    "threads": lambda batches: Batches(batches, workers=2),
    "generator": lambda batches: (batch for batch in batches),
    "DataLoader": lambda batches: pytest.importorskip("torch").utils.data.DataLoader(
        batches, batch_size=None
    ),
}
FIRST = [
    {"f": "int64", "label": "int64", "weight": "int64"},
    {"f": "int8", "u": "uint8", "who": "int32", "label": "bool", "weight": "int8"},
    {"f": "float16", "u": "float64", "past": "float32", "label": "float16"},
]


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("source", BY_HAND)
def test_types_are_not_those_of_the_first_batches(x, y, source):
    late = np.arange(N) >= 8
    x |= {"f": np.where(late, x["f"], 1), "u": np.where(late, x["u"], 1)}
    x["who"] = np.where(late, 2**32, 0) + np.arange(N) % 4  # equal in four bytes
    label = np.where(np.arange(N) == 9, np.nan, y["b_task"])
    weight = np.where(late, 0.5, 2)
    model = _model(A)
    metric = metrics.GAUC(group="who")
    model.compile(keras.optimizers.SGD(0.0), "ce", weighted_metrics=[metric])
    of = {"sample_weight": weight, "batch_size": 4, "verbose": 0}
    wanted = model.evaluate(x, label, **of)
    predicted = model.predict(x, batch_size=4, verbose=0)
    for types, validate in itertools.product(FIRST, (True, False)):
        batches = _cuts({**x, "label": label, "weight": weight})
        for batch in batches[:2]:
            batch |= {name: batch[name].astype(kind) for name, kind in types.items()}
        parts = [(each, each.pop("label"), each.pop("weight")) for each in batches]
        how = {"validate": validate, "verbose": 0}
        assert model.evaluate(BY_HAND[source](parts), **how) == wanted
        found = model.predict(
            BY_HAND[source]([columns for columns, *_ in parts]), **how
        )
        np.testing.assert_array_equal(found, predicted)
        given = {"validation_data": BY_HAND[source](parts), "batch_size": 4}
        fit = model.fit(x, label, **given, **how)
        assert [fit.history[f"val_{name}"][0] for name in ("loss", "gauc")] == wanted


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("source", [s for s in SOURCES if "dataset" not in s])
def test_batches_have_the_forms_that_arrays_have(two, x, y, source):
    """Labels in the order of the tasks, columns that nobody reads, no weights."""
    labels = [y["b_task"], y["a_task"]]
    wanted = two.evaluate(x, labels, batch_size=4, verbose=0)
    more = {**x, "words": np.array(["a", "b"] * 6)}
    if source == "DataLoader":  # it makes tensors of all there is
        more = x
    batches = _cuts((more, labels))
    none = [(*parts, None) for parts in batches]
    for each in (batches, none):
        if source == "DataLoader":
            if each is none:
                continue
            given = _loader((more, labels))
        elif source == "generator":
            given = (batch for batch in each)
        else:
            options = {"threads": {"workers": 2}, "PyDataset": {}}
            several = {"workers": 2, "use_multiprocessing": True}
            given = Batches(each, **options.get(source, several))
        close(two.evaluate(given, verbose=0), wanted, terms=100)


FORMS = {
    "lists": lambda column: column.tolist(),
    "tuples": lambda column: tuple(column.tolist()),
    "numbers of NumPy": lambda column: [*column],
    "tensors": tf.constant,
    "masked": lambda column: np.ma.array(column, mask=np.zeros(column.shape, bool)),
    "of pandas": lambda column: pd.Series([*column]) if column.ndim == 1 else column,
    "of polars": lambda column: pl.Series(column) if column.ndim == 1 else column,
}


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_batches_may_have_what_arrays_may(one, x, y, form, validate):
    how = {"validate": validate, "verbose": 0}
    make, y = FORMS[form], y["b_task"]
    columns = {name: make(value) for name, value in x.items()}
    weight = np.linspace(0, 1, N)
    wanted = one.evaluate(x, y, N, sample_weight=weight, verbose=0)
    for batch in (
        (columns, make(y), make(weight)),
        (x, [make(y)], weight),
        (x, {"b_task": make(y), "other": ["x"] * N}, {"b_task": make(weight)}),
        (x, pd.DataFrame({"b_task": y}), weight),
        (pl.DataFrame(x), y, weight),
        (pl.DataFrame(x).to_dicts(), y, weight),
    ):
        close(one.evaluate((b for b in [batch]), **how), wanted, terms=100)
        close(one.evaluate(Batches([batch]), **how), wanted, terms=100)
    many = one.predict((columns for _ in range(2)), **how)
    close(many, np.tile(one.predict(x), (2, 1)))


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_a_list_of_rows_is_a_batch(one, x, y, rows):
    columns = {name: column[:rows] for name, column in x.items()}
    wanted = one.predict(columns, verbose=0)
    batch = pl.DataFrame(columns).to_dicts()
    for given in ((b for b in [batch]), Batches([batch])):
        close(one.predict(given, verbose=0), wanted)
    parts = [columns, {"b_task": y["b_task"][:rows]}]  # torch makes lists of tuples
    wanted = one.evaluate(*parts, verbose=0)
    for given in ((b for b in [parts]), Batches([parts])):
        close(one.evaluate(given, verbose=0), wanted)


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("validate", [True, False])
def test_what_is_masked_in_a_batch_is_missing(one, x, y, validate):
    how = {"validate": validate, "verbose": 0}
    label, hidden = y["b_task"], np.arange(N) < 4
    masked = np.ma.array(label, mask=hidden)
    wanted = one.evaluate(x, np.where(hidden, np.nan, label), N, verbose=0)
    for batch in ((x, masked), (x, [masked]), (x, {"b_task": masked})):
        close(one.evaluate((b for b in [batch]), **how), wanted, terms=100)
        close(one.evaluate(Batches([batch]), **how), wanted, terms=100)
    ids = {**x, "u": np.ma.array(x["u"], mask=hidden)}
    error = "Column 'u' must hold finite numbers. Received: nan"
    refused(one, error, lambda: one.fit((b for b in [(ids, label)]), verbose=0))
    refused(one, error, lambda: one.predict(ids for _ in range(1)))
    weighted = x, label, np.ma.array(label, mask=hidden)
    refused(one, "sample_weight.*nan", lambda: one.fit(Batches([weighted]), verbose=0))


@pytest.mark.parametrize("label", [[True], [np.bool_(1)], [tf.constant(1.0)], [[1]]])
def test_a_label_of_one_row_may_stand_in_a_list(one, x, label):
    row = {name: value[:1] for name, value in x.items()}
    close(one.evaluate(row, label, verbose=0), one.evaluate(row, np.ones(1), verbose=0))


def test_a_list_of_one_array_may_be_of_one_row(one, x, y):
    label = y["b_task"][:, None]
    rows = [{name: value[i : i + 1] for name, value in x.items()} for i in range(N)]
    each = [
        one.evaluate(row, [label[i : i + 1]], verbose=0) for i, row in enumerate(rows)
    ]
    close(np.mean(each), one.evaluate(x, label, verbose=0), terms=100)
    cut = slice(0, 4), slice(4, 8), slice(8, 9)
    parts = [({n: v[s] for n, v in x.items()}, [label[s]]) for s in cut]
    one.fit(Batches(parts), verbose=0)
    one.train_on_batch(rows[0], [tf.constant(label[:1])])


@pytest.mark.filterwarnings(ENDS)
def test_lists_of_several_tasks_are_in_their_order(two, x, y):
    listed = x, [each.tolist() for each in y.values()]
    found = two.evaluate((listed for _ in range(1)), verbose=0)
    close(found, two.evaluate(x, y, N, verbose=0), terms=100)


@pytest.mark.filterwarnings(ENDS)
def test_a_generator_is_read_once(one, x, y):
    def batches():
        return (batch for batch in _cuts((x, y["b_task"])))

    error = "fit: x must be data that can be read again, or steps_per_epoch be given"
    refused(one, error, lambda: one.fit(batches(), epochs=2, verbose=0))
    one.fit(batches(), epochs=3, steps_per_epoch=1, verbose=0)
    one.fit(batches(), epochs=3, initial_epoch=2, verbose=0)
    error = "must be rows. Received: none, or none left for this epoch"
    steps = {"steps_per_epoch": len(_cuts((x, y["b_task"]))), "verbose": 0}
    with pytest.raises(ValueError, match=error):
        one.fit(batches(), epochs=2, **steps)
    once = {"validation_data": batches(), "validation_freq": 2, "epochs": 3}
    one.fit(x, y["b_task"], **once, verbose=0)
    error = "fit: validation_data must be data that can be read again, as a generator"
    for steps in (None, 1):
        given = {"validation_data": batches(), "validation_steps": steps}
        refused(
            one,
            error,
            lambda g=given: one.fit(x, y["b_task"], epochs=2, **g),
        )


@pytest.mark.parametrize("source", [*SOURCES])
def test_labels_and_weights_beside_batches_are_refused(one, x, y, source):
    label = y["b_task"]
    for parts in ((x, label), (x,)):
        for use in (one.fit, one.evaluate):
            given = SOURCES[source](parts)
            error = "y must be a part of each batch.*Received: y and x of"
            refused(one, error, lambda u=use, g=given: u(g, label, verbose=0))
            error = "sample_weight must be a part of each batch.*Received: sample_weigh"
            refused(
                one,
                error,
                lambda u=use, g=given: u(g, sample_weight=label, verbose=0),
            )


BATCHES = {
    "no dict": (lambda x, y: (x["u"], y), r"A batch must be.*\('ndarray', 'ndarray'"),
    "four parts": (lambda x, y: (x, y, y, y), "A batch must be.*'ndarray', 'ndarray'"),
    "no label": (
        lambda x, y: (x,),
        "Labels of .* must be given, as y or in each",
    ),
    "no column": (lambda x, y: ({"u": x["u"]}, y), "Column 'past' is missing"),
    "more labels": (
        lambda x, y: (x, np.tile(y, 2)),
        "Labels of task 'b_task' must have as many rows as the columns, 4.*: 8",
    ),
    "wide labels": (
        lambda x, y: (x, np.stack([y, y], 1)),
        r"Labels of task 'b_task' must have shape.*Received: shape \((4|'rows'), 2\)",
    ),
    "strings": (
        lambda x, y: ({**x, "u": x["u"].astype(str)}, y),
        "Column 'u' must hold numbers.*Received: dtype",
    ),
    "weights of no task": (
        lambda x, y: (x, {"b_task": y}, {"b_tsk": y}),
        "sample_weight must be keyed by tasks.*nearest: b_task.*'b_tsk'",
    ),
}


@pytest.mark.parametrize("case", BATCHES)
@pytest.mark.parametrize("source", ["PyDataset", "generator", "dataset"])
def test_batches_of_another_form_are_refused(one, x, y, source, case):
    make, error = BATCHES[case]
    batch = make({k: v[:4] for k, v in x.items()}, y["b_task"][:4])
    if source == "PyDataset":
        given = Batches([batch])
    elif source == "generator":
        given = (each for each in [batch])
    else:
        given = tf.data.Dataset.from_tensors(batch)
    if source != "dataset":  # whose form is known before there are batches
        error = f"fit, batch 0: {error}"
    refused(one, error, lambda: one.fit(given, verbose=0))


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("source", ["PyDataset", "generator"])
@pytest.mark.parametrize("number", [1, 2])
def test_batches_are_of_one_form(two, x, y, source, number, validate):
    given = _cuts((x, y))
    weight = np.ones(4)
    columns, labels = given[number]
    for other, error in (
        ((columns, labels, weight), r"sample_weight=\('rows',\)"),
        ((columns, labels, {"a_task": weight}), "sample_weight={'b_task': .*"),
        ((columns, {n: v[:, None] for n, v in labels.items()}), None),
    ):
        batches = [*given[:number], other, *given[number + 1 :]]
        how = {"validate": validate, "verbose": 0}
        if error is None:
            two.evaluate(BY_HAND[source](batches), **how)
            continue
        first = r"x, y={'b_task': \('rows', 1\), 'a_task': \('rows', 1\)}"
        error = f"batch {number}: All batches .* first: {first}. Received: .*, {error}$"
        with pytest.raises(ValueError, match=error) as found:
            two.evaluate(BY_HAND[source](batches), **how)
        assert type(found.value) is ValueError and len(str(found.value)) < 400


def test_rows_in_place_of_batches_are_refused(one, x, y):
    rows = tf.data.Dataset.from_tensor_slices((x, y["b_task"]))
    error = r"Column '\w+' must have shape \('rows',.*\). Received: shape \("
    refused(one, error, lambda: one.fit(rows, verbose=0))


def test_a_ragged_column_is_refused(one, x, y):
    ragged = tf.ragged.constant([[1], [2, 3, 4]] * (N // 2))
    rows = _as_tensors(({**x, "past": ragged}, y["b_task"]))
    error = "Column 'past' must be a dense tensor. Received: RaggedTensorSpec"
    refused(one, error, lambda: one.fit(rows, verbose=0))


def test_what_a_users_own_code_raises_stays(one, x, y):
    def broken():
        yield x, y["b_task"]
        raise OSError("the disk is gone")

    with pytest.raises(Exception, match="the disk is gone"):
        one.fit(broken(), verbose=0)


def test_batches_that_are_right_do_not_ask_numpy(two, x, y, monkeypatch):
    asked = []

    def seen(*args, **kwargs):
        asked.append(args)
        return checked(*args, **kwargs)

    checked = feeding.checked
    monkeypatch.setattr(feeding, "checked", seen)
    two.fit(_as_tensors((x, y, {"a_task": y["b_task"]})), verbose=0)
    assert len(asked) == 1  # for the form


DTYPES = [*"bBhHiIlL", "e", "f", "d", "?"]
VALUES = [0, 1, 2, 0.5, 49, 50, 77, -1, 2**31, 2**32 + 3, 1e39, 1e300, np.nan, np.inf]


def test_the_graph_refuses_what_numpy_does():
    """Random columns, labels and weights of all types, some of them not right."""
    rng = np.random.default_rng(0)
    tasks = [A, CLASSES, COUNT, Task("number", "regression")]
    model = _model(*tasks, loss=None)
    reads = feeding.Reads(
        columns=model.columns,
        heads=model.heads,
        losses=[],
        groups=set(),
        of_losses={"w": ColumnSpec("w", (), 0)},
        weights={"w"},
        positives=False,
        capacities={},
        fingerprints=[],
    )

    def array(*shape, odd):
        dtype = np.dtype(rng.choice(DTYPES))
        found = rng.integers(0, 2, shape).astype(dtype)
        if odd:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of casts
                found.flat[rng.integers(found.size)] = np.array(
                    rng.choice(VALUES)
                ).astype(dtype)
        return found

    refusals = 0
    for _ in range(60):
        odd = iter(rng.permutation([True] + [False] * 8))
        x = {"u": array(4, odd=next(odd)), "past": array(4, 3, odd=next(odd))}
        x |= {"f": array(4, odd=next(odd)), "w": array(4, odd=next(odd))}
        y = {
            task.name: array(4, *([3] if task is CLASSES else []), odd=next(odd))
            for task in tasks
        }
        parts = x, y, array(4, odd=next(odd))
        try:
            feeding.checked(reads, *parts, for_loss=True)
            wanted = None
        except ValueError as error:
            wanted = str(error)
        given = tf.data.Dataset.from_tensors(parts)
        if wanted is None:
            assert len(list(*gate.prepared("fit", reads, given))) == 1
            continue
        refusals += 1
        with pytest.raises(tf.errors.InvalidArgumentError) as found:
            list(*gate.prepared("fit", reads, given))
        assert f"ValueError: fit, batch 0: {wanted}" in str(found.value)
    assert 15 < refusals < 55


def test_a_batch_whose_label_lacks_the_one_it_requires_is_refused():
    heads = {
        "click": PredictLayer("binary", name="click"),
        "buy": PredictLayer("binary", name="buy", requires="click"),
    }
    reads = feeding.Reads(
        {"f": ColumnSpec("f", (), 0)}, heads, [], set(), {}, set(), False, {}, []
    )
    x = {"f": np.zeros(3)}
    for click, error in (
        ([1, np.nan, 1], None),
        ([1, 1, 0], "Labels of task 'buy' must be 0 where those of 'click' are.*row 2"),
    ):
        y = {"click": np.array(click), "buy": np.array([0, 1, 1.0])}
        given = tf.data.Dataset.from_tensors((x, y))
        if error is None:
            assert len(list(*gate.prepared("fit", reads, given))) == 1
        else:
            with pytest.raises(tf.errors.InvalidArgumentError, match=error):
                list(*gate.prepared("fit", reads, given))


def test_an_input_of_integers_that_are_no_ids():
    inputs = {"days": keras.Input((), name="days", dtype="int32")}
    day = keras.layers.Reshape((1,))(inputs["days"])
    model = Model(inputs, predict(A, keras.layers.Dense(1)(day)))
    for value in (2**32 + 3, 1.5):
        given = {"days": np.array([0, value])}
        error = rf"'days' must hold .*Received: {value} in row 1"
        with pytest.raises(ValueError, match=error):
            model.predict(given, verbose=0)
        with pytest.raises(ValueError, match=f"predict, batch 0: .*{error}"):
            model.predict(tf.data.Dataset.from_tensors(given), verbose=0)
    assert model.predict({"days": np.array([-5, 7])}, verbose=0).shape == (2, 1)


# Labels.


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("task", [A, COUNT, Task("number", "regression")])
def test_labels_are_one_number_a_row(x, use, task):
    model = _model(task, loss="mse")
    label = np.ones(N)
    wanted = rf"'{task.name}' must have shape \('rows',\) or \('rows', 1\)\. "
    for given in (np.ones((N, 2)), np.ones((N, 1, 1)), np.ones((1, N)), np.array(1.0)):
        error = f"{wanted}Received: shape {re.escape(str(given.shape))}"
        refused(model, error, lambda g=given: USES[use](model, x, g, None))
        error = r"sample_weight must have shape \('rows',\) or \('rows', 1\)\. Received"
        refused(model, error, lambda g=given: USES[use](model, x, label, g))
    flat = model.evaluate(x, label, sample_weight=label, verbose=0)
    upright = label[:, None]
    close(model.evaluate(x, upright, sample_weight=upright, verbose=0), flat)


def test_labels_of_classes_are_numbers_or_one_hot(x):
    number = np.arange(N) % 3
    one_hot = np.eye(3)[number]
    model = _model(CLASSES)
    wanted = model.evaluate(x, number, verbose=0)
    close(model.evaluate(x, number[:, None], verbose=0), wanted)
    shapes = r"\('rows',\) or \('rows', 1\) or \('rows', 3\)\. Received: shape "
    for given in (np.ones((N, 2)), np.ones((N, 3, 1)), np.ones((3, N))):
        error = shapes + re.escape(str(given.shape))
        refused(model, error, lambda g=given: model.fit(x, g, verbose=0))
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    close(model.evaluate(x, one_hot, verbose=0), wanted, terms=100)
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    fit = model.fit(x, one_hot, class_weight=weights, batch_size=N, verbose=0)
    of_rows = np.array([1.0, 2.0, 0.5])[number]
    weighed = model.evaluate(x, one_hot, sample_weight=of_rows, verbose=0)
    close(fit.history["loss"][0], weighed, terms=100)
    batches = tf.data.Dataset.from_tensor_slices((x, number)).batch(N)
    model.compile(keras.optimizers.SGD(0.0), "ce")
    fit = model.fit(batches, class_weight=weights, verbose=0)
    close(fit.history["loss"][0], weighed, terms=100)
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    row = {name: column[:1] for name, column in x.items()}
    wanted = model.evaluate(row, one_hot[:1], verbose=0)
    listed = one_hot[:1].tolist()
    close(model.evaluate(row, listed, verbose=0), wanted)
    close(model.evaluate(Batches([(row, listed)]), verbose=0), wanted)
    close(model.train_on_batch(row, listed, class_weight=[1, 1, 1]), wanted)
    error = "must be from 0 to 1 for each class. Received: 2.0 in row 0, and 35 more"
    refused(model, error, lambda: model.fit(x, one_hot * 0 + 2, verbose=0))


@pytest.mark.parametrize("source", [*SOURCES])
@pytest.mark.filterwarnings(ENDS)
def test_columns_may_have_an_axis_of_one_in_some_data(one, x, y, source):
    label = y["b_task"]
    wanted = one.evaluate(x, label, verbose=0)
    upright = {name: np.reshape(column, (N, -1)) for name, column in x.items()}
    for columns in (x, upright, x):
        given = SOURCES[source]((columns, label))
        close(one.evaluate(given, verbose=0), wanted, terms=100)
        one.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
        one.fit(SOURCES[source]((columns, label)), verbose=0)


# Weights.


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("weight", "error"),
    [
        (
            {"a_tsk": np.ones(N)},
            "keyed by tasks that have labels: a_task.*nearest: a_task.*'a",
        ),
        (
            {"a_task": np.full(N, np.nan)},
            "of task 'a_task' must be finite.*: nan in ro",
        ),
        (np.full(N, np.inf), "sample_weight must be finite and at.*: inf in row 0"),
        (-np.ones(N), "sample_weight must be finite and at least 0. Received: -1.0 in"),
        (np.full(N, 1e39), "sample_weight must be finite and at least 0. Received: 1e"),
        (np.full(N, "a"), "sample_weight must be numbers. Received: dtype <U1"),
        ([np.ones(N), np.ones(N)], r"must have shape \('rows',\) or.*shape \(2, 12\)"),
    ],
)
def test_weights_of_rows(two, x, y, use, weight, error):
    refused(two, error, lambda: USES[use](two, x, y, weight))


def test_weights_of_a_task_without_labels_are_refused(x, y):
    model = _model(A, B, loss={"b_task": "mse"})
    labels = {"b_task": y["b_task"]}
    weights = {"a_task": np.ones(N)}
    error = (
        "keyed by tasks that have labels: b_task .nearest: b_task.. Received: 'a_task'"
    )
    refused(
        model, error, lambda: model.fit(x, labels, sample_weight=weights, verbose=0)
    )


def test_weights_of_a_task_are_those_of_its_logit(x, y):
    task = Task("ctr", return_logit=True)
    model = _model(task, loss={"ctr": "ce", "logit": "mse"})
    weight, label = np.arange(N) / N, y["b_task"]
    wanted = model.evaluate(x, label, sample_weight=weight, verbose=0)
    by_name = model.evaluate(x, label, sample_weight={"ctr": weight}, verbose=0)
    close(by_name, wanted)


@pytest.mark.filterwarnings("ignore:.* does not read the columns")
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_weights_in_a_column(value):
    model = youtube_dnn(zoo.fields(), sample_weight="w")
    model.compile("sgd")
    given = {**zoo.rows(8), "w": np.where(np.arange(8) == 5, value, 1.0)}
    error = f"Column 'w'.* {value} in row 5"
    refused(model, error, lambda: model.fit(given, verbose=0))
    refused(model, error, lambda: model.train_on_batch(given))
    batches = tf.data.Dataset.from_tensors(given)
    with pytest.raises(ValueError, match=f"fit, batch 0: {error}"):
        model.fit(batches, verbose=0)


def test_weights_of_classes_need_labels(one, x):
    for given in (x, tf.data.Dataset.from_tensors(x)):
        error = "class_weight needs labels. Received: y=None"
        refused(one, error, lambda g=given: one.fit(g, class_weight=[1, 2], verbose=0))
    refused(one, error, lambda: one.train_on_batch(x, class_weight=[1, 2]))


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ({5: 2.0}, "keyed by labels of task 'b_task', 0 to 1. Received: 5"),
        ({0.5: 2.0}, "keyed by labels of task 'b_task', 0 to 1. Received: 0.5"),
        ({1: -1.0}, "finite and at least 0. Received: -1.0 for label 1"),
        ({0: np.nan}, "finite and at least 0. Received: nan for label 0"),
        ([1.0, np.inf], "finite and at least 0. Received: inf for label 1"),
        ([1.0], "as a list must have one entry for each of 2 classes. Received: 1 en"),
        (np.ones(3), "as a list must have one entry for each of 2 .*Received: 3 ent"),
        ("balanced", "dict of the weight of each label.*'balanced'"),
        (2.0, "dict of the weight of each label.*Received: class_weight=2.0"),
    ],
)
def test_weights_of_classes(one, x, y, weights, error, as_dataset):
    parts = (x, y["b_task"])
    parts = (_as_tensors(parts),) if as_dataset else parts
    refused(one, error, lambda: one.fit(*parts, class_weight=weights, verbose=0))
    if not as_dataset:
        refused(one, error, lambda: one.train_on_batch(*parts, class_weight=weights))


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("weights", [[1.0, 3.0], np.array([1.0, 3.0]), {1: 3.0}])
def test_weights_of_classes_as_a_list_or_of_some(x, y, weights):
    model = _model(A)
    model.compile(keras.optimizers.SGD(0.0), "ce")
    label = np.where(np.arange(N) == 7, np.nan, y["b_task"])
    weight = np.where(label == 1, 3.0, 1.0)
    wanted = model.evaluate(x, label, sample_weight=weight, batch_size=4, verbose=0)
    names = ["dataset", "PyDataset", "generator", "DataLoader"]
    sources = [SOURCES[name]((x, label)) for name in names]
    sources.append(_of_any_shape((x, label[:, None])))
    for parts in ((x, label), *((source,) for source in sources)):
        fit = model.fit(
            *parts, class_weight=weights, batch_size=4, shuffle=False, verbose=0
        )
        close(fit.history["loss"][0], wanted, terms=100)
    none = SOURCES["dataset"]((x, label)).map(lambda *batch: (*batch, None))
    fit = model.fit(none, class_weight=weights, verbose=0)
    close(fit.history["loss"][0], wanted, terms=100)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    given = SOURCES["dataset"]((x, label))
    shared = strategy.experimental_distribute_dataset(given)
    error = "class_weight must be given with a dataset before .*: DistributedDataset"
    refused(model, error, lambda: model.fit(shared, class_weight=weights, verbose=0))
    both = SOURCES["generator"]((x, label, weight))
    error = "fit, batch 0: class_weight and sample_weight must not be given together"
    refused(model, error, lambda: model.fit(both, class_weight=weights, verbose=0))
    wanted = model.evaluate(x, label, sample_weight=weight, batch_size=N, verbose=0)
    loss = model.train_on_batch(x, label, class_weight=weights)
    close(loss, wanted, terms=100)


# Labels that nobody reads, and shapes that change.


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("kind", ["arrays", "batches", "generator", "pipeline"])
def test_a_model_of_positives_refuses_other_labels(kind):
    rows = {"u": np.arange(N) % 9, "i": np.arange(N) % 9, "click": np.ones(N)}
    columns = [Categorical("u"), Categorical("i", belong="item")]
    pipeline = FeaturePipeline(columns, ["click"]).fit(rows)
    model = youtube_dnn(pipeline.fields(4))
    model.compile("sgd")
    for value in (1.0, 0.0, np.nan):
        click = np.where(np.arange(N) == 2, value, 1.0)
        table = pipeline.transform(rows)
        x = {name: table[name].to_numpy() for name in ("u", "i")}
        if kind == "pipeline":
            parts = (pipeline.dataset({**rows, "click": click}, 4),)
        elif kind == "arrays":
            parts = x, click
        else:
            parts = (SOURCES["dataset" if kind == "batches" else kind]((x, click)),)
        if value == 1:
            model.fit(*parts, verbose=0)
        else:
            error = "takes every row for a positive, so labels .* must be 1"
            refused(model, error, lambda p=parts: model.fit(*p, verbose=0))
    model.fit(x, verbose=0)


@pytest.mark.filterwarnings(ENDS)
def test_weights_may_change_their_shape(two, x, y):
    weight = np.linspace(0, 1, N)
    wanted = two.evaluate(x, y, sample_weight=weight, batch_size=4, verbose=0)
    for _ in range(2):
        for shaped in (weight, weight[:, None]):
            for source in ("dataset", "PyDataset", "generator"):
                data = SOURCES[source]((x, y, shaped))
                close(two.evaluate(data, verbose=0), wanted, terms=100)


# What is no data at all.


@pytest.mark.parametrize(
    "data", [None, 3, "rows.parquet", [], [np.ones(N)], np.ones((N, 3)), object()]
)
def test_what_is_no_data_is_refused(one, y, data):
    label, kind = y["b_task"], re.escape(str(type(data)))
    for who, use in (
        ("fit", lambda: one.fit(data, label, verbose=0)),
        ("fit", lambda: one.fit(data, verbose=0)),
        ("evaluate", lambda: one.evaluate(data, label, verbose=0)),
        ("predict", lambda: one.predict(data, verbose=0)),
        ("train_on_batch", lambda: one.train_on_batch(data, label)),
        ("test_on_batch", lambda: one.test_on_batch(data, label)),
        ("predict_on_batch", lambda: one.predict_on_batch(data)),
    ):
        error = f"{who}: x must be a dict of columns by name or a frame.*: {kind}"
        refused(one, error, use)


def test_batches_by_hand_are_arrays(one, x, y):
    batches = _as_tensors((x, y["b_task"]))
    error = "train_on_batch: x must be a dict of columns by name or a frame. Received"
    refused(one, error, lambda: one.train_on_batch(batches))


@pytest.mark.filterwarnings(ENDS)
@pytest.mark.parametrize("use", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize(
    "source",
    [
        "arrays",
        "dataset",
        "filtered dataset",
        "PyDataset",
        "generator",
        "DataLoader",
        "dataset of empty batches",
        "PyDataset of empty batches",
        "generator of an empty batch",
        "generator of empty batches",
    ],
)
def test_no_rows_are_an_error_not_a_loss_of_0(one, x, y, source, use):
    parts = x, y["b_task"]
    empty = keras.tree.map_structure(lambda array: array[:0], parts)
    none = _cuts(empty)
    given = {
        "dataset of empty batches": lambda: _of_any_shape(empty),
        "PyDataset of empty batches": lambda: Batches(none),
        "generator of an empty batch": lambda: (batch for batch in none[:1]),
        "generator of empty batches": lambda: (batch for batch in none),
        "arrays": lambda: {name: column[:0] for name, column in x.items()},
        "dataset": lambda: _as_tensors(parts).take(0),
        "filtered dataset": lambda: _as_tensors(parts).filter(lambda x, y: False),
        "PyDataset": lambda: Batches([]),
        "generator": lambda: (batch for batch in []),
        "DataLoader": lambda: _no_loader(),
    }[source]()
    more = [y["b_task"][:0]] if source == "arrays" and use != "predict" else []
    error = f"({use}|fit or evaluate): there must be rows. Received: none"
    refused(one, error, lambda: getattr(one, use)(given, *more, verbose=0))


def _no_loader():
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader([], batch_size=4)


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "batch_size": (2.5, 0, -1, True, "32", np.nan),
        "epochs": (1.5, -1, None, True),
        "initial_epoch": (0.5, -1, None),
        "steps_per_epoch": (0, 2.5),
        "validation_steps": (0, 2.5),
        "validation_batch_size": (0, 2.5),
        "validation_split": (1.0, -0.1, np.nan, "0.5", None),
    }.items(),
)
def test_counts_are_whole_numbers(one, x, y, name, values):
    for value in values:
        error = rf"fit: {name} must be .*\. Received: {name}={value!r}"
        refused(
            one,
            error,
            lambda v=value: one.fit(x, y["b_task"], verbose=0, **{name: v}),
        )
        if name == "batch_size":
            given = {name: value, "verbose": 0}
            error = error.replace("fit", "evaluate")
            refused(one, error, lambda g=given: one.evaluate(x, y["b_task"], **g))
            error = error.replace("evaluate", "predict")
            refused(one, error, lambda g=given: one.predict(x, **g))


def test_counts_may_be_of_numpy(one, x, y):
    fit = one.fit(x, y["b_task"], batch_size=np.int64(5), epochs=np.int32(2), verbose=0)
    assert len(fit.history["loss"]) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shuffle", "x"),
        ("validate", 3),
        ("validation_freq", 0),
        ("callbacks", [3]),
        ("callbacks", "x"),
    ],
)
def test_flags_and_callbacks_are_what_they_are_called(one, x, y, name, value):
    labels = y["b_task"]
    error = f"fit: {name} must be "
    refused(one, error, lambda: one.fit(x, labels, verbose=0, **{name: value}))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"loss_weights": "x"}, "loss_weights must each be a finite number"),
        ({"loss_weights": [np.nan]}, "loss_weights must each be a finite number"),
        ({"loss_weights": -1.0}, "loss_weights must each be a finite number"),
        ({"optimizer": None}, "optimizer must be a name"),
        ({"metrics": [None]}, "metrics must be names"),
    ],
)
def test_what_compile_cannot_mean_is_refused(given, error):
    with pytest.raises(ValueError, match=error):
        _model(A).compile(**{"optimizer": "sgd", "loss": "ce", **given})


def test_a_column_called_by_a_number_is_none(one, x):
    with pytest.raises(ValueError, match="must be strings. Received: 3"):
        one.predict({3 if name == "u" else name: each for name, each in x.items()})
