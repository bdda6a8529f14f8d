"""Metrics in `fit` and `evaluate` of a model: by task and by domain, grouped, cut."""

import keras
import numpy as np
import pytest

from recsys import metrics
from recsys.feature import Field, Task
from recsys.layers.heads import predict
from recsys.multidomain.pepnet import pepnet
from recsys.train.model import Model
from tests.close import close


def test_by_task_and_domain_from_one_evaluate(tmp_path):
    rng = np.random.default_rng(0)
    x = {
        "user": rng.integers(1, 20, 300),
        "item": rng.integers(1, 30, 300),
        "scene": rng.integers(0, 3, 300),
    }
    click = (rng.random(300) < 0.4).astype("float32")
    buy = np.where(click == 1, rng.random(300) < 0.5, np.nan)  # in click space
    buy[(x["scene"] == 2) & (click == 1)] = 1  # no AUC there
    y, weight = {"click": click, "buy": buy}, rng.choice([0, 1, 2], 300)
    model = pepnet(
        [
            Field("user", vocabulary_size=20),
            Field("item", vocabulary_size=30, belong="item"),
            Field("scene", vocabulary_size=3, belong="domain"),
        ],
        [Task("click"), Task("buy")],
    )
    names = ["auc", "gauc", "log_loss", "pcoc"]
    model.compile(
        keras.optimizers.Adam(0.05),  # spreads the scores
        "binary_crossentropy",
        weighted_metrics=[
            metrics.By("scene", names, "user", capacity=300),
            metrics.NDCG("user", 5, capacity=300),
            metrics.PCOC(),
            metrics.BinnedAUC(),
        ],
    )
    given = {"sample_weight": weight, "batch_size": 64, "verbose": 0}
    history = model.fit(
        x, y, validation_data=(x, y, weight), validation_batch_size=50, **given
    ).history
    logs = model.evaluate(x, y, return_dict=True, **given)
    p = model.predict(x, verbose=0)
    for task, label in y.items():
        score = p[task][:, 0]
        rows = {"sample_weight": weight, "by": x["scene"]}
        for name, function, more in [
            ("auc", metrics.auc, {}),
            ("gauc", metrics.gauc, {"groups": x["user"]}),
            ("log_loss", metrics.log_loss, {}),
            ("pcoc", metrics.pcoc, {}),
        ]:
            table = metrics.breakdown(function, label, score, **rows, **more)
            wanted = {str(key): value for key, value in table.values.items()} | {
                "macro": table.macro(),
                "weighted": table.weighted(),
                "skipped": len(table.skipped()),
            }
            for key, value in wanted.items():
                for found in (
                    logs[f"{task}_{name}_scene_{key}"],
                    history[f"val_{task}_{name}_scene_{key}"][-1],
                ):
                    close(found, value, terms=100)
        w = {"sample_weight": weight}
        ndcg = metrics.ndcg(label, score, groups=x["user"], k=5, **w)
        close(logs[f"{task}_ndcg@5"], ndcg)
        pcoc = metrics.pcoc(label, score, **w)
        close(logs[f"{task}_pcoc"], pcoc, terms=100)
        area, error = metrics.binned_auc(label, np.log(score / (1 - score)), **w)
        assert abs(logs[f"{task}_binned_auc"] - area) <= error + 1e-6
    for name in ("ndcg@5", "pcoc", "binned_auc"):
        table = metrics.Breakdown(
            {task: float(logs[f"{task}_{name}"]) for task in y},
            {task: weight[~np.isnan(label)].sum() for task, label in y.items()},
        )
        for key in ("macro", "weighted"):
            mean = getattr(table, key)()
            close(logs[f"{name}_task_{key}"], mean, terms=100)
            close(history[f"val_{name}_task_{key}"][-1], mean, terms=100)
        assert logs[f"{name}_task_skipped"] == 0
    assert np.isnan(logs["buy_auc_scene_2"]) and logs["buy_auc_scene_skipped"] == 1
    # values without names are in order: loss, then those of the first task, ...
    values = model.evaluate(x, y, **given)
    assert values[0] == logs["loss"]
    assert values[-1] == logs["binned_auc_task_skipped"]
    assert len(values) == len(logs)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    copied = again.evaluate(x, y, return_dict=True, **given)
    assert copied["click_auc_scene_macro"] == logs["click_auc_scene_macro"]


@pytest.mark.parametrize("with_logit", [True, False])
def test_a_model_says_whether_it_passes_logits(with_logit):
    x, y = {"z": np.float32([-60.0, 2.0, 50.0])[:, None]}, np.float32([1, 1, 0])
    z = keras.Input((1,), name="z")
    p = keras.layers.Activation("sigmoid", name="ctr")(z)
    model = Model({"z": z}, predict(Task("ctr"), z) if with_logit else p)
    by = metrics.By("domain", ["log_loss"], capacity=9)
    each = [metrics.LogLoss(), metrics.NormalizedEntropy(prior=0.5), by]
    model.compile("sgd", "mse", metrics=each)
    columns = {**x, "domain": np.array([3, 3, 3])}
    logs = model.evaluate(columns, y, verbose=0, return_dict=True)
    if with_logit:  # of 60 a float32 sigmoid knows nothing
        wanted = metrics.log_loss(y, logits=x["z"])
    else:
        wanted = metrics.log_loss(y, model.predict(x, verbose=0))
    close(logs["log_loss"], wanted)
    close(logs["normalized_entropy"], wanted / np.log(2))
    close(logs["log_loss_domain_3"], wanted)
