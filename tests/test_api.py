"""The public surface: what it is, that it is lazy, and what version 1 imported."""

import ast
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recsys
from recsys.registry import FAMILIES
from tests.api import PACKAGES, public_api

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


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_public_names_and_nothing_else(package):
    module = importlib.import_module(package)
    assert dir(module) == sorted(module.__all__)
    for name in dir(module):
        value = getattr(module, name)
        assert not inspect.ismodule(value) or f"{package}.{name}" in [
            *PACKAGES,
            *("recsys.rank", "recsys.multitask", "recsys.multidomain", "recsys.match"),
        ]
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'nosuch'"):
        module.nosuch  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_type_checker_sees_is_what_there_is(package):
    module = importlib.import_module(package)
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                for alias in each.names:
                    owner = importlib.import_module(each.module)
                    assert getattr(module, alias.name) is getattr(owner, alias.name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_its_factories(family):
    package = importlib.import_module(f"recsys.{family}")
    assert dir(package) == recsys.list_models(family)
    for name in dir(package):
        module = importlib.import_module(f"recsys.{family}.{name}")
        factory = getattr(package, name)
        assert inspect.isfunction(factory) and factory is getattr(module, name)
        assert inspect.ismodule(module) and inspect.getmodule(factory) is module
        assert pickle.loads(pickle.dumps(factory)) is factory
        assert (
            getattr(factory, name) is factory
        )  # `import recsys.rank.din` of version 1


THREADS = """
import importlib, sys, threading
import recsys

NAMES = ["lr", "fm", "deepfm", "din", "fibinet_plus"]
start, found = threading.Barrier(16), []

def look(place):
    start.wait()
    for name in NAMES[:: 1 if place % 2 else -1]:
        if place % 4 < 2:
            importlib.import_module("recsys.rank." + name)
        found.append(getattr(recsys.rank, name))

threads = [threading.Thread(target=look, args=(i,)) for i in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
import recsys.rank.deepfm
import recsys.rank.dcn as dcn
from recsys.rank.dcn import dcn as same
from recsys.rank.deepfm import deepfm, Field
assert recsys.rank.deepfm is deepfm and dcn is same and callable(dcn)
modules = [sys.modules["recsys.rank." + name] for name in NAMES]
factories = {getattr(module, module.__name__.split(".")[-1]) for module in modules}
assert len(found) == 16 * len(NAMES) and {*found} == factories
"""


def test_a_factory_is_one_in_whatever_order_and_thread_it_is_imported():
    run = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_looking_around_loads_no_tensorflow():
    code = (
        "import recsys, sys, types\n"
        "packages = [getattr(recsys, name) for name in dir(recsys)]\n"
        "print(sum(len(dir(p)) for p in packages if isinstance(p, types.ModuleType)))\n"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    number, heavy = run.stdout.split("\n")[:2]
    assert int(number) > 250 and heavy == "[]", run.stderr


def test_all_that_the_readme_names_is_public():
    text = (HERE.parent / "README.md").read_text()
    names = {*re.findall(r"\brecsys(?:\.\w+)+", text)}
    for module, imported in re.findall(r"^from (recsys\S*) import (.*)$", text, re.M):
        names |= {f"{module}.{name}" for name in imported.split(", ")}
    assert {"recsys.train.callbacks.Resume", "recsys.data.FeaturePipeline"} <= names
    for name in names:
        value = recsys
        for part in name.split(".")[1:]:
            assert part in dir(value), name
            value = getattr(value, part)


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
    assert recsys.list_models("DeepFM") == recsys.list_models("deepfm") == ["deepfm"]
    with pytest.raises(ValueError, match="no model 'Deepfn', .*names are deepfm"):
        recsys.list_models("Deepfn")
    with pytest.raises(ValueError, match="all; the families are rank, multitask, "):
        recsys.list_models("zzz*")
    with pytest.raises(ValueError, match="no model 'zzz'; `recsys models` lists all"):
        recsys.create_model("zzz", [])


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
