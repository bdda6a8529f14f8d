"""DeepFM of DeepCTR, on TensorFlow 2.15, with Keras' Adam, and without its penalties.

Its numeric features enter the MLP as they are, and not the FM: it has less to do.
"""

import worker
from deepctr.feature_column import DenseFeat, SparseFeat
from deepctr.models import DeepFM

ids, numbers, labels, sizes = worker.rows()
features = [SparseFeat(f"c{i}", size, worker.DIM) for i, size in enumerate(sizes)]
features += [DenseFeat(f"n{i}", 1) for i in range(numbers.shape[1])]
model = DeepFM(
    features,
    features,
    dnn_hidden_units=worker.UNITS,
    l2_reg_linear=0,
    l2_reg_embedding=0,
    l2_reg_dnn=0,
)
model.compile("adam", "binary_crossentropy")
worker.serve(worker.by_fit(model, worker.columns(ids, numbers), labels))
