"""Softmax among drawn items."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from recsys.layers.matching.match_loss import MatchLoss, softmax_loss
from recsys.layers.normalization import shapes_may_vary
from recsys.layers.sampling import SAMPLERS
from recsys.types import Tensor


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

    def row_losses(
        self,
        user: Tensor,
        item: Tensor,
        ids: Tensor,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        return self.among(user, item, ids, lambda drawn: self._vectors(drawn, training))

    def among(
        self,
        user: Tensor,
        item: Tensor,
        ids: Tensor,
        vectors_of: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Returns the loss of each row among the vectors of ids that are drawn.

        Args:
            user, item, ids: As in `row_losses`.
            vectors_of: From the ids drawn, `(num,)`, to `(num, dim)`.
        """
        steps, ids = ids.shape[1], ops.reshape(ids, (-1,))
        if self._all or self.num_negatives is None:
            drawn = ops.arange(self.reserved, self.vocabulary_size, dtype="int32")
        else:
            drawn = self.draws.draw(self.num_negatives, self.seed_generator)
        vectors = ops.cast(vectors_of(drawn), "float32")

        def losses(user: Tensor, item: Tensor, ids: Tensor) -> Tensor:
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

    def _logit(self, score: Tensor, ids: Tensor) -> Tensor:
        score = score / self.temperature
        if self._all or not self.subtract_log_q:
            return score
        expected = self.draws.log_probability(ids) + math.log(self.num_negatives or 1)
        return score - expected
