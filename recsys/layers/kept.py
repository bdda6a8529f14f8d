"""What a layer's `call` leaves for the loss of the same step."""

import threading
from typing import Any

from recsys.types import Tensor


class Kept:
    """Tensors kept between `call` and the loss, apart for each thread.

    A loss that needs more than the outputs (a logit, the rows of a table, the items
    of a batch) is computed after the forward pass from what a layer kept, so that
    prediction and export pay nothing for it. Replicas of `tf.distribute` run in
    threads of their own and must not see each other's tensors.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def put(self, value: Any) -> None:
        """Keeps `value` in place of all that was kept before."""
        self._local.values = [value]

    def append(self, value: Any) -> None:
        """Keeps `value` beside what was kept before."""
        self._local.values = [*getattr(self._local, "values", ()), value]

    def take(self) -> list[Tensor]:
        """Returns what was kept, oldest first, and forgets it."""
        values = getattr(self._local, "values", [])
        self._local.values = []
        return list(values)

    def __reduce__(self) -> tuple[type["Kept"], tuple[()]]:
        return Kept, ()  # what is kept is of one step and one thread
