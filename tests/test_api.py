"""The public surface: what it is, that it is lazy, and what version 1 imported."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import recsys
from tests.api import public_api

HERE = Path(__file__).parent


def test_the_public_api_is_the_committed_one():
    """`python -m tests.api > tests/api.txt`, and a line in CHANGELOG.md."""
    committed = (HERE / "api.txt").read_text().splitlines()
    assert public_api() == committed


@pytest.mark.parametrize("command", ["import recsys", "import recsys.feature"])
def test_importing_the_package_loads_nothing_heavy(command):
    code = f"import sys; {command}; print(sorted(m.split('.')[0] for m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    heavy = ("tensorflow", "keras", "numpy", "ibis", "duckdb", "pyarrow")
    assert not [name for name in heavy if f"'{name}'" in run.stdout]


def test_names_of_the_package():
    assert set(recsys.__all__) <= set(dir(recsys))
    for name in recsys.__all__:
        assert getattr(recsys, name)
    with pytest.raises(AttributeError, match="'nosuch'"):
        recsys.nosuch  # noqa: B018


VERSION_1 = {
    "recsys.feature": ["Field", "Task"],
    "recsys.feature.utils": ["build_feature_embeddings", "concatenate"],
    "recsys.layers.activation": ["Dice", "PRelu", "Activation", "get_activation"],
    "recsys.layers.aggregation": [
        "get_agg_layer",
        "MeanPoolingLayer",
        "SumPoolingLayer",
        "AttentionLayer",
        "TransformerLayer",
        "TIM",
    ],
    "recsys.layers.core": ["PredictLayer", "Identity", "FeedForwardLayer", "predict"],
    "recsys.layers.embedding": [
        "DenseEmbedding",
        "PositionalEmbedding",
        "MaskEmbedding",
    ],
    "recsys.layers.interaction": [
        "GateNU",
        "EPNet",
        "PPNet",
        "PartitionedNormalization",
        "StarTopologyFCN",
        "MetaUnit",
        "MetaAttention",
        "MetaTower",
        "CrossNet",
        "ProductLayer",
        "GwPFM",
        "WeightedSum",
        "FM",
        "SENet",
        "BiLinearLayer",
        "InteractionExpert",
    ],
    "recsys.layers.transformer": [
        "MultiHeadAttention",
        "BaseAttention",
        "CrossAttention",
        "FeedForward",
        "EncoderLayer",
        "Encoder",
    ],
    "recsys.layers.utils": ["history_embedding_aggregation"],
    "recsys.multidomain.m2m": ["m2m", "Field", "Task"],
    "recsys.multidomain.pepnet": ["pepnet", "Field", "Task"],
    "recsys.multidomain.star": ["star", "Field", "Task"],
    "recsys.rank.adaf2m2": ["adaf2m2", "InteractionExpert", "Field", "Task"],
    "recsys.rank.dcn": ["dcn", "Field", "Task"],
    "recsys.rank.deepfm": ["deepfm", "Field", "Task"],
    "recsys.rank.din": ["din", "Field", "Task"],
    "recsys.rank.fibinet": ["fibinet", "Field", "Task"],
    "recsys.rank.gwpfm": ["gwpfm", "Field", "Task"],
    "recsys.rank.hmoe": ["hmoe", "InteractionExpert", "Field", "Task"],
    "recsys.rank.pnn": ["pnn", "Field", "Task"],
    "recsys.train.losses": [
        "AugmentedBinaryCrossentropy",
        "RankingLoss",
        "ranking_loss",
    ],
    "recsys.train.multi_opt_model": ["Model"],
}


@pytest.mark.parametrize("module", VERSION_1)
def test_imports_of_version_1(module):
    for name in VERSION_1[module]:
        assert hasattr(importlib.import_module(module), name)


def test_the_registry():
    assert {"deepfm", "din"} <= set(recsys.list_models("rank"))
    assert "youtube_dnn" in recsys.list_models()
    with pytest.raises(ValueError, match="nearest names are deepfm"):
        recsys.create_model("deepfn", [])
    with pytest.raises(ValueError, match="family must be one of"):
        recsys.list_models("ranking")


def test_a_process_that_imported_nothing_else_can_load(tmp_path):
    model = recsys.create_model("din", _fields())
    model.compile("adam", "binary_crossentropy", metrics=[recsys.metrics.AUC(10)])
    model.save(tmp_path / "m.keras")
    code = (
        f"import recsys; m = recsys.load_model({str(tmp_path / 'm.keras')!r}); "
        "print(type(m).__name__, m.optimizer.name)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "Model adam", run.stderr[-2000:]


def _fields():
    return [
        recsys.Field("item", vocabulary_size=9, belong="item"),
        recsys.Field("seen", emb="item", length=3, belong="history"),
    ]
