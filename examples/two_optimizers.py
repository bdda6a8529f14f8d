"""Adagrad for the tables, Adam for the rest; stopped, restored, and gone on with.

python -m examples.two_optimizers
"""

import tempfile
from pathlib import Path

import numpy as np

import recsys
from examples.pepnet import create_dataset, create_model

if __name__ == "__main__":
    x, labels = create_dataset()
    model = create_model()
    model.compile(
        optimizer={"embedding": "adagrad", "default": "adam"},
        loss="binary_crossentropy",
    )
    model.fit(x, labels, batch_size=64, epochs=2)

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "pepnet.keras")
        again = recsys.load_model(Path(folder) / "pepnet.keras")
    for one, other in zip(
        model.optimizer["embedding"].variables,
        again.optimizer["embedding"].variables,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    again.fit(x, labels, batch_size=64, epochs=2)
