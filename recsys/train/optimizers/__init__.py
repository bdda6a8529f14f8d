"""Optimizers that update the rows a batch touches, and the dict of several.

Keras' own optimizers, given the gradient of an embedding on TensorFlow, square the
parts of a repeated id instead of their sum, and read or write the whole table. These
sum the gradients of equal ids first and then treat the rows of the batch as if they
were the variable. Adagrad, RowWiseAdagrad and plain SGD thereby equal their dense
selves exactly, at a cost that does not depend on the size of the table. Adam, FTRL
and SGD with momentum are *lazy* on tables: a row that is not in the batch stays as it
is, its momentum too. Weight decay is lazy likewise. Variables other than tables are
treated as in Keras.

On JAX and PyTorch the gradient of a table is dense. A row of it that is all zero
counts as untouched, so that the numbers are those of TensorFlow; the speed is not.
"""

from recsys._face import public_face
from recsys.train.optimizers.adagrad import Adagrad, RowWiseAdagrad
from recsys.train.optimizers.adam import Adam
from recsys.train.optimizers.choice import (
    OptimizerByPrefix,
    get,
)
from recsys.train.optimizers.ftrl import FTRL
from recsys.train.optimizers.row_optimizer import RowOptimizer
from recsys.train.optimizers.sgd import SGD

__all__ = [
    "FTRL",
    "SGD",
    "Adagrad",
    "Adam",
    "OptimizerByPrefix",
    "RowOptimizer",
    "RowWiseAdagrad",
    "get",
]

public_face(__name__)
