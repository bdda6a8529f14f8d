"""stub"""

from typing import Any

import numpy as np


def top_k(
    users: Any, items: Any, k: int, *, exclude: Any = None, reserved: int = 1
) -> Any:
    s = users @ items.T
    s[:, :reserved] = -np.inf
    i = np.argsort(-s, axis=1, kind="stable")[:, :k]
    return i, np.take_along_axis(s, i, 1)
