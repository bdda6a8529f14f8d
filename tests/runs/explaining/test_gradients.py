"""What columns add to a prediction: exact for a linear model, complete for any."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import recsys
from recsys import Field, Task
from recsys.feature import Content
from recsys.runs.explaining.collapse import information_abundance, tables_of
from recsys.runs.explaining.gradients import integrated_gradients
from tests.close import close

FIELDS = [
    Field("user", vocabulary_size=20, dim=4),
    Field("item", vocabulary_size=30, dim=4, belong="item"),
    Field("price", dim=4, dtype="float32"),
    Field("seen", emb="item", vocabulary_size=30, dim=4, belong="history", length=5),
]
ROW = {
    "user": np.array([7]),
    "item": np.array([11]),
    "price": np.array([1.5], "float32"),
    "seen": np.array([[3, 4, 5, 0, 0]]),
}


def model_of(name):
    keras.utils.set_random_seed(1)
    tasks = [Task("ctr"), Task("cvr")]
    asked = {"task_list": tasks} if name == "mmoe" else {"task": tasks[0]}
    model = recsys.create_model(name, FIELDS, **asked)
    rng = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    return model


def logit_of(model, row):
    out = model.predict(row, verbose=0)
    p = float((out["ctr"] if isinstance(out, dict) else out)[0, 0])
    return np.log(p) - np.log1p(-p)


def test_a_linear_model_is_its_weights():
    model = model_of("lr")
    found = integrated_gradients(model, "ctr", ROW, steps=3)
    weights = {w.path: w.numpy().astype("float64") for w in model.weights}

    def table(name):
        return weights[f"embedding_linear__{name}/embeddings"][:, 0]

    close(found.columns["user"], table("user")[7], terms=10)
    close(found.columns["item"], table("item")[11], terms=10)
    close(found.columns["seen"], table("item")[[3, 4, 5]].mean(), terms=10)
    close(found.places["seen"][:3], table("item")[[3, 4, 5]] / 3, terms=10)
    assert not found.places["seen"][3:].any() and {*found.places} == {"seen"}
    (bias,) = (value for path, value in weights.items() if path.startswith("dnn_bias"))
    close(found.start, bias.item(), terms=10)


def test_what_a_vector_adds_is_of_the_column_of_its_id():
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
    vectors[0] = 0
    item = replace(FIELDS[1], content=Content(vectors))
    model = recsys.create_model("lr", [FIELDS[0], item, *FIELDS[2:]])
    rng = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    found = integrated_gradients(model, "ctr", ROW, steps=3)
    w = {v.path: v.numpy().astype("float64") for v in model.weights}
    of_id = w["embedding_linear__item/embeddings"][[11, 3, 4, 5], 0]
    projected = vectors[[11, 3, 4, 5]] @ w["dnn_content_linear__item/kernel"][:, 0]
    added = of_id + projected + w["dnn_content_linear__item/bias"]
    close(found.columns["item"], added[0], terms=100)
    close(found.columns["seen"], added[1:].mean(), terms=100)


@pytest.mark.parametrize("name", ["deepfm", "din", "mmoe"])
def test_what_columns_add_is_the_logit_less_the_start(name):
    model = model_of(name)
    found = integrated_gradients(model, "ctr", ROW, steps=400)
    assert set(found.columns) == set(ROW)
    close(found.logit, logit_of(model, ROW), terms=1_000)
    gap = sum(found.columns.values()) - (found.logit - found.start)
    assert abs(gap) < 0.02 * abs(found.logit - found.start)
    close(found.places["seen"].sum(), found.columns["seen"], terms=100)


def test_a_task_that_is_none_is_refused():
    with pytest.raises(ValueError, match="task must be one of .*'ctr'.*'buy'"):
        integrated_gradients(model_of("lr"), "buy", ROW)


def test_information_abundance_is_that_of_the_singular_values():
    table = np.random.default_rng(0).normal(size=(50, 6)) * [1, 1, 2, 0.1, 3, 0]
    values = np.linalg.svd(table, compute_uv=False)
    close(information_abundance(table), values.sum() / values[0])
    assert np.isnan(information_abundance(np.zeros((4, 2))))


def test_tables_wider_than_one_are_told():
    found = {each.name: each for each in tables_of(model_of("deepfm"))}
    assert set(found) == {"embedding_user", "embedding_item"}
    item = found["embedding_item"]
    assert (item.rows, item.dim) == (30, 4) and 1 < item.abundance < 4
