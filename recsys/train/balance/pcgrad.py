"""PCGrad (Yu et al. 2020)."""

from collections.abc import Callable
from typing import Any

import keras

from recsys.feature._constraints import Integer, check
from recsys.saving import saved
from recsys.train.balance.base import (
    GradientBalance,
    align,
    times,
    total_of,
    values_of,
)
from recsys.types import Gradient, Tensor


@saved
class PCGrad(GradientBalance):
    r"""Takes from a task's gradient what goes against another's (Yu et al. 2020).

        for each i, and j \ne i in random order:
            if g_i' g_j < 0:  g_i' -= (g_i' g_j) / ||g_j||^2 g_j,   g_i' = g_i at first
        gradient = \sum_i g_i'

    g_i is the gradient of the loss of task i over all weights that at least two tasks
    train, as one vector; of other weights gradients are left as they are. Tables count
    with the rows of the batch, and their gradients stay sparse. A step costs a backward
    pass for each task.

    Args:
        seed: Seed of the order, which changes with each step.
    Reference:
        Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1.
    """

    _constraints = {"seed": Integer(0)}

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        check(self)

    def gradients(
        self, tape: Any, model: keras.Model, scale: Callable[[Tensor], Tensor]
    ) -> list[Gradient]:
        import tensorflow as tf

        losses, rest, _ = self.kept.take()[-1]
        with tape:
            scaled, rest = [scale(loss) for loss in losses], scale(rest)
        values = [v.value for v in model.trainable_weights]
        by_task = [tape.gradient(loss, values) for loss in scaled]
        columns = [*zip(*by_task, strict=True)]
        shared = [sum(g is not None for g in column) > 1 for column in columns]
        aligned = [
            align(column) if together else column
            for column, together in zip(columns, shared, strict=True)
        ]
        products = tf.zeros((len(losses), len(losses)))
        for column, together in zip(aligned, shared, strict=True):
            if together:
                rows = tf.stack([tf.reshape(values_of(g), (-1,)) for g in column])
                products += tf.matmul(rows, rows, transpose_b=True)
        draws = tf.random.stateless_uniform(
            products.shape, (self.seed, tf.cast(model.optimizer.iterations, "int32"))
        )
        factors = tf.unstack(self.surgery(products, tf.argsort(draws, axis=1)))
        others = tape.gradient(rest, values)
        return [
            total_of(
                [
                    *(
                        times(g, factor if together else None)
                        for g, factor in zip(column, factors, strict=True)
                    ),
                    other,
                ]
            )
            for column, together, other in zip(aligned, shared, others, strict=True)
        ]

    @staticmethod
    def surgery(products: Tensor, order: Tensor) -> Tensor:
        """Returns how often each g_k is in the sum of the g_i', `(num_tasks,)`.

        A g_i' is a sum of the g_k, so that their inner products tell all of them.

        Args:
            products: `g_i g_j`, `(num_tasks, num_tasks)`.
            order: The order of the j for each i, alike.
        """
        import tensorflow as tf

        n = products.shape[0]
        total: Tensor = tf.zeros((n,))
        for i in range(n):
            parts = tf.one_hot(i, n)  # of g_i'
            for step in range(n):
                j = order[i, step]
                against = tf.tensordot(parts, products[j], 1)
                length = products[j, j] + 1e-12
                away = tf.where((j != i) & (against < 0), against / length, 0.0)
                parts -= away * tf.one_hot(j, n)
            total += parts
        return total

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}
