"""Losses in models: weights, missing labels, groups, tasks; on any backend."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from recsys.feature import Field, Task
from recsys.metrics import auc, log_loss
from recsys.metrics.streaming.auc import AUC
from recsys.metrics.streaming.calibration import PCOC
from recsys.metrics.streaming.log_loss import LogLoss
from recsys.multidomain.pepnet import pepnet
from recsys.rank.deepfm import deepfm
from recsys.rank.tin import tin
from recsys.rank.xdeepfm import xdeepfm
from recsys.train.losses import CombinedLoss, FocalLoss, JRCLoss, RankingLoss
from tests.close import close
from tests.train import loss_oracle as oracle

BACKEND = keras.backend.backend()


def fields():
    return [
        Field("user", vocabulary_size=20),
        Field("item", vocabulary_size=30, belong="item"),
        Field("seen", emb="item", length=4, belong="history"),
    ]


def rows(num=96):
    rng = np.random.default_rng(0)
    x = {
        "user": rng.integers(1, 20, num),
        "item": rng.integers(1, 30, num),
        "seen": rng.integers(0, 30, (num, 4)),
        "session": rng.integers(0, 9, num),
    }
    return x, (x["item"] % 3 == 0).astype("float32")


def test_the_call_of_version_1():
    x, y = rows()
    model = tin(fields(), task=Task("ctr", return_logit=True))
    model.compile(
        optimizer="adam",
        loss=[keras.losses.BinaryCrossentropy(), RankingLoss()],
        loss_weights=[0.7, 0.3],
        metrics={"ctr": AUC(1000)},
    )
    z = np.float64(model.predict(x, verbose=0)["logit"][:, 0])
    logs = model.evaluate(x, y, batch_size=96, verbose=0, return_dict=True)
    ce = np.mean(oracle.cross_entropy(y, z))
    rank = oracle.pairs(lambda d: oracle.softplus(-d))
    ranking = oracle.reduced(rank(y, z, np.ones(96), np.zeros(96)), "mean", None)
    close(logs["loss"], 0.7 * ce + 0.3 * ranking, terms=1_000)
    close(logs["ctr_auc"], auc(y, np.float32(z)))
    losses = model.fit(x, y, batch_size=32, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.all)]
)
def test_groups_weights_and_missing_labels_in_a_model(jit_compile, tmp_path):
    if jit_compile and BACKEND == "torch":
        pytest.skip("torch.compile needs a C++ compiler")
    x, y = rows()
    y[::7] = np.nan
    weight = np.random.default_rng(1).choice([0, 1, 2], 96).astype("float32")
    model = deepfm(fields(), fields()[:2])
    model.compile("sgd", CombinedLoss(0.4, "session"), jit_compile=jit_compile)
    z = np.log(p := np.float64(model.predict(x, verbose=0)[:, 0])) - np.log1p(-p)
    w = np.where(np.isnan(y), 0, weight)
    label = np.nan_to_num(y)
    ce = oracle.rows_of(oracle.cross_entropy)(label, z, w, None)
    rank = oracle.pairs(lambda d: oracle.softplus(-d))(label, z, w, x["session"])
    wanted = 0.4 * oracle.reduced(ce, "mean", None)
    wanted += 0.6 * oracle.reduced(rank, "mean", None)
    given = {"sample_weight": weight, "batch_size": 96, "verbose": 0}
    close(model.evaluate(x, y, **given), wanted, terms=1_000)
    model.fit(x, y, sample_weight=weight, batch_size=32, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    close(again.evaluate(x, y, **given), model.evaluate(x, y, **given), terms=100)
    with pytest.raises(ValueError, match="'session' is missing"):
        model.fit({k: v for k, v in x.items() if k != "session"}, y, verbose=0)


def test_jrc_in_a_model():
    x, y = rows()
    model = xdeepfm(fields(), Task("ctr", "multiclass", num_classes=2))
    model.compile(
        keras.optimizers.Adam(0.05),
        JRCLoss(group="session"),
        metrics=[AUC(1000), LogLoss(), PCOC()],
    )
    losses = model.fit(x, y, batch_size=96, epochs=9, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    p = model.predict(x, verbose=0)[:, 1]  # that of a click
    assert auc(y, p) > 0.9
    logs = model.evaluate(x, y, batch_size=96, verbose=0, return_dict=True)
    close(logs["auc"], auc(y, p))
    close(logs["log_loss"], log_loss(y, p), terms=1_000)
    close(logs["pcoc"], p.sum() / y.sum(), terms=1_000)


def test_several_tasks():
    x, y = rows()
    tasks = [Task("click"), Task("like")]
    domain = Field("domain", vocabulary_size=3, belong="domain")
    x["domain"] = x["user"] % 3
    model = pepnet([*fields(), domain], tasks)
    model.compile("adam", {"click": RankingLoss(group="user"), "like": FocalLoss()})
    logs = model.fit(x, {"click": y, "like": 1 - y}, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())


REPLICAS = """
import numpy as np
import tensorflow as tf

from recsys.rank.deepfm import deepfm
from recsys.train.losses import CombinedLoss, RankingLoss
from tests.train.test_losses_in_model import fields, rows

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
x, y = rows(32)
twice = {name: np.concatenate([column] * 2) for name, column in x.items()}
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = deepfm(fields(), fields()[:2])
for loss in (RankingLoss(group="session"), CombinedLoss()):
    with strategy.scope():
        model.compile("sgd", loss)
    data = tf.data.Dataset.from_tensor_slices((twice, np.tile(y, 2))).batch(64)
    found = model.evaluate(data, verbose=0)
    z = model(x, training=False)
    z = np.log(z) - np.log1p(-z)
    wanted = float(loss(y, z, groups=x["session"] if loss.group else None))
    assert abs(found - wanted) < 1e-4 * wanted, (loss.name, found, wanted)
"""


@pytest.mark.all
@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute")
def test_each_replica_compares_its_own_rows():
    run = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
