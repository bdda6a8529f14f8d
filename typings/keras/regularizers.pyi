from typing import Any

from recsys.types import Tensor

class Regularizer:
    def __call__(self, x: Tensor) -> Tensor: ...

class L2(Regularizer):
    def __init__(self, l2: float = ...) -> None: ...

def get(identifier: Any) -> Regularizer | None: ...
