"""FTRL, on tables lazy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.saving import saved
from recsys.train.optimizers.row_optimizer import RowOptimizer
from recsys.types import Tensor


@saved
class FTRL(RowOptimizer, keras.optimizers.Ftrl):
    """Follow the regularized leader (McMahan et al. 2013), for sparse linear parts.

    Args:
        learning_rate: 0.05 by default.
        *args, **kwargs: Those of `keras.optimizers.Ftrl`.
    """

    def __init__(self, learning_rate: Any = 0.05, *args: Any, **kwargs: Any) -> None:
        super().__init__(learning_rate, *args, **kwargs)

    def slots(self) -> Mapping[str, str | keras.initializers.Initializer]:
        start = keras.initializers.Constant(self.initial_accumulator_value)
        return {"accumulator": start, "linear": "zeros"}

    def step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        accumulator, linear = slots
        old = value()
        power = -self.learning_rate_power
        l1 = self.l1_regularization_strength
        l2 = self.l2_regularization_strength + self.beta / (2 * learning_rate)
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * old
        after = accumulator + ops.square(gradient)
        sigma = (ops.power(after, power) - ops.power(accumulator, power)) / (
            learning_rate
        )
        linear = linear + shrunk - sigma * old
        quadratic = ops.power(after, power) / learning_rate + 2 * l2
        new = (ops.clip(linear, -l1, l1) - linear) / quadratic
        return old - new, [after, linear]
