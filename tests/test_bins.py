"""Numbers in bins: `Numeric(bins=)` from the raw column to the exported graph."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task, create_model, load_model
from recsys.data import Categorical, FeaturePipeline, Numeric
from recsys.layers.table import PiecewiseLinear
from recsys.metrics import auc
from tests.close import close

EDGES = [-2.0, -0.5, 0.0, 3.0]


def encoded(x: np.ndarray, edges: Any) -> np.ndarray:
    """Gorishniy et al. 2022, eq. 1, one number and one bin at a time."""
    b = np.asarray(np.float32(edges), "float64")
    bins = len(b) - 1
    e = np.empty((*x.shape, bins))
    for place, value in np.ndenumerate(np.asarray(np.float32(x), "float64")):
        for t in range(1, bins + 1):
            if value < b[t - 1] and t > 1:
                e[*place, t - 1] = 0
            elif value >= b[t] and t < bins:
                e[*place, t - 1] = 1
            else:
                e[*place, t - 1] = (value - b[t - 1]) / (b[t] - b[t - 1])
    return e


@pytest.mark.parametrize("edges", [EDGES, EDGES[:2], np.linspace(0, 1, 30)])
@pytest.mark.parametrize("shape", [(40,), (8, 5)])
def test_embedding_is_a_linear_map_of_the_encoding(edges: Any, shape: Any) -> None:
    x = np.random.default_rng(0).normal(0, 3, shape)
    x.flat[:4] = EDGES
    layer = PiecewiseLinear(3, edges, "normal")
    found = layer(x.astype("float32"))
    table = keras.ops.convert_to_numpy(layer.embeddings).astype("float64")
    close(found, encoded(x, edges) @ table, terms=4 * len(edges))


def test_config_and_weights_survive() -> None:
    layer = PiecewiseLinear(2, EDGES, "normal", l2_reg=0.1, name="p")
    x = np.float32([-3, 1, 9])
    wanted = layer(x)
    other = PiecewiseLinear.from_config(layer.get_config())
    other.build((None,))
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(other(x), wanted)
    assert other.get_config() == layer.get_config()
    assert [weight.name for weight in layer.trainable_weights] == ["embeddings"]
    half = 0.05 * np.sum(np.square(layer.embeddings))
    close(layer.losses[0], half)


NARROW = [  # or wide: in float32 a width is 0, infinite or NaN
    [1.0, float("inf")],
    [float("-inf"), 0.0, 1.0],
    [float("nan"), 1.0],
    [0.0, 1.0, 1e39],
    [-3e38, 3e38],
    [1.0, 1.0 + 1e-9],
    [0.0, 1e-40, 1.0],
]


@pytest.mark.parametrize("edges", NARROW)
def test_the_layer_refuses_bins_that_float32_cannot_hold(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="PiecewiseLinear: edges must be two or more"):
        PiecewiseLinear(2, edges)


@pytest.mark.parametrize("scaled", [{}, {"log1p": True}, {"standardize": True}])
@pytest.mark.parametrize(
    "x",
    [
        np.arange(1, 9) * 1e-40,
        np.array([-3e38, 3e38]),
        np.array([-3.4e38, 0, 1e-42, 1, 1 + 1e-9, 3.4e38]),
        np.array([-3e38, -3e38, 1.0]),
        np.full(3, 1e30),
        np.full(3, 3.4e38),
        np.full(3, -3.4e38),
        np.full(3, 1.7e12),
    ],
    ids=str,
)
def test_numbers_of_any_size_have_bins(x: np.ndarray, scaled: Any) -> None:
    pipeline = FeaturePipeline([Numeric("x", bins=4, **scaled)]).fit({"x": x})
    (field,) = pipeline.fields(dim=2)
    found = PiecewiseLinear(2, field.edges, "ones")(
        pipeline.transform({"x": x})["x"].to_numpy()
    )
    assert np.isfinite(found).all()


BAD = [
    (
        {"edges": [1.0]},
        "edges must be two or more that rise by normal float32 numbers. "
        "Received: edges=(1.0,)",
    ),
    ({"edges": [1.0, 1.0]}, "edges must be two or more that rise"),
    *(({"edges": edges}, "edges must be two or more that rise") for edges in NARROW),
    ({"edges": EDGES, "vocabulary_size": 5}, "edges must be None for all but a number"),
    ({"edges": EDGES, "vocabulary_size": 0}, "edges must be None for all but a number"),
    ({"edges": EDGES, "length": 3}, "edges must be None for all but a number"),
]


@pytest.mark.parametrize(("options", "text"), BAD)
def test_bad_edges(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:
        Field("a", **options)
    assert text in str(error.value)


def test_numbers_that_share_a_table_share_its_edges() -> None:
    fields = [
        Field("a", dtype="float32", edges=EDGES),
        Field("b", "a", dtype="float32", edges=[0.0, 1.0]),
    ]
    with pytest.raises(ValueError, match="'a' and 'b' share the table .* on edges"):
        create_model("fm", fields)


@pytest.fixture(scope="module")
def planted() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A label that depends on a number by steps, and by spikes at two values of it."""
    random = np.random.default_rng(0)
    spikes = random.choice([0.0, 1.0], 12000)
    x = np.where(random.random(12000) < 0.3, spikes, random.normal(0, 2, 12000))
    logit = np.select([x == 0, x == 1, x < -1.5, x < 0.5, x < 2], [3, -3, 2, -2, 2], -2)
    y = random.random(12000) < 1 / (1 + np.exp(-logit))
    data = {"x": x, "u": random.integers(0, 5, 12000), "y": y.astype("int64")}
    return data, 1 / (1 + np.exp(-logit))


