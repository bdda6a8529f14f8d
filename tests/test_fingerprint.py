"""A model knows the fitted pipeline whose fields it was built from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import Task, create_model, load_model
from recsys.data import (
    Bucketed,
    Categorical,
    FeaturePipeline,
    History,
    MultiValue,
    Numeric,
    as_columns,
)
from recsys.data.reader import as_arrow
from recsys.data.synthetic import click_log
from recsys.train.evaluation import evaluate

DAYS = [as_arrow(click_log(400, seed=seed)) for seed in (0, 1)]
OTHER = "Data must be made by the pipeline, .* Received: data of .*, a model of"


def pipeline_of(**options: Any) -> FeaturePipeline:
    return FeaturePipeline(
        [
            Categorical("user_id"),
            Categorical("item_id", belong="item"),
            Numeric("price", standardize=True),
            Bucketed("level", source="price", num_buckets=4),
            History("h", of=["item_id"], length=3, user="user_id", time="timestamp"),
        ],
        ["label"],
        **options,
    )


def model_of(pipeline: FeaturePipeline) -> Any:
    model = create_model("deepfm", pipeline.fields(dim=2), task=Task("label"))
    model.compile("adam", "binary_crossentropy")
    return model


def calls(model: Any, pipeline: FeaturePipeline, day: Any) -> dict[str, Any]:
    """What one may do with data of a pipeline, by name."""
    quiet = {"verbose": 0}
    dataset, table = pipeline.dataset(day, 100), pipeline.transform(day)
    labels = table["label"].to_numpy()
    plain = {name: np.minimum(c, 1) for name, c in as_columns(table).items()}
    return {
        "fit": lambda: model.fit(dataset, **quiet),
        "fit streaming": lambda: model.fit(
            pipeline.dataset(day, 100, streaming=True), **quiet
        ),
        "fit a table": lambda: model.fit(table, labels, **quiet),
        "validation": lambda: model.fit(
            plain, labels, validation_data=dataset, **quiet
        ),
        "evaluate": lambda: model.evaluate(dataset, **quiet),
        "predict": lambda: model.predict(dataset, **quiet),
        "predict a table": lambda: model.predict(table.slice(0, 3), **quiet),
    }


def test_data_after_another_fit_is_an_error(tmp_path: Path) -> None:
    pipeline = pipeline_of().fit(DAYS[0])
    model = model_of(pipeline)
    for call in calls(model, pipeline, DAYS[1]).values():
        call()  # new data is fine, another fit is not
    model.save(tmp_path / "model.keras")
    pipeline.fit(DAYS[1])
    for one in (model, load_model(tmp_path / "model.keras")):
        for name, call in calls(one, pipeline, DAYS[1]).items():
            with pytest.raises(ValueError, match=OTHER):
                call()
                pytest.fail(name)
        table = pipeline.transform(DAYS[0])
        plain = {name: np.minimum(c, 1) for name, c in as_columns(table).items()}
        one.predict(plain, verbose=0)  # arrays do not say whose they are


def test_the_same_data_is_the_same_pipeline(tmp_path: Path) -> None:
    pipeline = pipeline_of().fit(DAYS[0])
    model = model_of(pipeline)
    pipeline.save(tmp_path / "pipeline")
    shuffled = DAYS[0].take(np.random.default_rng(0).permutation(400))
    for same in (
        FeaturePipeline.load(tmp_path / "pipeline"),
        pipeline_of(groups={"g": "user_id"}).fit(DAYS[0]),
        pipeline_of().fit(shuffled),
    ):
        model.predict(same.dataset(DAYS[1], 100), verbose=0)


def test_whatever_changes_the_input_changes_the_fingerprint() -> None:
    fitted = [
        ([Categorical("a")], ["x", "y", "x"]),
        ([Categorical("a")], ["y", "x", "y"]),
        ([Categorical("a", min_count=2)], ["x", "y", "x"]),
        ([Categorical("a")], [1, 2, 1]),
        ([MultiValue("a", length=2)], [["x", "y"], ["x"]]),
        ([Numeric("a", standardize=True)], [1.0, 2.0]),
        ([Numeric("a", standardize=True)], [1.0, 2.1]),
        ([Numeric("a", standardize=True, log1p=True)], [1.0, 2.0]),
        ([Numeric("a", log1p=True)], [1.0, 2.0]),
        ([Bucketed("a", num_buckets=3)], [1.0, 2.0, 3.0]),
        ([Bucketed("a", num_buckets=3)], [1.0, 2.0, 4.0]),
    ]
    found = {
        FeaturePipeline(columns).fit({"a": values}).fields()[0].fingerprint
        for columns, values in fitted
    }
    assert len(found) == len(fitted)


@pytest.mark.parametrize(
    "column", [Bucketed("t", num_buckets=8), Numeric("t", bins=8, fill="mean")]
)
def test_edges_far_from_zero_change_the_fingerprint(column: Any) -> None:
    times = np.random.default_rng(0).integers(0, 3_600_000, 500) + 1.7e12
    found = set()
    for hour in (0.0, 3.6e6):
        pipeline = FeaturePipeline([column]).fit({"t": times + hour})
        found.add(pipeline.fields()[0].fingerprint)
    assert len(found) == 2


NUMBERS = np.random.default_rng(0).normal(size=4001)
SPREAD = {
    "centred": NUMBERS - NUMBERS.mean(),
    "symmetric": np.concatenate([NUMBERS, -NUMBERS]),
    "far from zero": 1.7e12 + 1e6 * NUMBERS,
    "constant": np.full(1_000_000, 0.1),
}


@pytest.mark.parametrize("spread", SPREAD)
def test_order_of_rows_does_not_change_the_fingerprint(spread: str) -> None:
    columns = [
        Numeric("scaled", source="x", standardize=True),
        Numeric("filled", source="x", fill="mean"),
        Numeric("bins", source="x", standardize=True, bins=8),
    ]
    found = set()
    for seed in range(6):
        rows = np.random.default_rng(seed).permutation(SPREAD[spread])
        pipeline = FeaturePipeline(columns).fit({"x": rows})
        found.add(pipeline.fields()[0].fingerprint)
    assert len(found) == 1


def test_match_models_know_their_pipeline() -> None:
    columns = [Categorical("user_id"), Categorical("item_id", belong="item")]
    pipeline = FeaturePipeline(columns).fit(DAYS[0])
    model = create_model("two_tower", pipeline.fields(dim=2))
    model.compile("adam")
    users = pipeline.transform(DAYS[0]).slice(0, 2)
    model.recommend(users, k=2)
    evaluate(model, [[2], [3]], users=users)
    users = pipeline.fit(DAYS[1]).transform(DAYS[0]).slice(0, 2)
    for call in (
        lambda: model.recommend(users, k=2),
        lambda: model.user_vectors(users),
        lambda: evaluate(model, [[2], [3]], users=users),
        lambda: model.fit(pipeline.dataset(DAYS[1], 100), verbose=0),
    ):
        with pytest.raises(ValueError, match=OTHER):
            call()
