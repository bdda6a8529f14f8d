from typing import Any

class LearningRateSchedule:
    def get_config(self) -> dict[str, Any]: ...

class PolynomialDecay(LearningRateSchedule):
    def __init__(
        self, initial_learning_rate: float, decay_steps: int, end_learning_rate: float
    ) -> None: ...

class ExponentialDecay(LearningRateSchedule):
    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float
    ) -> None: ...

class CosineDecay(LearningRateSchedule):
    def __init__(
        self, initial_learning_rate: float, decay_steps: int, alpha: float = ...
    ) -> None: ...
