"""Loads a model that TensorFlow saved and trains it on; prints losses and state.

python -m tests.train.balanced FILE, with KERAS_BACKEND set.
"""

import json
import sys

import keras

from recsys import load_model
from tests import zoo


def train(model):
    x, y = zoo.rows(64), zoo.labels("multitask", 64)
    fit = model.fit(x, y, batch_size=32, epochs=4, shuffle=False, verbose=0)
    state = [
        keras.ops.convert_to_numpy(variable).tolist()
        for variable in model.balance.variables
    ]
    return {"loss": fit.history["loss"], "state": state}


def main(path):
    model = load_model(path)
    report = {"backend": keras.backend.backend(), **train(model), "refused": ""}
    try:
        model.compile("sgd", "binary_crossentropy", balance="pcgrad")
    except ValueError as error:
        report["refused"] = str(error)
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
