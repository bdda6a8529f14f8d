"""A positive against drawn items: the base of pairwise and pointwise losses."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from recsys.layers.matching.match_loss import MatchLoss
from recsys.layers.sampling import UniformSampler, draw_unseen
from recsys.types import Tensor


class NegativesOfRows(MatchLoss):
    """A loss of the positive's score and those of some negatives.

    Args:
        vocabulary_size, temperature, reserved, weight, sample_weight: Of `MatchLoss`.
        num_negatives: Items drawn alike, with replacement, for each row; `None` means
            all, each once.
        unseen: Column of `x` with items that the row's negatives must not be,
            `(batch, any length)`; the positive is none of them either. Without it all
            rows share a draw, in which the positive does not count.
    Call arguments and returns: as `MatchLoss`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_negatives: int | None = 1,
        temperature: float = 1.0,
        reserved: int = 1,
        unseen: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, temperature, reserved, **kwargs)
        if num_negatives is not None and num_negatives < 1:
            raise ValueError(
                f"Layer {self.name!r}: there must be negatives. "
                f"Received: num_negatives={num_negatives}"
            )
        self.num_negatives = num_negatives
        self.unseen = unseen
        self.draws = UniformSampler(reserved, self.num_items, name="draws")

    def build(self, *_: Any) -> None:
        self.draws.build(None)

    @property
    def reads(self) -> dict[str, tuple[int, ...] | None]:
        """The items of a row that are no negatives too."""
        return super().reads | ({} if self.unseen is None else {self.unseen: None})

    def row_losses(
        self,
        user: Tensor,
        item: Tensor,
        ids: Tensor,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        if self.num_negatives is not None and self.unseen is not None:
            negative, counts = self._own_draws(user, ids, x[self.unseen], training)
        else:
            negative, counts = self._shared_draw(user, ids, x, training)
        positive = self.scores(user, ops.expand_dims(item, 1), training)[:, 0]
        return self.of_scores(
            positive / self.temperature, negative / self.temperature, counts
        )

    def scores(self, user: Tensor, vectors: Tensor, training: bool) -> Tensor:
        """Returns the scores of users and items, `(rows, num)`.

        Args:
            user: `(rows, dim)`.
            vectors: Of items for each row, `(rows, num, dim)`; or for all, `(num,
                dim)`.
            training: Whether this is a training step.
        """
        if len(vectors.shape) == 2:
            return ops.matmul(user, ops.transpose(vectors))
        return ops.matmul(vectors, ops.expand_dims(user, 2))[..., 0]

    def _shared_draw(
        self, user: Tensor, ids: Tensor, x: Mapping[str, Tensor], training: bool
    ) -> tuple[Tensor, Tensor]:
        if self.num_negatives is None:
            drawn = ops.arange(self.reserved, self.vocabulary_size, dtype="int32")
        else:
            drawn = self.draws.draw(self.num_negatives, self.seed_generator)
        vectors = ops.cast(self._vectors(drawn, training), "float32")
        counts = ops.reshape(ids, (-1, 1)) != ops.expand_dims(drawn, 0)
        if self.unseen is not None:
            seen = ops.expand_dims(ops.cast(x[self.unseen], "int32"), 2)
            seen = ops.any(seen == ops.reshape(drawn, (1, 1, -1)), axis=1)
            counts &= ~ops.repeat(seen, ids.shape[1], axis=0)
        return self.scores(user, vectors, training), counts

    def _own_draws(
        self, user: Tensor, ids: Tensor, seen: Tensor, training: bool
    ) -> tuple[Tensor, Tensor]:
        num = self.num_negatives or 1
        drawn, any_left = draw_unseen(
            ops.concatenate([ops.cast(seen, "int32"), ids], axis=1),
            self.reserved,
            self.num_items,
            ids.shape[1] * num,
            self.seed_generator,
        )
        vectors = self._vectors(ops.reshape(drawn, (-1,)), training)
        vectors = ops.reshape(
            ops.cast(vectors, "float32"), (-1, num, vectors.shape[-1])
        )
        negative = self.scores(user, vectors, training)
        return negative, ops.repeat(any_left, ids.shape[1], axis=0)

    def of_scores(self, positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
        """Returns the loss of each row, `(rows,)`.

        Args:
            positive: `(rows,)`.
            negative: `(rows, num_negatives)`.
            counts: Which of these count, alike, bool.
        """
        raise NotImplementedError
