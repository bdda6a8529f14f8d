from collections.abc import Mapping
from typing import Any

from keras import KerasTensor, Variable
from keras.layers import Layer
from keras.metrics import Mean, Metric
from keras.optimizers import Optimizer

class Model(Layer):
    inputs: list[KerasTensor]
    outputs: list[KerasTensor]
    output_names: list[str]
    optimizer: Optimizer
    stop_training: bool
    stop_predicting: bool
    compiled: bool
    run_eagerly: bool
    steps_per_execution: int
    jit_compile: Any
    train_function: Any
    predict_function: Any
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def layers(self) -> list[Layer]: ...
    def get_layer(self, name: str | None = ..., index: int | None = ...) -> Any: ...
    @property
    def metrics(self) -> list[Metric]: ...
    @property
    def metrics_variables(self) -> list[Variable]: ...
    @property
    def distribute_strategy(self) -> Any: ...
    @property
    def metrics_names(self) -> list[str]: ...
    def compile(self, *args: Any, **kwargs: Any) -> None: ...
    def count_params(self) -> int: ...
    def fit(
        self,
        x: Any = ...,
        y: Any = ...,
        batch_size: int | None = ...,
        epochs: int = ...,
        verbose: Any = ...,
        callbacks: Any = ...,
        validation_split: float = ...,
        validation_data: Any = ...,
        shuffle: bool = ...,
        class_weight: Any = ...,
        sample_weight: Any = ...,
        initial_epoch: int = ...,
        steps_per_epoch: int | None = ...,
        validation_steps: int | None = ...,
        validation_batch_size: int | None = ...,
        validation_freq: int = ...,
    ) -> Any: ...
    def evaluate(
        self,
        x: Any = ...,
        y: Any = ...,
        batch_size: int | None = ...,
        verbose: Any = ...,
        sample_weight: Any = ...,
        steps: int | None = ...,
        callbacks: Any = ...,
        return_dict: bool = ...,
        **kwargs: Any,
    ) -> Any: ...
    def predict(
        self,
        x: Any,
        batch_size: int | None = ...,
        verbose: Any = ...,
        steps: int | None = ...,
        callbacks: Any = ...,
    ) -> Any: ...
    def train_on_batch(
        self,
        x: Any,
        y: Any = ...,
        sample_weight: Any = ...,
        class_weight: Any = ...,
        *,
        return_dict: bool = ...,
    ) -> Any: ...
    def test_on_batch(
        self, x: Any, y: Any = ..., sample_weight: Any = ..., *, return_dict: bool = ...
    ) -> Any: ...
    def predict_on_batch(self, x: Any) -> Any: ...
    def train_step(self, data: Any) -> Any: ...
    def make_train_function(self, force: bool = ...) -> Any: ...
    def make_predict_function(self, force: bool = ...) -> Any: ...
    def compute_loss(
        self,
        x: Any = ...,
        y: Any = ...,
        y_pred: Any = ...,
        sample_weight: Any = ...,
        training: bool = ...,
    ) -> Any: ...
    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = ...
    ) -> dict[str, Any]: ...
    def get_metrics_result(self) -> dict[str, Any]: ...
    def get_compile_config(self) -> dict[str, Any]: ...
    def compile_from_config(self, config: dict[str, Any]) -> None: ...
    def save(
        self, filepath: Any, overwrite: bool = ..., zipped: bool | None = ...
    ) -> None: ...
    def save_weights(
        self, filepath: Any, overwrite: bool = ..., max_shard_size: Any = ...
    ) -> None: ...
    def load_weights(
        self, filepath: Any, skip_mismatch: bool = ..., **kwargs: Any
    ) -> None: ...
    def export(self, filepath: Any, format: str = ..., **kwargs: Any) -> None: ...
    def jax_state_sync(self) -> None: ...
    _compile_loss: Any
    _loss_tracker: Mean
    _initial_epoch: int | None
    def _flatten_layers(self) -> list[Layer]: ...
    def _standardize_inputs(self, inputs: Any) -> Any: ...
    def _get_metrics_result_or_logs(self, logs: Any) -> dict[str, Any]: ...

def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = ...,
    compile: bool = ...,
    safe_mode: bool = ...,
) -> Model: ...
