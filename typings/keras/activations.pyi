from collections.abc import Callable
from typing import Any

from recsys.types import Tensor

def get(identifier: Any) -> Callable[..., Tensor]: ...
