"""Softmax among the items of the batch."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from recsys.layers.matching.match_loss import (
    IMPOSSIBLE,
    MatchLoss,
    softmax_loss,
    there_before,
)
from recsys.layers.sampling import CountedFrequency, StreamingFrequency, UniformSampler
from recsys.types import Tensor


class InBatchSoftmax(MatchLoss):
    r"""Softmax over the items of the batch, and over some that are drawn.

        l_ij = <u_i, v_j> / temperature - log Q_j
        loss_i = -l_ii + log \sum_{j not masked} exp l_ij

    Column j is masked where its item is i's own, one of i's known positives, or there
    before in the batch, so that each item counts once. Q_j is how often it is then
    expected: the probability to be in a batch, which follows from the items' counts,
    see `CountedFrequency`, or is estimated from the steps between two batches that hold
    it, see `StreamingFrequency`; and `num_negatives / num_items` more where items are
    drawn. A batch of one row has no negatives and no loss, unless
    some are drawn.

    Args:
        vocabulary_size, temperature, reserved, weight, sample_weight: Of `MatchLoss`.
        num_negatives: Items drawn alike from the catalogue for each batch (mixed
            negative sampling).
        subtract_log_q: Whether log Q is subtracted.
        known: Column of `x` with ids of items that are no negatives of the row,
            `(batch, any length)`.
        rate: See `StreamingFrequency`.
        counted: Whether counts of the items are given, to `frequency.adapt`.
    Call arguments and returns: as `MatchLoss`.
    Reference:
        Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations,
        RecSys 2019, eq. 3-5; Mixed Negative Sampling for Learning Two-tower Neural
        Networks in Recommendations, WWW 2020.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_negatives: int = 0,
        temperature: float = 1.0,
        reserved: int = 1,
        subtract_log_q: bool = True,
        known: str | None = None,
        rate: float = 0.01,
        counted: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, temperature, reserved, **kwargs)
        self.num_negatives = num_negatives
        self.subtract_log_q = subtract_log_q
        self.known = known
        self.rate = rate
        self.draws = UniformSampler(reserved, self.num_items, name="draws")
        self.counted = counted
        self.frequency: CountedFrequency | StreamingFrequency
        if counted:
            self.frequency = CountedFrequency(vocabulary_size, name="frequency")
        else:
            self.frequency = StreamingFrequency(vocabulary_size, rate, name="frequency")

    def build(self, *_: Any) -> None:
        self.draws.build(None)
        self.frequency.build(None)

    @property
    def reads(self) -> dict[str, tuple[int, ...] | None]:
        """The known items too."""
        return super().reads | ({} if self.known is None else {self.known: None})

    def row_losses(
        self,
        user: Tensor,
        item: Tensor,
        ids: Tensor,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        columns = ids = ops.reshape(ids, (-1,))
        if isinstance(self.frequency, StreamingFrequency):
            if self.subtract_log_q and training:
                self.frequency.update(ids)
        if self.num_negatives:
            drawn = self.draws.draw(self.num_negatives, self.seed_generator)
            more = ops.cast(self._vectors(drawn, training), "float32")
            columns, item = ops.concatenate([ids, drawn]), ops.concatenate([item, more])
        # Of each column what is subtracted, and whether it counts at all.
        again = ops.pad(there_before(ids), ((0, self.num_negatives),))
        shift = ops.where(again | (columns < self.reserved), IMPOSSIBLE, 0.0)
        user = user / self.temperature
        positive = ops.sum(user * item[: ops.shape(ids)[0]], axis=1)
        if self.subtract_log_q:
            if isinstance(self.frequency, CountedFrequency):
                log_q = self.frequency.log_probability(columns, ops.shape(ids)[0])
            else:
                log_q = self.frequency.log_probability(columns)
            expected = ops.exp(log_q)
            expected = ops.log(expected + self.num_negatives / self.num_items)
            positive -= expected[: ops.shape(ids)[0]]
            shift -= expected
        logits = ops.matmul(user, ops.transpose(item)) + shift
        masked = ops.expand_dims(ids, 1) == ops.expand_dims(columns, 0)
        if self.known is not None:
            known = ops.expand_dims(ops.cast(x[self.known], "int32"), 2)
            masked |= ops.any(known == ops.reshape(columns, (1, 1, -1)), axis=1)
        return softmax_loss(positive, logits, masked)
