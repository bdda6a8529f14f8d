# The members of Keras that recsys uses. A new one is written down here first.

from collections.abc import Iterator, Sequence
from typing import Any

from keras import (
    activations,
    backend,
    callbacks,
    config,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from keras.models import Model
from numpy.typing import NDArray

from recsys.types import Operand, Shape, Tensor

__all__ = [
    "Input",
    "InputSpec",
    "KerasTensor",
    "Model",
    "Variable",
    "activations",
    "backend",
    "callbacks",
    "config",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
]

class _Tensor:  # what `recsys.types.Tensor` wants
    @property
    def shape(self) -> Shape: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, index: Any, /) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __int__(self) -> int: ...
    def __float__(self) -> float: ...
    def __neg__(self) -> Tensor: ...
    def __add__(self, other: Operand, /) -> Tensor: ...
    def __eq__(self, other: Any, /) -> Any: ...
    def __ne__(self, other: Any, /) -> Any: ...
    __invert__ = __neg__
    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __add__
    __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __add__
    __pow__ = __rpow__ = __and__ = __or__ = __add__
    __lt__ = __le__ = __gt__ = __ge__ = __add__

class KerasTensor(_Tensor):
    name: str
    _keras_history: Any
    def __init__(
        self, shape: Sequence[int | None], dtype: Any = ..., *, name: str | None = ...
    ) -> None: ...

class Variable(_Tensor):
    name: str
    path: str
    trainable: bool
    regularizer: Any
    handle: Any  # of TensorFlow
    is_table: bool  # which `recsys.layers.table` sets
    def __init__(
        self,
        initializer: Any,
        shape: Sequence[int] | None = ...,
        dtype: Any = ...,
        trainable: bool = ...,
        autocast: bool = ...,
        aggregation: str = ...,
        synchronization: str = ...,
        name: str | None = ...,
    ) -> None: ...
    @property
    def value(self) -> Any: ...  # of the backend
    def assign(self, value: Operand | Sequence[float]) -> Tensor: ...
    def assign_add(self, value: Operand | Sequence[float]) -> Tensor: ...
    def assign_sub(self, value: Operand | Sequence[float]) -> Tensor: ...
    def scatter_update(self, sparse_delta: Any) -> Any: ...  # of TensorFlow
    def numpy(self) -> NDArray[Any]: ...

class InputSpec:
    def __init__(
        self,
        dtype: Any = ...,
        shape: Sequence[int | None] | None = ...,
        ndim: int | None = ...,
        *,
        name: str | None = ...,
    ) -> None: ...

def Input(
    shape: Sequence[int | None] | None = ...,
    batch_size: int | None = ...,
    dtype: Any = ...,
    *,
    name: str | None = ...,
) -> KerasTensor: ...
