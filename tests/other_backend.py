"""Loads models that TensorFlow saved, predicts and trains them; prints differences.

python -m tests.other_backend FOLDER, with KERAS_BACKEND set.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from recsys import load_model
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
            zoo.rows(160),
            zoo.labels(entry.family, 160),
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
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
