from collections.abc import Sequence
from typing import Any, Self

from keras import Variable
from keras.optimizers import schedules as schedules

from recsys.types import Tensor

class Optimizer:
    name: str
    built: bool
    weight_decay: Any  # a number, or None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    learning_rate: Any
    loss_scale_factor: float | None
    iterations: Variable
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def variables(self) -> list[Variable]: ...
    def build(self, variables: Sequence[Variable]) -> None: ...
    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = ...,
        dtype: Any = ...,
        *,
        name: str | None = ...,
    ) -> Variable: ...
    def assign(self, variable: Variable, value: Tensor) -> None: ...
    def assign_sub(self, variable: Variable, value: Tensor) -> None: ...
    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None: ...
    def scale_loss(self, loss: Tensor) -> Tensor: ...
    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = ...
    ) -> None: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self: ...
    def _use_weight_decay(self, variable: Variable) -> bool: ...
    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None: ...
    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]: ...
    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any: ...
    def _get_variable_index(self, variable: Variable) -> int: ...

class SGD(Optimizer):
    momentum: float
    nesterov: bool

class Adam(Optimizer):
    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool

class AdamW(Adam): ...

class Adagrad(Optimizer):
    initial_accumulator_value: float
    epsilon: float

class Ftrl(Optimizer):
    learning_rate_power: float
    initial_accumulator_value: float
    l1_regularization_strength: float
    l2_regularization_strength: float
    l2_shrinkage_regularization_strength: float
    beta: float

class MultiOptimizer(Optimizer):
    _inner_optimizers: list[Optimizer]

class LossScaleOptimizer(Optimizer):
    inner_optimizer: Optimizer

def get(identifier: Any) -> Optimizer: ...
def deserialize(config: dict[str, Any]) -> Optimizer: ...
