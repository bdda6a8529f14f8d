"""Loads models that TensorFlow saved, predicts and trains them; prints differences.

python -m tests.other_backend FOLDER, with KERAS_BACKEND set.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from recsys import load_model, metrics
from tests import zoo


def main(folder: Path) -> None:
    report = {}
    for entry in zoo.ENTRIES:
        model = load_model(folder / f"{entry.name}.keras")
        (expected,) = np.load(folder / f"{entry.name}.npz").values()
        found = zoo.predictions(model, zoo.rows(32))
        scale = np.maximum(1, np.abs(expected))
        difference = (np.abs(found - expected) / scale).max()
        model.fit(
            zoo.rows(32 * entry.steps),
            entry.labels(32 * entry.steps),
            batch_size=32,
            shuffle=False,
            verbose=0,
        )
        trained = np.load(folder / f"{entry.name}_trained.npz").values()
        weights = [
            np.abs(keras.ops.convert_to_numpy(weight) - other).max()
            for weight, other in zip(model.weights, trained, strict=True)
        ]
        report[entry.name] = {
            "backend": keras.backend.backend(),
            "predictions": float(difference),
            "weights": float(max(weights)),
            "metrics": metrics_differ(entry, model),
        }
    print(json.dumps(report))


def metrics_differ(entry, model) -> float:
    """By how much metrics in `fit` and `evaluate` differ from those of NumPy."""
    if entry.family == "match":
        return 0.0
    x, y = zoo.rows(160), entry.labels(160)
    model.compile(
        keras.optimizers.SGD(0.0),
        "binary_crossentropy",
        metrics=[metrics.AUC(200), metrics.GAUC("user_id", capacity=200), "accuracy"],
        weighted_metrics=[metrics.LogLoss()],
    )
    weight = np.random.default_rng(0).random(160)
    given = {"sample_weight": weight, "batch_size": 32, "verbose": 0}
    worst = 0.0
    for stage in ("evaluate", "fit"):
        if stage == "evaluate":
            logs = model.evaluate(x, y, return_dict=True, **given)
        else:  # moves the statistics of Dice, hence the predictions
            history = model.fit(x, y, validation_data=(x, y, weight), **given).history
            logs = {name: values[0] for name, values in history.items()}
        prefix = "val_" if stage == "fit" else ""
        p = model.predict(x, verbose=0)
        for task in [t for t in p if t in y] if isinstance(p, dict) else [""]:
            score, label = (p[task], y[task]) if task else (p, y)
            name = f"{prefix}{task}_" if task else prefix
            expected = {
                "auc": metrics.auc(label, score),
                "gauc": metrics.gauc(label, score, groups=x["user_id"]),
                "log_loss": metrics.log_loss(label, score, sample_weight=weight),
            }
            for metric, value in expected.items():
                worst = max(worst, abs(float(logs[name + metric]) - value))
    return worst


if __name__ == "__main__":
    main(Path(sys.argv[1]))
