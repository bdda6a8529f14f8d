"""In which order rows come: a function of a seed and of the number of the epoch."""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from recsys.data.dataset import Order


class ModelOrder:
    """The seed of the orders in which a model sees rows, and how many epochs it has.

    It is of arrays, and of datasets without a seed of their own, and it is in the
    files of the model: who goes on with one sees the order that was next.

    Attributes:
        variable: `(2,)` int32: the seed, 0 before it is drawn, and the epochs.
    """

    def __init__(self) -> None:
        self.variable = keras.Variable(
            np.zeros(2), trainable=False, dtype="int32", name="orders"
        )

    @property
    def seed(self) -> int:
        """The seed; drawn, from that of Keras if it has one, when first asked for."""
        seed, epochs = self._state()
        if not seed:
            seed = random.randrange(1, 2**31)
            self.variable.assign([seed, epochs])
        return seed

    @property
    def epochs(self) -> int:
        """Epochs the model has been trained for."""
        return self._state()[1]

    def next_epoch(self) -> None:
        """Counts an epoch."""
        seed, epochs = self._state()
        self.variable.assign([seed, epochs + 1])

    def _state(self) -> tuple[int, int]:
        seed, epochs = keras.ops.convert_to_numpy(self.variable)
        return int(seed), int(epochs)


class Epochs(keras.callbacks.Callback):
    """Tells orders which epoch is wanted.

    Args:
        orders: Those of the rows that `fit` reads. What has no seed of its own gets
            one of the model, and counts the model's epochs; others those of `fit`.
        of: The model's.
        first_only: Whether they count on by themselves, since an epoch of `fit` may be
            several passes over them, or a part of one.

    Attributes:
        step: Step of the first epoch where `fit` is to begin; it leaves the batches
            before it out itself.
    """

    def __init__(
        self, orders: Sequence[Order], of: ModelOrder, first_only: bool = False
    ) -> None:
        super().__init__()
        self.of = of
        self._orders = orders
        self._first_only = first_only
        self.step = max((order.step for order in orders), default=0)
        self._first = True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Has no other `fit` move the orders, and no other pass begin at the step.

        Raises:
            ValueError: If another thread's `fit` has them.
        """
        with ExitStack() as stack:
            for order in {id(order): order for order in self._orders}.values():
                if not order.turn.acquire(blocking=False):
                    raise ValueError(
                        "fit: a dataset must be read by one fit at a time, which says "
                        "its order; make one for each. Received: one that another fit "
                        "reads"
                    )
                stack.callback(order.turn.release)
                order.step = 0
            yield

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the epoch of the orders."""
        if self._first or not self._first_only:
            for order in self._orders:
                order.epoch = self.of.epochs if order.drawn else epoch
            self._seed()
        self._first = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the epoch."""
        self.of.next_epoch()

    def state(self) -> list[list[Any]]:
        """Returns what each order is: its kind, its seed if given, its next epoch."""
        found = []
        for order in self._orders:
            place = "on disk" if order.streamed else "in memory"
            kind = f"shuffled {place}" if order.shuffled else "as they are"
            found.append([kind, None if order.drawn else order.seed, order.epoch])
        return found

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Has the orders be what they were, once the model's is."""
        for order, (*_, epoch) in zip(self._orders, state, strict=True):
            order.epoch = epoch
        self._seed()

    def _seed(self) -> None:
        """Gives the orders without a seed those of the model."""
        for place, order in enumerate(self._orders):
            if order.drawn:
                order.seed = self.of.seed + place
