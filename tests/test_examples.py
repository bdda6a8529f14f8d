"""Every example runs, and programs written for version 1 do."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.close import close

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    run = subprocess.run(
        [sys.executable, "-m", f"examples.{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]


VERSION_1 = """
import numpy as np
import tensorflow as tf

from recsys.multidomain.pepnet import pepnet, Field, Task

tasks = [Task(name='click'), Task(name='buy')]
fields = [
    Field('uid', vocabulary_size=100),
    Field('item_id', vocabulary_size=20, belong='item'),
    Field('his_item_id', vocabulary_size=20, emb='item_id', length=5, belong='history'),
    Field('context_id', vocabulary_size=20, belong='context'),
    Field('domain_id', vocabulary_size=3, belong='domain'),
    Field('domain_rate', vocabulary_size=1, belong='domain', dtype='float32'),
]
rng = np.random.default_rng(0)
data = {
    'uid': rng.integers(0, 100, [200]),
    'item_id': rng.integers(0, 20, [200]),
    'his_item_id': rng.integers(0, 20, [200, 5]),
    'context_id': rng.integers(0, 20, [200]),
    'domain_id': np.ones([200]) * 2,
    'domain_rate': rng.random([200]),
}
labels = {t.name: rng.integers(0, 2, [200]) for t in tasks}

def create():
    model = pepnet(fields, tasks, [16, 8], history_agg='transformer',
                   agg_kwargs={'num_layers': 1, 'd_model': 4, 'num_heads': 2, 'dff': 8})
    model.compile(optimizer={'dnn': 'adam', 'embedding': 'Adagrad', 'default': 'adam'},
                  loss=tf.keras.losses.BinaryCrossentropy(), metrics=['accuracy'])
    return model

model = create()
print(model.summary())
model.fit(data, labels, batch_size=32, epochs=2)
tf.train.Checkpoint(model=model).save(FOLDER + '/model.ckpt')
first = model({k: v[:10] for k, v in data.items()})
slots = model.optimizer['embedding'].variables()

model = create()
tf.train.Checkpoint(model=model).restore(FOLDER + '/model.ckpt-1')
for key in model.optimizer:
    model.optimizer[key].build(model.special_layer_variables[key])
again = model({k: v[:10] for k, v in data.items()})
for task in first:
    np.testing.assert_array_equal(first[task], again[task])
assert len(slots) == 2 + 5
for one, other in zip(slots, model.optimizer['embedding'].variables()):
    np.testing.assert_array_equal(one, other)
