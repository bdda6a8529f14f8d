"""DeepFM of the layers that Keras 3 ships, with its Adam."""

import keras
import worker
from keras import ops

ids, numbers, labels, sizes = worker.rows()


class FM(keras.layers.Layer):
    def call(self, v):
        pairs = ops.square(ops.sum(v, axis=1)) - ops.sum(ops.square(v), axis=1)
        return 0.5 * ops.sum(pairs, axis=1, keepdims=True)


inputs, embedded, linear = {}, [], []
for i, size in enumerate(sizes):
    x = inputs[f"c{i}"] = keras.Input((), dtype="int32", name=f"c{i}")
    embedded.append(keras.layers.Embedding(size, worker.DIM)(x))
    linear.append(keras.layers.Embedding(size, 1)(x))
for i in range(numbers.shape[1]):
    x = inputs[f"n{i}"] = keras.Input((1,), name=f"n{i}")
    embedded.append(keras.layers.Dense(worker.DIM, use_bias=False)(x))
    linear.append(keras.layers.Dense(1, use_bias=False)(x))
x = flat = keras.layers.Concatenate()(embedded)
for units in worker.UNITS:
    x = keras.layers.Dense(units, "relu")(x)
second = FM()(keras.layers.Reshape((len(embedded), worker.DIM))(flat))
logit = keras.layers.Add()([*linear, second, keras.layers.Dense(1)(x)])
model = keras.Model(inputs, keras.layers.Activation("sigmoid")(logit))
model.compile(keras.optimizers.Adam(worker.LEARNING_RATE), "binary_crossentropy")
columns = worker.columns(ids, numbers)
columns |= {name: c[:, None] for name, c in columns.items() if name[0] == "n"}
worker.serve(worker.by_fit(model, columns, labels))
