"""How often TensorFlow traces a step: once, whatever the size of the last batch."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from recsys import Field
from recsys.data import Categorical, FeaturePipeline, History, Numeric
from recsys.rank.deepfm import deepfm
from recsys.rank.din import din
from recsys.train.model import Model
from tests.close import close

ROWS, BATCH = 70, 32  # the last batch has 6 rows


@pytest.fixture
def traces(monkeypatch) -> dict[str, int]:
    """How often each kind of step was run in Python, which tracing does."""
    counts = {}
    for name in ("train_step", "test_step", "predict_step"):
        counts[name] = 0
        step = getattr(Model, name)

        def counted(self, *args, step=step, name=name):
            counts[name] += 1
            return step(self, *args)

        monkeypatch.setattr(Model, name, counted)
    return counts


def columns(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(rows)
    return {
        "item": random.integers(0, 9, rows),
        "price": random.normal(size=rows),
        "user": random.integers(0, 4, rows),
        "time": np.arange(rows),
        "ctr": random.integers(0, 2, rows),
    }


def compiled(build, fields: list[Field]) -> Model:
    model = build(fields)
    model.compile("adam", "binary_crossentropy", metrics=["auc"])
    return model


def test_arrays_are_traced_once(traces) -> None:
    fields = [Field("item", vocabulary_size=9), Field("price", dtype="float32")]
    model = compiled(deepfm, fields)
    x, other = columns(ROWS), columns(ROWS + 3)
    model.fit(
        x,
        x["ctr"],
        batch_size=BATCH,
        epochs=2,
        validation_data=(other, other["ctr"]),
        verbose=0,
    )
    assert traces == {"train_step": 1, "test_step": 1, "predict_step": 0}
    model.fit(other, other["ctr"], batch_size=BATCH // 2, verbose=0)
    model.evaluate(x, x["ctr"], batch_size=BATCH - 1, verbose=0)
    for rows in (1, 5, ROWS):
        model.predict({k: v[:rows] for k, v in x.items()}, BATCH, verbose=0)
    model.predict(pd.DataFrame(x), verbose=0)
    model.predict({"item": x["item"][:, None], "price": x["price"]}, verbose=0)
    assert traces == {"train_step": 1, "test_step": 1, "predict_step": 1}


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_of_a_pipeline_are_traced_once(traces, streaming: bool) -> None:
    pipeline = FeaturePipeline(
        [
            Categorical("item", belong="item"),
            Numeric("price"),
            History("past", of=["item"], length=3, user="user", time="time"),
        ],
        labels=["ctr"],
    ).fit(columns(ROWS))
    train, valid = (
        pipeline.dataset(columns(rows), BATCH, shuffle=True, streaming=streaming)
        for rows in (ROWS, ROWS + 3)
    )
    model = compiled(din, pipeline.fields(dim=4))
    model.fit(train, validation_data=valid, epochs=2, verbose=0)
    assert traces == {"train_step": 1, "test_step": 1, "predict_step": 0}
    model.fit(valid, verbose=0)
    model.evaluate(train, verbose=0)
    model.predict(valid, verbose=0)
    model.predict(train.map(lambda x, y: x), verbose=0)
    assert traces == {"train_step": 1, "test_step": 1, "predict_step": 1}


def test_a_model_compiled_again_is_traced_again(traces) -> None:
    fields = [Field("item", vocabulary_size=9)]
    model = compiled(deepfm, fields)
    x = columns(ROWS)
    for _ in range(2):
        model.fit(x, x["ctr"], batch_size=BATCH, verbose=0)
        model.predict(x, BATCH, verbose=0)
        model.compile("sgd", "mse")
    assert traces["train_step"] == traces["predict_step"] == 2


def test_eager_steps_are_not_traced() -> None:
    model = deepfm([Field("item", vocabulary_size=9)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = columns(ROWS)
    got = model.predict(x, BATCH, verbose=0)
    close(got, model({"item": x["item"]}))
    assert not isinstance(model.predict_function, tf.types.experimental.GenericFunction)


def test_columns_with_and_without_a_last_axis_are_one_to_predict(traces) -> None:
    model = deepfm([Field("item", vocabulary_size=9)])
    x = {"item": columns(ROWS)["item"].astype("int32")}
    flat = tf.data.Dataset.from_tensor_slices(x).batch(BATCH)
    upright = flat.map(lambda x: {"item": x["item"][:, None]})
    expected = keras.ops.convert_to_numpy(model(x))
    for data in (flat, upright, x):
        close(model.predict(data, verbose=0), expected)
    assert traces["predict_step"] == 1
