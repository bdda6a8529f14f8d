"""Raw columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def as_columns(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {k: np.asarray(v) for k, v in x.items()}
    return None


def is_frame(x: Any) -> bool:
    return isinstance(x, Mapping)
