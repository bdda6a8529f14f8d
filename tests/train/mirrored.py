"""Trains on one device and on two replicas; the weights must agree."""

import keras
import numpy as np
import tensorflow as tf

from tests import zoo

KINDS = ("deepfm", "din", "pepnet", "youtube_dnn")  # one of each kind


def main() -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    worst = 0.0
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for entry in zoo.ENTRIES:
        if entry.name not in KINDS:
            continue
        found = []
        for scope in (None, strategy):
            keras.utils.set_random_seed(0)
            with scope.scope() if scope else tf.device("CPU:0"):
                model = entry.build()
                # Dice has statistics per replica, as batch normalization has.
                for layer in model._flatten_layers():
                    if hasattr(layer, "moving_mean"):
                        layer.momentum = 1.0
                zoo.jitter(model, scale=0.1)
                model.compile({"embedding": "adagrad", "default": "adam"}, entry.loss())
            x, y = zoo.rows(64), zoo.labels("rank", 64)
            if entry.family == "match":
                y = None
            elif entry.family != "rank":
                y = {"click": y, "like": 1 - y}
            data = x if y is None else (x, y)
            dataset = tf.data.Dataset.from_tensor_slices(data).batch(32)
            model.fit(dataset, epochs=2, verbose=0)
            found.append(model.get_weights())
        if entry.name not in BATCH_STATISTICS:
            worst = max(
                worst, *(np.abs(a - b).max() for a, b in zip(*found, strict=True))
            )
    assert worst < 1e-5, worst
    print("weights differ by at most", worst)


BATCH_STATISTICS = {"deepfm", "din"}
"""Their Dice sees half of the batch in each replica."""


if __name__ == "__main__":
    main()