"""


@pytest.mark.parametrize("program", [VERSION_1], ids=["pepnet"])
def test_a_program_of_version_1_runs(program, tmp_path):
    code = f"FOLDER = {str(tmp_path)!r}\n" + textwrap.dedent(program)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]


def test_calls_of_version_1_with_two_lists_and_metrics_outside_a_list():
    import numpy as np
    import tensorflow as tf

    from recsys.rank.deepfm import Field, Task, deepfm
    from recsys.rank.din import din

    common = [
        Field("uid", vocabulary_size=30),
        Field("item_id", vocabulary_size=30, belong="item"),
        Field("cate_id", vocabulary_size=9, belong="item"),
    ]
    history = [
        Field(
            "his_item_id", vocabulary_size=30, emb="item_id", length=4, belong="history"
        ),
        Field(
            "his_cate_id", vocabulary_size=9, emb="cate_id", length=4, belong="history"
        ),
    ]
    age = [Field("age", vocabulary_size=50, belong="context")]
    rng = np.random.default_rng(0)
    sizes = {f.name: (f.vocabulary_size, f) for f in common + history + age}
    data = {
        name: rng.integers(0, size, (90, 4) if f.belong == "history" else 90)
        for name, (size, f) in sizes.items()
    }
    labels = np.where(rng.random(90) <= 0.2, 1, 0)
    for model in (
        deepfm(dnn_fields=common + history, fm_fields=common + age),
        din(common + history, task=Task("ctr", return_logit=True)),
    ):
        model.compile(
            optimizer="adam",
            loss=tf.keras.losses.BinaryCrossentropy(),
            metrics=tf.keras.metrics.AUC(),
        )
        model.fit(data, labels, batch_size=32, epochs=1, verbose=0)
        logs = model.evaluate(data, labels, verbose=0, return_dict=True)
        assert any("auc" in name for name in logs)


def _columns():
    from recsys.feature import Field

    return [
        Field("uid", vocabulary_size=100),
        Field("item_id", vocabulary_size=20, belong="item"),
        Field(
            "his_item_id", vocabulary_size=20, emb="item_id", length=6, belong="history"
        ),
        Field("context_id", vocabulary_size=20, belong="context"),
    ]


def _dcn(task):
    from recsys.rank.dcn import dcn

    return dcn(_columns(), task, layer_num=2, cross_type="matrix", low_rank_dim=2)


def _fibinet(task):
    from recsys.rank.fibinet import fibinet

    return fibinet(_columns(), task, 3, 2, bilinear_type="each", bilinear_1bit=True)


def _pnn(task):
    from recsys.rank.pnn import pnn

    return pnn(_columns(), task, outer_product=True, kernel_type="num", net_size=8)


def _grouped():
    """The columns in two groups; the history has its own name for one of them."""
    fields = _columns()
    for field in fields:
        field.group = "item" if "item" in field.name else "user"
    return fields


def _gwpfm(task):
    from recsys.rank.gwpfm import gwpfm

    return gwpfm(_grouped(), task, hidden_units=[16, 8])


def _hmoe(task):
    from recsys.rank.hmoe import InteractionExpert, hmoe

    groups = (
        {InteractionExpert.GwPFM: {}, InteractionExpert.CrossNet: {"layer_num": 1}},
        {InteractionExpert.ProductLayer: {"outer": True}},
    )
    return hmoe(_grouped(), groups, task, gate_weighted=True, hidden_units=[16, 8])


def _tin(task):
    from recsys.rank.tin import tin

    return tin(_columns(), task=task, hidden_units=[16, 8])


def _adaf2m2(task):
    from recsys.rank.adaf2m2 import Field, InteractionExpert, adaf2m2

    active = Field("active_days", vocabulary_size=1, dtype="float32")
    return adaf2m2(
        fields=_columns(),
        state_non_id_fields=[active],
        state_id_fields=[
            Field("uid", vocabulary_size=0),
            Field("item_id", vocabulary_size=1, belong="item"),
        ],
        num_sample=2,
        interaction=InteractionExpert.CrossNet,
        interaction_params={"layer_num": 2},
        task=task,
        hidden_units=[16, 8],
    )


def _losses(name):
    """The losses of an example, their weights, and the names of its outputs."""
    import tensorflow as tf

    from recsys.train.losses import AugmentedBinaryCrossentropy, RankingLoss

    bce = tf.keras.losses.BinaryCrossentropy()
    if name == "_tin":
        return [bce, RankingLoss()], [0.7, 0.3], ["ctr", "logit"]
    if name == "_adaf2m2":
        return [bce, AugmentedBinaryCrossentropy()], [1.0, 0.2], ["ctr"]
    return bce, None, ["ctr"]


@pytest.mark.parametrize("build", [_dcn, _fibinet, _pnn, _gwpfm, _hmoe, _tin, _adaf2m2])
def test_calls_of_version_1_with_one_task(build):
    """With its losses, metrics by task, and labels as one array."""
    import numpy as np
    import tensorflow as tf

    from recsys.feature import Task

    rng = np.random.default_rng(0)
    data = {
        "uid": rng.integers(0, 100, [90]),
        "item_id": rng.integers(0, 20, [90]),
        "his_item_id": rng.integers(0, 20, [90, 6]),
        "context_id": rng.integers(0, 20, [90]),
        "active_days": rng.random([90]),
    }
    labels = rng.integers(0, 2, [90])
    loss, weights, outputs = _losses(build.__name__)
    task = Task(name="ctr", return_logit="logit" in outputs)
    model = build(task)
    data = {name: data[name] for name in model.input}
    assert ("active_days" in data) == (build is _adaf2m2)
    model.compile(
        optimizer={"dnn": "adam", "embedding": "Adagrad", "default": "adam"},
        loss=loss,
        loss_weights=weights,
        metrics={task.name: tf.keras.metrics.AUC()},
    )
    model.run_eagerly = True  # tracing is most of a short fit
    before = model.get_weights()
    model.fit(data, labels, batch_size=32, epochs=1, verbose=0)
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    assert all(np.isfinite(model.evaluate(data, labels, verbose=0)))
    found = model.predict(data, verbose=0)
    called = model({name: column[:10] for name, column in data.items()})
    if outputs == ["ctr"]:
        found, called = {"ctr": found}, {"ctr": called}
    assert list(found) == list(called) == outputs
    for name in outputs:
        assert found[name].shape == (90, 1)
        close(called[name], found[name][:10], terms=1000)


def _two_histories(**groups):
    """The columns with categories; some, by name, in groups."""
    from recsys.feature import Field

    fields = [
        *_columns(),
        Field("cate_id", vocabulary_size=9, belong="item"),
        Field(
            "his_cate_id", vocabulary_size=9, emb="cate_id", length=6, belong="history"
        ),
    ]
    for field in fields:
        field.group = groups.get(field.name, field.group)
    return fields


def _in_three_groups():
    return _two_histories(uid="one", item_id="two", cate_id="three", context_id="three")


def _dcn_of_matrices(task):
    from recsys.rank.dcn import dcn

    return dcn(_two_histories(), task=task, cross_type="matrix")


def _din(task):
    from recsys.rank.din import din

    return din(_two_histories(), task=task)


def _fibinet_of_defaults(task):
    from recsys.rank.fibinet import fibinet

    return fibinet(_two_histories(), task=task)


def _pnn_of_one_network(task):
    from recsys.rank.pnn import pnn

    of_kernel = {"net_size": 16, "net_activation": "relu"}
    return pnn(_two_histories(), task=task, outer_product=True, **of_kernel)


def _gwpfm_without_mlp(task):
    from recsys.rank.gwpfm import gwpfm

    return gwpfm(_in_three_groups(), task=task)


def _hmoe_by_name(task):
    from recsys.layers.interaction import InteractionExpert
    from recsys.rank.hmoe import hmoe

    crosses = {InteractionExpert.CrossNet: {}}
    pairs = {
        InteractionExpert.ProductLayer: {"outer": True},
        InteractionExpert.GwPFM: {},
    }
    return hmoe(
        _in_three_groups(),
        task=task,
        expert_group=(crosses, pairs),
        gate_weighted=True,
    )


def _tin_of_defaults(task):
    from recsys.rank.tin import tin

    return tin(_two_histories())


def _adaf2m2_of_raw_states(task):
    from recsys.layers.interaction import InteractionExpert
    from recsys.rank.adaf2m2 import Field, adaf2m2

    raw = {"vocabulary_size": 0}
    return adaf2m2(
        _two_histories(),
        state_id_fields=[Field("uid", **raw), Field("item_id", belong="item", **raw)],
        state_non_id_fields=[
            Field(name, dtype="float32", **raw) for name in ("days", "visits")
        ],
        num_sample=3,
        interaction=InteractionExpert.ProductLayer,
        interaction_params={"outer": True},
        task=task,
    )


@pytest.mark.parametrize(
    "build",
    [
        _dcn_of_matrices,
        _din,
        _fibinet_of_defaults,
        _pnn_of_one_network,
        _gwpfm_without_mlp,
        _hmoe_by_name,
        _tin_of_defaults,
        _adaf2m2_of_raw_states,
    ],
)
def test_calls_of_version_1_with_two_histories(build, capsys):
    """With defaults, a summary, one optimizer, and metrics in each of their forms.

    A warning is an error here, of columns that are not read for example.
    """
    import numpy as np
    import tensorflow as tf

    from recsys.feature import Task
    from recsys.train.losses import AugmentedBinaryCrossentropy

    rng = np.random.default_rng(0)
    data = {
        "uid": rng.integers(0, 100, [90]),
        "item_id": rng.integers(0, 20, [90]),
        "cate_id": rng.integers(0, 9, [90]),
        "his_item_id": rng.integers(0, 20, [90, 6]),
        "his_cate_id": rng.integers(0, 9, [90, 6]),
        "context_id": rng.integers(0, 20, [90]),
        "days": rng.integers(0, 30, [90]),
        "visits": rng.integers(0, 100, [90]),
    }
    labels = rng.integers(0, 2, [90])
    task = Task(name="ctr", belong="binary")
    model = build(task)
    assert model.summary() is None and "his_cate_id" in capsys.readouterr().out
    bce = tf.keras.losses.BinaryCrossentropy()
    more = {"loss": bce, "metrics": tf.keras.metrics.AUC()}
    if build is _tin_of_defaults:
        more["metrics"] = ["accuracy"]
    if build is _adaf2m2_of_raw_states:
        more["loss"] = [bce, AugmentedBinaryCrossentropy()]
        more |= {"loss_weights": [1.0, 0.2], "metrics": {task.name: more["metrics"]}}
    else:
        del data["days"], data["visits"]
    model.compile(optimizer="adam", **more)
    model.run_eagerly = True
    before = model.get_weights()
    history = model.fit(data, labels, batch_size=32, epochs=1, verbose=0).history
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    loss, metric = model.evaluate(data, labels, verbose=0)
    assert np.isfinite(loss) and 0 <= metric <= 1 and len(history) == 2
    assert set(model.input) == set(data)


def _mmoe(tasks):
    from recsys.multitask.mmoe import mmoe

    return mmoe(_columns(), tasks, 3)


def _ple(tasks):
    from recsys.multitask.ple import ple

    return ple(_columns(), tasks, 2)


def _stem(tasks):
    from recsys.multitask.stem import stem

    fields, (click, like, buy) = _columns(), tasks
    groups = {(click, like): fields, buy: fields}
    return stem(task_group=groups, stop_gradients=True)


def _stem_of_widths(tasks):
    from recsys.multitask.stem import stem

    fields, task_group = _columns(), {}
    for task, dim in zip([*tasks, "shared"], [4, 8, 16, 8], strict=True):
        task_group[task] = fields.copy()
        for field in task_group[task]:
            field.dim = dim  # of all copies: they hold the same fields
    shared_group = task_group.pop("shared")
    return stem(task_group=task_group, shared_group=shared_group)


def _stem_al(tasks):
    from recsys.multitask.stem import stem

    fields, (click, like, buy) = _columns(), tasks
    return stem(task_group={click: fields}, auxiliary_task_group={(like, buy): fields})


def _m2m(tasks):
    from recsys.multidomain.m2m import Field, m2m

    history = Field(
        "his_cate_id",
        vocabulary_size=9,
        emb="cate_id",
        belong="history",
        length=6,
        group="categories",
    )
    domain = Field("domain_id", vocabulary_size=3, belong="domain")
    fields = [*_columns(), history, domain]
    for task in tasks:
        own = {"belong": "task", "group": task.name}
        name = f"{task.name}_id"
        fields.append(Field(name, vocabulary_size=3, emb="task_id", **own))
        name = f"{task.name}_count"
        own["dtype"] = "float32"
        fields.append(Field(name, vocabulary_size=1, emb="task_count", **own))
    return m2m(fields, tasks, 3)


def _pepnet(tasks):
    from recsys.multidomain.pepnet import Field, pepnet

    fields = [
        *_columns(),
        Field("domain_id", vocabulary_size=3, belong="domain"),
        Field("domain_rate", vocabulary_size=1, belong="domain", dtype="float32"),
    ]
    return pepnet(fields, tasks, [16, 8], history_agg="attention", agg_kwargs={})


def _star(tasks):
    from recsys.multidomain.star import Field, star

    domain = Field("domain_id", vocabulary_size=3, belong="domain")
    return star([*_columns(), domain], num_domain=3)


@pytest.mark.parametrize(
    ("build", "kind", "loss"),
    [
        (_mmoe, "binary", "BinaryCrossentropy"),
        (_ple, "binary", "MeanSquaredError"),
        (_stem, "binary", "BinaryCrossentropy"),
        (_stem_of_widths, "binary", "BinaryCrossentropy"),
        (_stem_al, "binary", "BinaryCrossentropy"),
        (_m2m, "regression", "MeanSquaredError"),
        (_pepnet, "binary", "BinaryCrossentropy"),
        (_star, "binary", "BinaryCrossentropy"),
    ],
)
def test_calls_of_version_1_with_several_tasks_or_domains(build, kind, loss):
    """With its defaults, a loss and metrics for all tasks, and its types of columns."""
    import numpy as np
    import tensorflow as tf

    from recsys.feature import Task

    tasks = [Task(name=name, belong=kind) for name in ("click", "like", "buy")]
    rng = np.random.default_rng(0)
    data = {
        "uid": rng.integers(0, 100, [90]),
        "item_id": rng.integers(0, 20, [90]),
        "his_item_id": rng.integers(0, 20, [90, 6]),
        "his_cate_id": rng.integers(0, 9, [90, 6]),
        "context_id": rng.integers(0, 20, [90]),
        "domain_id": np.ones([90], dtype="int32"),
        "domain_rate": rng.random([90]),
    }
    for i, task in enumerate(tasks):
        data |= {f"{task.name}_id": np.ones([90]) * i}
        data |= {f"{task.name}_count": rng.random([90])}
    labels = {task.name: rng.integers(0, 2, [90]) for task in tasks}
    outputs = list(labels)
    if build is _star:
        labels, outputs = labels["click"], ["ctr"]
    if kind == "regression":
        labels = {name: rng.random([90]) for name in labels}

    model = build(tasks)
    data = {name: data[name] for name in model.input}
    for optimizer, metrics in (
        ("adam", ["mse"] if kind == "regression" else tf.keras.metrics.AUC()),
        ({"dnn": "adam", "embedding": "Adagrad", "default": "adam"}, ["accuracy"]),
    ):
        model.compile(
            optimizer=optimizer,
            loss=getattr(tf.keras.losses, loss)(),
            metrics=metrics,
        )
        model.run_eagerly = True
        before = model.get_weights()
        model.fit(data, labels, batch_size=32, epochs=1, verbose=0)
        assert any(
            np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)
        )
    for key in model.optimizer:
        model.optimizer[key].build(model.special_layer_variables[key])
    assert len(model.optimizer["embedding"].variables()) > 2
    found = model.predict(data, verbose=0)
    called = model({name: column[:10] for name, column in data.items()})
    if build is _star:
        found, called = {"ctr": found}, {"ctr": called}
    assert list(found) == list(called) == outputs
    for name in outputs:
        assert found[name].shape == (90, 1)
        close(called[name], found[name][:10], terms=1_000)
