"""Losses that pick the right item out of a catalogue."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.losses import LossLayer
from recsys.layers.normalization import shapes_may_vary
from recsys.layers.sampling import (
    SAMPLERS,
    CountedFrequency,
    StreamingFrequency,
    UniformSampler,
    draw_unseen,
)

IMPOSSIBLE = -1e30
"""Logit of what cannot be; `exp` of it is 0 in float32 and bfloat16 alike."""


def softmax_loss(
    positive: Any, negative: Any, masked: Any, hardest: int | None = None
) -> Any:
    """Returns `-log softmax` of the positive among itself and negatives, `(rows,)`.

    Args:
        positive: Logits, `(rows,)`.
        negative: Logits, `(rows, any)`.
        masked: Which negatives do not count, alike, bool.
        hardest: How many of the highest negatives count. Default: all.
    """
    negative = ops.where(masked, IMPOSSIBLE, negative)
    if hardest is not None:
        negative = ops.top_k(negative, hardest)[0]
    return ops.softplus(ops.logsumexp(negative, axis=1) - positive)


def _there_before(ids: Any) -> Any:
    """Which ids are in the list twice, all but one of each, `(n,)`, bool."""
    order = ops.argsort(ids)
    ordered = ops.take(ids, order)
    again = ops.cast(ordered[1:] == ordered[:-1], "int32")
    again = ops.pad(again, ((1, 0),))
    return ops.scatter(ops.expand_dims(order, 1), again, ops.shape(ids)) > 0


class MatchLoss(LossLayer):
    """The score of a user and an item, and a loss that trains it.

    Called on their vectors it returns the dot product, which is all that prediction
    computes; of several interests of a user the largest. Given a sequence of states
    and the items that follow them, the loss is that of each state and its item.

    Rows whose item is no item (padding, unseen) do not count.

    Attributes:
        is_dot_product: Whether the score is one, so that a model can be served by its
            vectors alone.

    Args:
        vocabulary_size: Number of item ids, reserved ones included.
        temperature: Divides the scores in training, above 0.
        reserved: Ids below it are no items.
        weight, sample_weight: Of `LossLayer`.
    Call arguments:
        inputs: `[user, item, item ids]`: `(batch, dim)` or `(batch, interests, dim)`,
            `(batch, dim)` and `(batch,)`; or with `states` `(batch, length, dim)` and
            the ids of the items that follow them, `(batch, length)`, behind these.
        valid: Which interests a user has, `(batch, interests)`, bool.
    Returns:
        Scores, `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no items, or the temperature is not above 0.
    """

    is_dot_product = True

    def __init__(
        self,
        vocabulary_size: int,
        temperature: float = 1.0,
        reserved: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if vocabulary_size <= reserved or not temperature > 0:
            raise ValueError(
                f"Layer {self.name!r}: there must be items, and a temperature above "
                f"0. Received: vocabulary_size={vocabulary_size}, "
                f"reserved={reserved}, temperature={temperature}"
            )
        self.vocabulary_size = vocabulary_size
        self.temperature = temperature
        self.reserved = reserved
        self.seed_generator = keras.random.SeedGenerator()

    @property
    def num_items(self) -> int:
        """Ids that stand for an item."""
        return self.vocabulary_size - self.reserved

    def bind(self, model: Any) -> None:
        """Finds the item tower, which is a part of the model, not of this layer."""

        def vectors(ids: Any, training: bool) -> Any:
            (item_id,) = model.item_model.input
            return model.item_model({item_id: ids}, training=training)

        self._vectors = vectors

    def call(self, inputs: Sequence[Any], valid: Any = None) -> Any:
        user, item, *_ = inputs
        self.kept.put((*inputs, valid))
        if len(user.shape) == 2:
            return ops.sum(user * item, axis=-1, keepdims=True)
        scores = ops.matmul(user, ops.expand_dims(item, 2))[..., 0]
        if valid is not None:
            scores = ops.where(valid, scores, IMPOSSIBLE)
        return ops.max(scores, axis=1, keepdims=True)

    def loss(
        self,
        labels: Mapping[str, Any],
        weights: Mapping[str, Any],
        x: Mapping[str, Any],
        training: bool,
    ) -> Any:
        user, item, ids, *steps, interests = self.kept.take()[-1]
        if steps:
            states, ids = steps
            user = ops.reshape(states, (-1, states.shape[-1]))
            item = self._vectors(ops.reshape(ids, (-1,)), training)
        elif len(user.shape) == 3:
            user = self.read_out(user, item, interests)
        num_steps = steps[1].shape[1] if steps else 1
        ids = ops.reshape(ops.cast(ids, "int32"), (-1, num_steps))
        user, item = (ops.cast(v, "float32") for v in (user, item))
        rows = self.rows(user, item, ids, x, training)
        return self.mean_of_items(rows, ids, x)

    def mean_of_items(self, rows: Any, ids: Any, x: Mapping[str, Any]) -> Any:
        """Returns the mean of rows whose item is one, weighed, a scalar.

        Args:
            rows: `(rows,)`.
            ids: Their items, `(batch, length)`, the rows one after the other.
            x: The columns of the batch.
        """
        valid = ops.cast(ops.reshape(ids, (-1,)) >= self.reserved, "float32")
        count = ops.sum(valid)
        self.num.put(count)
        if self.sample_weight is not None:
            own = ops.cast(ops.reshape(x[self.sample_weight], (-1,)), "float32")
            valid *= ops.repeat(own, ids.shape[1])
        return ops.sum(valid * rows) / ops.maximum(count, 1.0)

    def read_out(self, interests: Any, item: Any, valid: Any) -> Any:
        """Returns of a user's interests the one next to the item, `(batch, dim)`.

        No gradient reaches the others; of equal ones it is the first.
        """
        scores = ops.matmul(interests, ops.expand_dims(item, 2))[..., 0]
        if valid is not None:
            scores = ops.where(valid, scores, IMPOSSIBLE)
        best = ops.one_hot(ops.argmax(scores, axis=1), interests.shape[1])
        return ops.sum(ops.expand_dims(best, 2) * interests, axis=1)

    def rows(
        self, user: Any, item: Any, ids: Any, x: Mapping[str, Any], training: bool
    ) -> Any:
        """Returns the loss of each row, `(rows,)`.

        Args:
            user: `(rows, dim)`.
            item: Vectors of the positive items, `(rows, dim)`.
            ids: Their ids, int32, `(batch, length)` of states, else `(batch, 1)`: the
                rows one after the other.
            x: The columns of the batch.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any, *_: Any) -> Any:
        return (input_shape[0][0], 1)


class SampledSoftmax(MatchLoss):
    r"""Softmax over the items, with a sample in the denominator.

        l_i = <u, v_i> / temperature - log Q_i
        loss = -l_pos + log(exp l_pos + \sum_{j drawn, j != pos} exp l_j)

    Q_i is how often i is expected among the draws; subtracting its logarithm makes
    the sum an unbiased estimate of that over all items (Jean et al. 2015, section
    3.2). The draw is shared by the batch. If it would not be smaller than the
    catalogue, the sum is over all items, exactly.

    Args:
        vocabulary_size, temperature, reserved, weight, sample_weight: Of `MatchLoss`.
        num_negatives: Items drawn for each batch; `None` means all.
        sampler: `"uniform"`, `"log_uniform"` or `"unigram"`, see
            `recsys.layers.sampling`.
        subtract_log_q: Whether log Q is subtracted.
    Call arguments and returns: as `MatchLoss`.
    Raises:
        ValueError: If the sampler is unknown or nothing is to be drawn.
    Reference:
        On Using Very Large Target Vocabulary for Neural Machine Translation, ACL
        2015; Deep Neural Networks for YouTube Recommendations, RecSys 2016, 3.3.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_negatives: int | None = None,
        sampler: str = "uniform",
        temperature: float = 1.0,
        reserved: int = 1,
        subtract_log_q: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, temperature, reserved, **kwargs)
        few = num_negatives is not None and num_negatives < 1
        if sampler not in SAMPLERS or few:
            raise ValueError(
                f"Layer {self.name!r}: sampler must be one of {tuple(SAMPLERS)}, and "
                "there must be negatives. Received: "
                f"sampler={sampler!r}, num_negatives={num_negatives}"
            )
        self.num_negatives = num_negatives
        self.sampler = sampler
        self.subtract_log_q = subtract_log_q
        self.draws = SAMPLERS[sampler](reserved, self.num_items, name="draws")
        self._all = num_negatives is None or num_negatives >= self.num_items

    def build(self, *_: Any) -> None:
        self.draws.build(None)

    def rows(
        self, user: Any, item: Any, ids: Any, x: Mapping[str, Any], training: bool
    ) -> Any:
        return self.among(user, item, ids, lambda drawn: self._vectors(drawn, training))

    def among(
        self, user: Any, item: Any, ids: Any, vectors_of: Callable[[Any], Any]
    ) -> Any:
        """Returns the loss of each row among the vectors of ids that are drawn.

        Args:
            user, item, ids: As in `rows`.
            vectors_of: From the ids drawn, `(num,)`, to `(num, dim)`.
        """
        steps, ids = ids.shape[1], ops.reshape(ids, (-1,))
        if self._all or self.num_negatives is None:
            drawn = ops.arange(self.reserved, self.vocabulary_size, dtype="int32")
        else:
            drawn = self.draws.draw(self.num_negatives, self.seed_generator)
        vectors = ops.cast(vectors_of(drawn), "float32")

        def losses(user: Any, item: Any, ids: Any) -> Any:
            logits = self._logit(ops.matmul(user, ops.transpose(vectors)), drawn)
            if self._all:
                own = ops.maximum(ids - self.reserved, 0)
                return ops.sparse_categorical_crossentropy(own, logits, True)
            hit = ops.expand_dims(ids, 1) == ops.expand_dims(drawn, 0)
            positive = self._logit(ops.sum(user * item, axis=-1), ids)
            return softmax_loss(positive, logits, hit)

        if steps == 1 or not shapes_may_vary():
            return losses(user, item, ids)
        # Most steps are padding, and a softmax is dear.
        (real,) = ops.nonzero(ids >= self.reserved)
        rows = losses(*(ops.take(part, real, axis=0) for part in (user, item, ids)))
        return ops.scatter(ops.expand_dims(real, 1), rows, ops.shape(ids))

    def _logit(self, score: Any, ids: Any) -> Any:
        score = score / self.temperature
        if self._all or not self.subtract_log_q:
            return score
        expected = self.draws.log_probability(ids) + math.log(self.num_negatives or 1)
        return score - expected


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
        rate: Of `StreamingFrequency`.
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

    def rows(
        self, user: Any, item: Any, ids: Any, x: Mapping[str, Any], training: bool
    ) -> Any:
        columns = ids = ops.reshape(ids, (-1,))
        if isinstance(self.frequency, StreamingFrequency):
            if self.subtract_log_q and training:
                self.frequency.update(ids)
        if self.num_negatives:
            drawn = self.draws.draw(self.num_negatives, self.seed_generator)
            more = ops.cast(self._vectors(drawn, training), "float32")
            columns, item = ops.concatenate([ids, drawn]), ops.concatenate([item, more])
        # Of each column what is subtracted, and whether it counts at all.
        again = ops.pad(_there_before(ids), ((0, self.num_negatives),))
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

    def rows(
        self, user: Any, item: Any, ids: Any, x: Mapping[str, Any], training: bool
    ) -> Any:
        if self.num_negatives is not None and self.unseen is not None:
            negative, counts = self._own_draws(user, ids, x[self.unseen], training)
        else:
            negative, counts = self._shared_draw(user, ids, x, training)
        positive = self.scores(user, ops.expand_dims(item, 1), training)[:, 0]
        return self.of_scores(
            positive / self.temperature, negative / self.temperature, counts
        )

    def scores(self, user: Any, vectors: Any, training: bool) -> Any:
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
        self, user: Any, ids: Any, x: Mapping[str, Any], training: bool
    ) -> tuple[Any, Any]:
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
        self, user: Any, ids: Any, seen: Any, training: bool
    ) -> tuple[Any, Any]:
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

    def of_scores(self, positive: Any, negative: Any, counts: Any) -> Any:
        """Returns the loss of each row, `(rows,)`.

        Args:
            positive: `(rows,)`.
            negative: `(rows, num_negatives)`.
            counts: Which of these count, alike, bool.
        """
        raise NotImplementedError


class SampledCrossentropy(NegativesOfRows):
    r"""Cross-entropy of one positive and some negatives.

        loss = -log \sigma(s_pos) - \sum_j log(1 - \sigma(s_j))

    Args, call arguments and returns: of `NegativesOfRows`.
    Reference:
        Neural Collaborative Filtering, WWW 2017, eq. 7; Self-Attentive Sequential
        Recommendation, ICDM 2018, section III-E.
    """

    def of_scores(self, positive: Any, negative: Any, counts: Any) -> Any:
        others = ops.where(counts, ops.softplus(negative), 0)
        return ops.softplus(-positive) + ops.sum(others, axis=1)


class SampledBPR(NegativesOfRows):
    r"""Bayesian personalised ranking: the positive before each negative.

        loss = mean_j -log \sigma(s_pos - s_j)

    Args, call arguments and returns: of `NegativesOfRows`.
    Reference:
        BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009.
    """

    def of_scores(self, positive: Any, negative: Any, counts: Any) -> Any:
        losses = ops.softplus(negative - ops.expand_dims(positive, 1))
        count = ops.sum(ops.cast(counts, "float32"), axis=1)
        losses = ops.sum(ops.where(counts, losses, 0), axis=1)
        return losses / ops.maximum(count, 1)


class CosineContrastive(NegativesOfRows):
    r"""Pulls the positive up, and pushes down negatives above a margin.

        loss = max(0, 1 - s_pos) + w / |N| \sum_{j in N} max(0, s_j - m)

    Args:
        vocabulary_size, num_negatives, reserved, unseen, weight, sample_weight: Of
            `NegativesOfRows`; the scores have no temperature.
        margin: m, in [0, 1].
        negative_weight: w; `None` means |N|, the sum.
    Call arguments and returns: as `NegativesOfRows`.
    Reference:
        SimpleX: A Simple and Strong Baseline for Collaborative Filtering, CIKM 2021,
        eq. 2.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_negatives: int | None = 1000,
        reserved: int = 1,
        margin: float = 0.5,
        negative_weight: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, num_negatives, reserved=reserved, **kwargs)
        self.margin = margin
        self.negative_weight = negative_weight

    def of_scores(self, positive: Any, negative: Any, counts: Any) -> Any:
        w = self.negative_weight
        share = 1.0 if w is None else w / negative.shape[1]
        hinges = ops.where(counts, ops.relu(negative - self.margin), 0)
        # Above 1 only where dropout has scaled what is left of a unit vector.
        return ops.relu(1 - positive) + share * ops.sum(hinges, axis=1)


class Top1(NegativesOfRows):
    r"""TOP1: the share of negatives before the positive, and their size.

        loss = mean_j \sigma(s_j - s_pos) + \sigma(s_j^2)

    Args, call arguments and returns: of `NegativesOfRows`.
    Reference:
        Session-based Recommendations with Recurrent Neural Networks, ICLR 2016,
        section 3.2.
    """

    def of_scores(self, positive: Any, negative: Any, counts: Any) -> Any:
        losses = ops.sigmoid(negative - ops.expand_dims(positive, 1))
        losses += ops.sigmoid(ops.square(negative))
        count = ops.sum(ops.cast(counts, "float32"), axis=1)
        return ops.sum(ops.where(counts, losses, 0), axis=1) / ops.maximum(count, 1)


class BPRMax(NegativesOfRows):
    r"""BPR-max: BPR against the largest of the negatives, smoothed.

        w = softmax_j s_j
        loss = -log \sum_j w_j \sigma(s_pos - s_j) + regularization \sum_j w_j s_j^2

    Args:
        vocabulary_size, num_negatives, ...: Of `NegativesOfRows`.
        regularization: Of the scores.
    Call arguments and returns: as `NegativesOfRows`.
    Reference:
        Recurrent Neural Networks with Top-k Gains for Session-based Recommendations,
        CIKM 2018, eq. 9.
    """

    def __init__(self, *args: Any, regularization: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.regularization = regularization

    def of_scores(self, positive: Any, negative: Any, counts: Any) -> Any:
        log_w = ops.log_softmax(ops.where(counts, negative, IMPOSSIBLE), axis=1)
        before = -ops.softplus(negative - ops.expand_dims(positive, 1))
        loss = -ops.logsumexp(log_w + before, axis=1)
        size = ops.sum(ops.exp(log_w) * ops.square(negative), axis=1)
        loss += self.regularization * size
        return ops.where(ops.any(counts, axis=1), loss, 0)
