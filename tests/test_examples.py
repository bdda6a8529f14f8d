"""Every example runs, and programs written for version 1 do."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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
