"""DeepFM of deep-rec-kit 1.0.2, on TensorFlow 2.15, with Keras' Adam."""

import worker
from recsys.feature import Field
from recsys.rank.deepfm import deepfm

ids, numbers, labels, sizes = worker.rows()
fields = [
    Field(f"c{i}", vocabulary_size=size, dim=worker.DIM) for i, size in enumerate(sizes)
]
fields += [
    Field(f"n{i}", dim=worker.DIM, dtype="float32") for i in range(numbers.shape[1])
]
model = deepfm(fields, fields, hidden_units=list(worker.UNITS))
model.compile("adam", "binary_crossentropy")
worker.serve(worker.by_fit(model, worker.columns(ids, numbers), labels))
