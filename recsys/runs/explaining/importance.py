"""How much worse a metric is without what a column says.

Breiman, Machine Learning 2001, https://doi.org/10.1023/A:1010933404324 (section 10);
Fisher, Rudin and Dominici, JMLR 2019, https://arxiv.org/abs/1801.01489
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Importance:
    """What columns that belong together contribute to a metric.

    Attributes:
        name: What they are.
        loss: How much worse the metric is where their rows are in another order, mean
            over the orders; below 0 if it is better.
        deviation: Standard deviation over the orders.
    """

    name: str
    loss: float
    deviation: float


def permutation_importance(
    predict: Callable[[Columns], NDArray[np.float64]],
    metric: Callable[[NDArray[np.float64]], float],
    columns: Columns,
    groups: Mapping[str, Sequence[str]],
    *,
    larger_is_better: bool,
    repeats: int = 5,
    seed: int = 0,
) -> list[Importance]:
    """Puts the rows of some columns in another order, and looks at a metric.

    Columns that say the same are each unimportant beside the other; a group has them
    moved together. What a model cannot do without anywhere is not what the world cannot
    do without.

    Args:
        predict: From columns to predictions, `(rows,)`.
        metric: From predictions to the metric.
        columns: The input, `(rows, ...)` each.
        groups: Name -> columns that are moved together.
        larger_is_better: Whether more of the metric is better.
        repeats: Orders for each group.
        seed: Of the orders, which are the same for all groups.

    Returns:
        One for each group, the most important first.
    """
    rows = len(next(iter(columns.values())))
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(rows) for _ in range(repeats)]
    base = metric(predict(columns))
    found = []
    for name, moved in groups.items():
        losses = []
        for order in orders:
            other = {**columns, **{each: columns[each][order] for each in moved}}
            change = base - metric(predict(other))
            losses.append(change if larger_is_better else -change)
        spread = float(np.std(losses, ddof=1)) if repeats > 1 else float("nan")
        found.append(Importance(name, float(np.mean(losses)), spread))
    return sorted(found, key=lambda each: -each.loss)
