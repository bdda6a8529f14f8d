from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from keras import Variable
from keras.initializers import Initializer
from keras.regularizers import Regularizer

from recsys.types import Operand, Tensor

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)
_Function = str | Callable[..., Any] | dict[str, Any] | None
_Initializer = str | Initializer | Callable[..., Any]
_Regularizer = str | Regularizer | Callable[[Any], Tensor] | None

class _Calls(Protocol[_P, _R]):
    def call(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...

class Layer:
    name: str
    built: bool
    trainable: bool
    def __init__(
        self,
        *,
        activity_regularizer: _Regularizer = ...,
        trainable: bool = ...,
        dtype: Any = ...,
        autocast: bool = ...,
        name: str | None = ...,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self: _Calls[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def call(self, *args: Any, **kwargs: Any) -> Any: ...
    def build(self, *args: Any, **kwargs: Any) -> None: ...
    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any: ...
    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any: ...
    def add_weight(
        self,
        shape: Sequence[int] | None = ...,
        initializer: _Initializer | None = ...,
        dtype: Any = ...,
        trainable: bool = ...,
        autocast: bool = ...,
        regularizer: _Regularizer = ...,
        *,
        name: str | None = ...,
    ) -> Variable: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self: ...
    def set_weights(self, weights: Sequence[Operand]) -> None: ...
    def save_own_variables(self, store: Any) -> None: ...
    def load_own_variables(self, store: Any) -> None: ...
    @property
    def compute_dtype(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def dtype_policy(self) -> Any: ...
    @property
    def input(self) -> Any: ...
    @property
    def output(self) -> Any: ...
    @property
    def losses(self) -> list[Tensor]: ...
    @property
    def variables(self) -> list[Variable]: ...
    @property
    def weights(self) -> list[Variable]: ...
    @property
    def trainable_variables(self) -> list[Variable]: ...
    @property
    def trainable_weights(self) -> list[Variable]: ...
    @property
    def path(self) -> str: ...
    _tracker: Any
    _inbound_nodes: list[Any]
    def _untrack_variable(self, variable: Variable) -> None: ...

class InputLayer(Layer):
    def __init__(
        self,
        shape: Sequence[int | None] | None = ...,
        batch_size: int | None = ...,
        dtype: Any = ...,
        *,
        name: str | None = ...,
        **kwargs: Any,
    ) -> None: ...

class _OfOne(Layer):
    def call(self, inputs: Any) -> Tensor: ...

class _OfSeveral(Layer):
    def call(self, inputs: Sequence[Any]) -> Tensor: ...

class Activation(_OfOne):
    activation: Callable[..., Any]
    def __init__(self, activation: _Function, **kwargs: Any) -> None: ...

class Add(_OfSeveral): ...
class Average(_OfSeveral): ...
class Multiply(_OfSeveral): ...

class Concatenate(_OfSeveral):
    def __init__(self, axis: int = ..., **kwargs: Any) -> None: ...

class Dot(_OfSeveral):
    def __init__(
        self, axes: int | tuple[int, int], normalize: bool = ..., **kwargs: Any
    ) -> None: ...

class Flatten(_OfOne): ...

class Reshape(_OfOne):
    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None: ...

class Dense(Layer):
    units: int
    kernel: Variable
    bias: Variable
    use_bias: bool
    activation: Callable[..., Any]
    def __init__(
        self,
        units: int,
        activation: _Function = ...,
        use_bias: bool = ...,
        kernel_initializer: _Initializer = ...,
        bias_initializer: _Initializer = ...,
        kernel_regularizer: _Regularizer = ...,
        bias_regularizer: _Regularizer = ...,
        **kwargs: Any,
    ) -> None: ...
    def call(self, inputs: Any, training: bool | None = ...) -> Tensor: ...

class Dropout(Layer):
    rate: float
    noise_shape: Any
    seed_generator: Any
    def __init__(
        self, rate: float, noise_shape: Any = ..., seed: Any = ..., **kwargs: Any
    ) -> None: ...
    def call(self, inputs: Any, training: bool = ...) -> Tensor: ...

class BatchNormalization(Layer):
    axis: int
    momentum: float
    epsilon: float
    center: bool
    scale: bool
    renorm: bool
    synchronized: bool
    gamma: Variable
    beta: Variable
    moving_mean: Variable
    moving_variance: Variable
    def __init__(
        self,
        axis: int = ...,
        momentum: float = ...,
        epsilon: float = ...,
        center: bool = ...,
        scale: bool = ...,
        **kwargs: Any,
    ) -> None: ...
    def call(
        self, inputs: Any, training: bool | None = ..., mask: Tensor | None = ...
    ) -> Tensor: ...

class LayerNormalization(_OfOne):
    def __init__(
        self, axis: int = ..., epsilon: float = ..., **kwargs: Any
    ) -> None: ...

class Embedding(_OfOne):
    embeddings: Variable
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: _Initializer = ...,
        embeddings_regularizer: _Regularizer = ...,
        **kwargs: Any,
    ) -> None: ...

class GlobalAveragePooling1D(Layer):
    def call(self, inputs: Any, mask: Tensor | None = ...) -> Tensor: ...

class RNN(Layer):
    def __init__(
        self,
        cell: Layer,
        return_sequences: bool = ...,
        return_state: bool = ...,
        **kwargs: Any,
    ) -> None: ...
    def call(
        self,
        sequences: Any,
        initial_state: Any = ...,
        mask: Tensor | None = ...,
        training: bool = ...,
    ) -> Tensor: ...

class GRU(RNN):
    units: int
    def __init__(
        self, units: int, *, return_sequences: bool = ..., **kwargs: Any
    ) -> None: ...

class LSTM(GRU): ...

class Bidirectional(Layer):
    def __init__(self, layer: Layer, merge_mode: str = ..., **kwargs: Any) -> None: ...
    def call(
        self,
        sequences: Any,
        initial_state: Any = ...,
        mask: Tensor | None = ...,
        training: bool | None = ...,
    ) -> Tensor: ...
