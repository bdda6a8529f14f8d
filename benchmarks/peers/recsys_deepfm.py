"""Our DeepFM; the optimizer of the tables is the second argument, Adam the rest's."""

import sys

import worker

from recsys import Field
from recsys.rank.deepfm import deepfm

ids, numbers, labels, sizes = worker.rows()
fields = [
    Field(f"c{i}", vocabulary_size=size, dim=worker.DIM) for i, size in enumerate(sizes)
]
fields += [
    Field(f"n{i}", dim=worker.DIM, dtype="float32") for i in range(numbers.shape[1])
]
model = deepfm(fields, hidden_units=worker.UNITS)
model.compile({"embedding": sys.argv[2], "default": "adam"}, "binary_crossentropy")
worker.serve(worker.by_fit(model, worker.columns(ids, numbers), labels))
