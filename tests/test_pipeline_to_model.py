"""From a raw log to every model: what the pipeline says of its data is enough."""

import numpy as np
import pytest

from recsys import Task, create_model, metrics
from recsys.data import (
    Categorical,
    FeaturePipeline,
    History,
    MultiValue,
    Numeric,
    as_columns,
)
from recsys.data.synthetic import click_log
from tests import zoo
from tests.close import close

# Match models get the fields of all.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")


@pytest.fixture(scope="module")
def log():
    log = click_log(3000, seed=1)
    words = np.array(["red", "green", "blue", "new"])
    tags = [" ".join(words[: 1 + i % 4]) for i in log["item_id"]]
    order = log["label"] * (log["item_id"] % 2)
    more = {"tags": np.array(tags), "surface": log["user_id"] % 3, "order": order}
    return {**log, **more}


def _fitted(log, labels):
    columns = [
        Categorical("user_id", min_count=2),
        Numeric("price", log1p=True, standardize=True, belong="item"),
        Categorical("item_id", belong="item"),
        Categorical("category", belong="item"),
        MultiValue("tags", belong="item", length=3, separator=" "),
        Categorical("surface", belong="domain"),
        History(
            "seen",
            of=["item_id", "category"],
            length=5,
            user="user_id",
            time="timestamp",
        ),
    ]
    pipeline = FeaturePipeline(columns, labels, groups={"user": "user_id"})
    return pipeline.fit({name: column[:2000] for name, column in log.items()})


@pytest.fixture(scope="module")
def pipeline(log):
    return _fitted(log, ["label"])


@pytest.fixture(scope="module")
def pipeline_of_tasks(log):
    return _fitted(log, ["label", "order"])


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            entry,
            id=entry.name,
            marks=() if entry.name in zoo.MECHANISMS else pytest.mark.all,
        )
        for entry in zoo.ENTRIES
    ],
)
def test_every_model_is_built_from_the_fields_alone(
    entry, pipeline, pipeline_of_tasks, log
):
    """One step without a graph: the contract traces each model's."""
    few = {name: column[:600] for name, column in log.items()}
    _run(entry, pipeline, pipeline_of_tasks, few, streaming=False, eager=True)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["din", "mmoe", "star", "mind"])
def test_a_model_of_each_family_trains_on_the_whole_log(
    name, pipeline, pipeline_of_tasks, log, streaming
):
    (entry,) = (entry for entry in zoo.ENTRIES if entry.name == name)
    _run(entry, pipeline, pipeline_of_tasks, log, streaming, eager=False)


def _run(entry, pipeline, pipeline_of_tasks, log, streaming, eager):
    kwargs = {"task": Task("label")} if "task" in entry.arguments() else {}
    if entry.several_tasks:
        pipeline = pipeline_of_tasks
        kwargs = {"task_list": [Task("label"), Task("order")]}
    rows = {n: c for n, c in log.items() if n != "label" or entry.family != "match"}
    if "interactions" in entry.arguments():
        x = as_columns(pipeline.transform(rows))
        known = x["item_id"] >= 2
        kwargs["interactions"] = (x["user_id"][known], x["item_id"][known])
    model = create_model(entry.name, pipeline.fields(dim=4), **kwargs)
    batch = 600 if eager else 256
    dataset = pipeline.dataset(rows, batch, shuffle=True, seed=0, streaming=streaming)
    if entry.family == "match":
        if "catalogue" in entry.arguments():
            model.set_catalogue(pipeline.catalogue(rows, "item_id"))
        model.compile("adam", run_eagerly=eager)
        model.fit(dataset, verbose=0)
        if entry.name == "ncf":  # scores pairs alone
            assert np.isfinite(model.predict(dataset, verbose=0)).all()
            return
        ids, _ = model.recommend(pipeline.transform(rows).slice(0, 4), k=5)
        assert ids.min() >= 2  # neither padding nor what is not known
        return
    model.compile(
        "adam",
        "binary_crossentropy",
        metrics=[metrics.AUC(4000), metrics.GAUC("user", capacity=4000)],
        run_eagerly=eager,
    )
    history = model.fit(dataset, validation_data=dataset, verbose=0).history
    assert 0.4 < history["val_auc" if "val_auc" in history else "val_label_auc"][0] < 1


def test_a_catalogue_has_what_the_last_row_of_an_item_says(pipeline, log):
    found = pipeline.catalogue(log, "item_id")
    assert set(found) == {"price", "category", "tags"}
    size = {f.name: f.vocabulary_size for f in pipeline.fields()}["item_id"]
    assert {name: column.shape for name, column in found.items()} == {
        "price": (size,),
        "category": (size,),
        "tags": (size, 3),
    }
    rows = pipeline.transform(log)
    last = dict(zip(rows["item_id"].to_pylist(), range(len(rows)), strict=True))
    for name, column in found.items():
        wanted = rows[name].to_pylist()
        for item, row in last.items():
            close(column[item], wanted[row])
    assert not found["category"][0]


def test_ids_that_training_has_not_seen_are_predicted(pipeline, log):
    model = create_model("din", pipeline.fields(dim=4), task=Task("label"))
    new = {name: column[:3].copy() for name, column in log.items()}
    new |= {"user_id": np.array([10**6, 7, 8]), "item_id": np.array([5, 10**6, 10**7])}
    assert np.isfinite(model.predict(pipeline.transform(new), verbose=0)).all()


def test_din_uses_what_the_log_was_made_with(log):
    """The history decides; a model without it cannot know."""
    log = click_log(20_000, num_users=100, num_items=60, seed=2)
    columns = [
        Categorical("category", belong="item"),
        History("seen", of=["category"], length=10, user="user_id", time="timestamp"),
    ]
    pipeline = FeaturePipeline(columns, ["label"]).fit(log)
    train = pipeline.dataset(log, 256, shuffle=True, seed=0)
    scores = {}
    for name, fields in (
        ("din", pipeline.fields(dim=8)),
        ("deepfm", [f for f in pipeline.fields(dim=8) if f.belong != "history"]),
    ):
        model = create_model(name, fields, task=Task("label"))
        model.compile("adam", "binary_crossentropy", metrics=[metrics.AUC(20_000)])
        model.fit(train, epochs=4, verbose=0)
        scores[name] = model.evaluate(train, verbose=0)[1]
    assert scores["din"] > scores["deepfm"] + 0.02, scores
