from collections.abc import Sequence
from typing import Any, Self

from keras import Variable

class Metric:
    name: str
    def __init__(self, dtype: Any = ..., name: str | None = ...) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def variables(self) -> list[Variable]: ...
    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any,
        dtype: Any = ...,
        *,
        name: str | None = ...,
    ) -> Variable: ...
    def add_weight(
        self,
        shape: Sequence[int] = ...,
        initializer: Any = ...,
        dtype: Any = ...,
        name: str | None = ...,
    ) -> Variable: ...
    def update_state(self, *args: Any, **kwargs: Any) -> None: ...
    def reset_state(self) -> None: ...
    def result(self) -> Any: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class Mean(Metric):
    total: Variable
    count: Variable

class MeanMetricWrapper(Mean):
    def __init__(
        self, fn: Any, name: str | None = ..., dtype: Any = ..., **kwargs: Any
    ) -> None: ...

class AUC(Metric): ...

def get(identifier: Any) -> Any: ...  # a metric, a function, or None
