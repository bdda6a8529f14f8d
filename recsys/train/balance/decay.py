"""Weights that decay by step."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from recsys.feature._constraints import MapOf, Number, check
from recsys.saving import saved
from recsys.train.balance.base import Balance
from recsys.types import Shape, Tensor


@saved
class Decay(Balance):
    r"""Lets the weight of a task fall, or rise, from epoch to epoch (Tang et al. 2020).

        \lambda_t(e) = \omega_t \gamma_t^e,   e = 0, 1, ...

    \omega is `loss_weights`.

    Args:
        gamma: \gamma above 0 of tasks by name; 1 of the others.
    Raises:
        ValueError: If a \gamma is not above 0, or, at `compile`, of no task.
    Reference:
        Progressive Layered Extraction, RecSys 2020, section 4.4.
    """

    _constraints = {"gamma": MapOf(Number(above=0), "a number above 0 for each task")}

    def __init__(self, gamma: Mapping[str, float]) -> None:
        self.gamma = gamma
        check(self)

    def build(self, model: Any, kinds: Mapping[str, str]) -> None:
        if unknown := self.gamma.keys() - kinds.keys():
            raise ValueError(
                f"gamma must be of tasks with a loss, {list(kinds)}. "
                f"Received: {sorted(unknown)}"
            )
        super().build(model, kinds)

    def state(self) -> Sequence[tuple[str, Any, Shape, bool]]:
        return [("balance_epoch", "zeros", (), False)]

    def task_weights(self) -> Tensor:
        gamma = [self.gamma.get(name, 1.0) for name in self.kinds]
        epoch = ops.convert_to_tensor(self.variables[0])
        return ops.power(ops.convert_to_tensor(gamma, "float32"), epoch)

    def after_epoch(self, logs: Mapping[str, Any]) -> None:
        self.variables[0].assign_add(1.0)

    def get_config(self) -> dict[str, Any]:
        return {"gamma": self.gamma}
