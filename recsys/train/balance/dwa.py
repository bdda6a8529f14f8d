"""Dynamic weight average (Liu et al. 2019)."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature._constraints import Number, check
from recsys.saving import saved
from recsys.train.balance.base import Balance
from recsys.types import Shape, Tensor


@saved
class DWA(Balance):
    r"""Weighs more what has fallen less in the last epoch (Liu et al. 2019).

        \lambda_t = T softmax_t(r_t / \tau),   r_t = L_t(e - 1) / L_t(e - 2)

    L_t(e) is the mean training loss of epoch e, as in the logs. The weights of the
    first two epochs are 1.

    Args:
        temperature: \tau; the larger, the more even the weights.
    Reference:
        End-to-End Multi-Task Learning with Attention, CVPR 2019, eq. 7 (dynamic weight
        average).
    """

    _constraints = {"temperature": Number(above=0)}

    def __init__(self, temperature: float = 2.0) -> None:
        self.temperature = temperature
        check(self)

    def state(self) -> Sequence[tuple[str, Any, Shape, bool]]:
        unknown = keras.initializers.Constant(
            -1.0
        )  # the last two epochs, the older first
        return [("balance_past_losses", unknown, (2, len(self.kinds)), False)]

    def task_weights(self) -> Tensor:
        before, last = ops.unstack(ops.convert_to_tensor(self.variables[0]), 2)
        ratio = last / ops.maximum(before, 1e-12) / self.temperature
        weights = len(self.kinds) * ops.softmax(ops.expand_dims(ratio, 0))[0]
        return ops.where(ops.min(before) < 0, 1.0, weights)

    def after_epoch(self, logs: Mapping[str, Any]) -> None:
        if len(self.kinds) > 1:  # Keras logs no loss of a single task
            last = ops.convert_to_numpy(self.variables[0])[1]
            found = [float(logs[f"{name}_loss"]) for name in self.kinds]
            self.variables[0].assign([list(last), found])

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature}