def fitted(data: dict[str, np.ndarray], **options: Any) -> tuple[Any, Any]:
    pipeline = FeaturePipeline([Numeric("x", **options), Categorical("u")], ["y"])
    pipeline.fit({name: column[:9000] for name, column in data.items()})
    keras.utils.set_random_seed(0)
    model = create_model("deepfm", pipeline.fields(dim=4), task=Task("y"))
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    train = {name: column[:9000] for name, column in data.items()}
    model.fit(pipeline.dataset(train, 256, shuffle=True, seed=0), epochs=4, verbose=0)
    return pipeline, model


def test_bins_learn_steps_and_spikes_that_a_scaled_number_does_not(planted) -> None:
    data, best = planted
    test = {name: column[9000:] for name, column in data.items()}
    found = {}
    for name, options in (("scaled", {}), ("bins", {"bins": 24})):
        pipeline, model = fitted(data, standardize=True, **options)
        scores = model.predict(pipeline.dataset(test, 1000), verbose=0)[:, 0]
        found[name] = auc(test["y"], scores)
    most = auc(test["y"], best[9000:])
    assert found["bins"] > found["scaled"] + 0.05
    assert found["bins"] > most - 0.02


@pytest.mark.parametrize("log1p", [False, True])
def test_the_exported_graph_takes_the_plain_number(
    planted, log1p: bool, tmp_path: Path
) -> None:
    data = {name: column[:500] for name, column in planted[0].items()}
    columns = [Numeric("x", log1p=log1p, standardize=True, bins=12), Categorical("u")]
    pipeline = FeaturePipeline(columns, ["y"]).fit(data)
    pipeline.save(tmp_path / "pipeline")
    loaded = FeaturePipeline.load(tmp_path / "pipeline")
    field = {field.name: field for field in loaded.fields()}["x"]
    assert loaded.fields() == pipeline.fields() and len(field.edges) <= 13
    x = pipeline.transform(data)
    assert field.edges[0] == min(x["x"].to_pylist())
    assert field.edges[-1] == max(x["x"].to_pylist())

    model = create_model("lr", pipeline.fields(), task=Task("y"))
    (table,) = (la for la in model.layers if isinstance(la, PiecewiseLinear))
    assert table.name == "embedding_linear__x"
    weights = np.random.default_rng(0).normal(size=(len(field.edges) - 1, 1))
    table.embeddings.assign(weights)
    number = x["x"].to_numpy()
    z = encoded(number, field.edges) @ np.float32(weights).astype("float64")
    wanted = 1 / (1 + np.exp(-z))
    inputs = {"x": number, "u": x["u"].to_numpy()}
    close(model.predict(inputs, verbose=0), wanted, terms=60)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras").predict(inputs, verbose=0)
    np.testing.assert_array_equal(again, model.predict(inputs, verbose=0))
    model.export(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(tmp_path / "saved")
    (name,) = model.output_names
    close(saved.serve(inputs)[name], wanted, terms=60)


def test_a_number_of_one_value_has_a_bin() -> None:
    pipeline = FeaturePipeline([Numeric("x", bins=4)]).fit({"x": [2, 2]})
    assert pipeline.fields()[0].edges == (2.0, 3.0)


@pytest.mark.parametrize("name", ["dlrm", "deep_crossing", "wide_deep", "fm", "dcn"])
def test_models_read_the_bins_of_a_number(name: str) -> None:
    fields = [
        Field("a", dtype="float32", edges=EDGES),
        Field("u", vocabulary_size=5),
        Field("i", vocabulary_size=5, belong="item"),
    ]
    model = create_model(name, fields)
    assert any(isinstance(layer, PiecewiseLinear) for layer in model.layers)
