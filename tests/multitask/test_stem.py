"""STEM against eq. 4-8 of the paper, and whose tables a task trains."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recsys import Field, Task, load_model
from recsys.multitask.stem import (
    assign_field_for_shared,
    build_embeddings,
    flexible_group,
    stem,
)
from recsys.train.model import Model
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import gradients, of_task

CLICK, LIKE = zoo.TASKS
NAMES = [CLICK.name, LIKE.name]
EXPERTS, UNITS, GATE = (7, 4), (5,), (6,)


def _features(x, w, name):
    """Embeddings of one set of tables, histories pooled by attention."""
    own = w.through(lambda path: path.replace("embedding_", f"embedding_{name}"))
    plain = oracle.columns(oracle.PLAIN, x, own)
    history = oracle.zoo_attention(x, own, f"dnn_his_attention_{name}default")
    return np.concatenate([plain, history], axis=-1)


def _expected(x, w, levels, m, common):
    """Eq. 4-8; the last level makes no shared stream, which nothing would read."""
    shared = _features(x, w, "")
    streams = {t: _features(x, w, f"{t}__") for t in NAMES}
    for level in range(levels):
        at = f"dnn_level_{level}"
        every = [
            oracle.experts(s, w, f"{at}_experts_{t}", m, EXPERTS)
            for t, s in streams.items()
        ]
        every.append(oracle.experts(shared, w, f"{at}_experts_shared", common, EXPERTS))
        streams = {
            t: oracle.mixture(s + shared, every, w, f"{at}_gate_{t}", GATE)
            for t, s in streams.items()
        }
        if level < levels - 1:
            shared = oracle.mixture(shared, every, w, f"{at}_gate_shared", GATE)
    return oracle.task_towers(streams, w, UNITS)


def _model(levels=1, m=2, common=1, **kwargs):
    model = stem(
        zoo.fields(),
        experts_dim=EXPERTS,
        hidden_units=UNITS,
        task_list=zoo.TASKS,
        num_layers=levels,
        num_experts=m,
        num_shared_experts=common,
        gate_units=GATE,
        **kwargs,
    )
    zoo.jitter(model)
    return model


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(("m", "common"), [(1, 1), (2, 3)])
@pytest.mark.oracle
def test_it_computes_the_paper(levels, m, common):
    model = _model(levels, m, common)
    x, w = zoo.rows(9), oracle.weights(model)
    expected = _expected(x, w, levels, m, common)
    close(zoo.predictions(model, x), expected, terms=1_000)


def test_the_shared_expert_counts_once():
    """In version 1 two tasks and shared experts made a gate of four."""
    gate = _model(1, 1, 1).get_layer("dnn_level_0_gate_click").gate
    assert gate.num_experts == 3


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12
    experts = (width * 7 + 7) + (7 * 4 + 4)
    gate = width * 6 + 6 + 6 * 3
    tower = 4 * 5 + 5 + 5 + 1
    model = _model(1, 1, 1, history_agg="mean_pooling")
    assert model.count_params() == 3 * (tables + experts) + 2 * (gate + tower)


def _moved_by(model, task):
    found = of_task(model, zoo.rows(32), zoo.labels("multitask", 32), task)
    return {path for path, gradient in found.items() if np.any(gradient)}


@pytest.mark.parametrize("levels", [1, 2])
def test_a_task_trains_its_own_and_the_shared_tables(levels):
    for own, other in (NAMES, NAMES[::-1]):
        moved = _moved_by(_model(levels), own)
        assert not [path for path in moved if other in path]
        assert f"embedding_{own}__item_id/embeddings" in moved
        assert f"dnn_level_0_experts_{own}/kernel_0" in moved
        assert "embedding_item_id/embeddings" in moved
        assert "dnn_level_0_experts_shared/kernel_0" in moved


def test_without_stops_a_task_trains_the_tables_of_others():
    for kwargs in ({"stop_gradients": False}, {"levels": 2, "strict": False}):
        assert "embedding_like__item_id/embeddings" in _moved_by(
            _model(**kwargs), "click"
        )
    assert "embedding_like__item_id/embeddings" not in _moved_by(
        _model(levels=1, strict=False), "click"
    )


def test_stops_change_no_prediction():
    x, models = zoo.rows(9), [_model(2), _model(2, stop_gradients=False)]
    of = {weight.path: weight for weight in models[0].weights}
    for weight in models[1].weights:
        weight.assign(of[weight.path])
    one, other = (zoo.predictions(model, x) for model in models)
    close(one, other)


def _version_1(dim=8):
    return [
        Field("uid", vocabulary_size=100, dim=dim),
        Field("item_id", vocabulary_size=20, belong="item", dim=dim),
        Field("seen", emb="item_id", length=5, belong="history"),
        Field("context_id", vocabulary_size=20, belong="context", dim=dim),
    ]


def _rows(n=16):
    rng = np.random.default_rng(0)
    x = {"uid": rng.integers(0, 100, n), "item_id": rng.integers(1, 20, n)}
    x |= {"seen": rng.integers(0, 20, (n, 5)), "context_id": rng.integers(0, 20, n)}
    return x, {name: rng.integers(0, 2, n) for name in ("click", "like", "buy")}


def test_tasks_of_one_group_share_their_tables():
    fields = _version_1()
    model = stem({(CLICK, LIKE): fields, Task("buy"): fields}, stop_gradients=True)
    tables = {w.path.split("/")[0] for w in model.weights if "item_id" in w.path}
    assert tables == {
        "embedding_item_id",
        "embedding_click_like__item_id",
        "embedding_buy__item_id",
    }
    assert list(model.output) == ["click", "like", "buy"]
    assert model.get_layer("dnn_level_0_gate_buy").gate.num_experts == 4


def test_groups_may_differ_in_width():
    groups, dims = {}, {CLICK: 4, LIKE: 8, Task("buy"): 16}
    for task, dim in dims.items():
        groups[task] = [replace(f, dim=dim) for f in _version_1()]
    shared = [replace(f, dim=2) for f in _version_1()]
    model = stem(groups, shared_group=shared)
    for task, dim in dims.items():
        table = model.get_layer(f"embedding_{task.name}__item_id").embeddings
        assert table.shape == (20, dim)
        gate = model.get_layer(f"dnn_level_0_gate_{task.name}").gate
        assert gate.hidden.dense[0].kernel.shape[0] == 4 * dim + 4 * 2
    assert model.get_layer("embedding_item_id").embeddings.shape == (20, 2)
    by_default = stem(groups)
    assert by_default.get_layer("embedding_item_id").embeddings.shape == (20, 8)
    x, y = _rows()
    model.compile("sgd", "binary_crossentropy")
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()


def test_auxiliary_tasks_are_read_and_not_moved(tmp_path):
    fields = _version_1()
    model = stem({CLICK: fields}, auxiliary_task_group={(LIKE, Task("buy")): fields})
    zoo.jitter(model)
    x, y = _rows()
    gate = model.get_layer("dnn_level_0_gate_click").gate
    assert gate.num_experts == 3  # own, like, buy; nothing shared
    model.compile("sgd", "binary_crossentropy")
    moved = {
        path
        for path, g in gradients(model, x, {**y, "click": np.full(16, np.nan)}).items()
        if np.any(g)
    }
    assert moved
    assert not [path for path in moved if "click" in path]
    without = {**y, "like": np.full(16, np.nan), "buy": np.full(16, np.nan)}
    moved = {path for path, g in gradients(model, x, without).items() if np.any(g)}
    assert "embedding_click__item_id/embeddings" in moved
    assert not [path for path in moved if "like" in path or "buy" in path]

    served = Model(model.input, {"click": model.output["click"]})
    served.save(tmp_path / "served.keras")
    names = {w.path for w in load_model(tmp_path / "served.keras").weights}
    assert "embedding_like_buy__item_id/embeddings" in names
    assert not [name for name in names if "tower_like" in name]
    np.testing.assert_array_equal(
        served.predict(x, verbose=0)["click"], model.predict(x, verbose=0)["click"]
    )


def test_groups_of_version_1():
    fields = _version_1()
    assert flexible_group({CLICK: fields, (LIKE,): fields}) == {
        (CLICK,): fields,
        (LIKE,): fields,
    }
    assert flexible_group(None) == {}
    groups = [[Field("a", dim=dim)] for dim in (16, 4, 8)]
    assert assign_field_for_shared(groups)[0].dim == 8
    assert [group[0].dim for group in groups] == [16, 4, 8]


def test_embeddings_of_version_1_have_tables_by_prefix_and_inputs_together():
    fields, inputs = _version_1(), {}
    outputs = [
        build_embeddings(fields, inputs, prefix, "mean_pooling")
        for prefix in ("embedding/click/", "embedding/")
    ]
    assert inputs.keys() == {"uid", "item_id", "seen", "context_id"}
    model = keras.Model(inputs, outputs)
    zoo.jitter(model)
    x, _ = _rows()
    w = {weight.path: weight.numpy() for weight in model.weights}
    for name, found in zip(("click__", ""), model.predict(x, verbose=0), strict=True):
        tables = {
            key: w[f"embedding_{name}{key}/embeddings"] for key in x if key != "seen"
        }
        seen = tables["item_id"][x["seen"]] * (x["seen"] > 0)[..., None]
        count = np.maximum((x["seen"] > 0).sum(1, keepdims=True), 1)
        parts = [tables["uid"][x["uid"]], tables["item_id"][x["item_id"]]]
        parts += [seen.sum(1) / count, tables["context_id"][x["context_id"]]]
        close(found, np.concatenate(parts, 1), terms=100)


def test_errors():
    fields = zoo.fields()
    with pytest.raises(ValueError, match="fields and task_list, or task_group"):
        stem(fields)
    with pytest.raises(ValueError, match="fields and task_list, or task_group"):
        stem({CLICK: fields}, task_list=[CLICK])
    with pytest.raises(ValueError, match="num_shared_experts=0"):
        stem(fields, task_list=zoo.TASKS, num_shared_experts=0)
    other = [
        replace(field, length=9) if field.length > 1 else field for field in fields
    ]
    with pytest.raises(ValueError, match="declared twice, and not alike"):
        stem({CLICK: fields, LIKE: other}, shared_group=fields)
    with pytest.raises(ValueError, match="distinct names"):
        stem({CLICK: fields}, auxiliary_task_group={CLICK: fields})
