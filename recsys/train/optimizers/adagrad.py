"""Adagrad, and with one slot a row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.saving import saved
from recsys.train.optimizers.row_optimizer import RowOptimizer
from recsys.types import Tensor


@saved
class Adagrad(RowOptimizer, keras.optimizers.Adagrad):
    """Adagrad (Duchi et al. 2011); on tables exactly the dense result.

    Args:
        learning_rate: 0.05 by default. (Keras has 0.001, which hardly moves an
            embedding.)
        *args, **kwargs: Those of `keras.optimizers.Adagrad`.
    """

    def __init__(self, learning_rate: Any = 0.05, *args: Any, **kwargs: Any) -> None:
        super().__init__(learning_rate, *args, **kwargs)

    def slots(self) -> Mapping[str, str | keras.initializers.Initializer]:
        start = keras.initializers.Constant(self.initial_accumulator_value)
        return {"accumulator": start}

    def moves_at_zero(self) -> bool:
        return bool(self.weight_decay)

    def step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        accumulator = slots[0] + ops.square(gradient)
        step = learning_rate * gradient / ops.sqrt(accumulator + self.epsilon)
        return step, [accumulator]


@saved
class RowWiseAdagrad(Adagrad):
    """Adagrad with one accumulator per row: the mean of the squared gradient.

    The state of a table of width d shrinks d-fold. A variable of one axis counts as
    one row.

    Args:
        *args, **kwargs: Those of `Adagrad`.
    Reference:
        Naumov et al., Deep Learning Recommendation Model, 2019, section 3 (the
        optimizer of its code); Mudigere et al., ISCA 2022, section 4.1.3.
    """

    def slot_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:-1]

    def step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        accumulator = slots[0] + ops.mean(ops.square(gradient), axis=-1)
        root = ops.sqrt(ops.expand_dims(accumulator, -1) + self.epsilon)
        return learning_rate * gradient / root, [accumulator]
