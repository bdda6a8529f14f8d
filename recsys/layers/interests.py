"""Several interests of a user: from behaviours to a few vectors."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.masking import masked_softmax
from recsys.layers.matching.match_loss import IMPOSSIBLE
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.layers.table import gather_rows
from recsys.types import Shape, Tensor

INITS = ("item", "random")
ATTENTIONS = ("power", "scaled")


def squash(z: Tensor) -> Tensor:
    r"""Shrinks a vector to a length below 1: `|z|^2 / (1 + |z|^2) z / |z|`."""
    square = ops.sum(ops.square(z), axis=-1, keepdims=True)
    return z * square / (1 + square) * ops.rsqrt(square + 1e-9)


def _route(
    votes: Tensor, logits: Tensor, valid: Tensor, exists: Tensor, rounds: int
) -> Tensor:
    r"""Dynamic routing of behaviours to interests.

        w_ik = softmax_k b_ik,   c_k = squash(\sum_i w_ik v_ik),   b_ik += <c_k, v_ik>

    Before the last round no gradient flows.

    Args:
        votes: v, `(batch, length, 1 or interests, dim)`.
        logits: b at the start, `(batch, length, interests)`.
        valid: Which behaviours count, `(batch, length)`.
        exists: Which interests there are, `(batch, interests)`.
        rounds: How often.

    Returns:
        c, `(batch, interests, dim)`.
    """
    still = ops.stop_gradient(votes)
    valid, exists = ops.expand_dims(valid, 2), ops.expand_dims(exists, 1)
    for i in range(rounds):
        last = i == rounds - 1
        weights = ops.where(valid, masked_softmax(logits, exists), 0)
        c = squash(
            ops.sum(ops.expand_dims(weights, 3) * (votes if last else still), axis=1)
        )
        if not last:
            logits += ops.sum(ops.expand_dims(c, 1) * still, axis=-1)
    return c


class InterestRouting(Layer):
    r"""Multi-interest extractor of MIND: dynamic routing with one map for all.

        v_i = S e_i,   K_u = max(1, min(K, floor(log_2 n))) interests of n behaviours

    see `_route`. The logits start from noise, without which all interests would be
    equal: a fixed number for each item and interest, so that the vectors of a user are
    the same in every call and in every order of the behaviours; or fresh numbers in
    training and these at serving.

    Masking: behaviours that are not `valid` have no influence; without any the one
    interest is zero.

    Args:
        num_interests: K.
        num_rows: Rows of the table of noise; ids share them if there are more.
        rounds: Rounds of the routing.
        init: `"item"` or `"random"`.
    Call arguments:
        inputs: `[behaviours, ids]`, `(batch, length, dim)` and `(batch, length)`.
        valid: `(batch, length)`, bool.
    Returns:
        Interests `(batch, K, dim)`, zeros where there is none, and which there are,
        `(batch, K)`, bool.
    Raises:
        ValueError: If a number is less than 1 or the start unknown.
    Reference:
        Multi-Interest Network with Dynamic Routing, CIKM 2019, section 3.3.
    """

    def __init__(
        self,
        num_interests: int,
        num_rows: int,
        rounds: int = 3,
        init: str = "item",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(num_interests, num_rows, rounds) < 1 or init not in INITS:
            raise ValueError(
                f"Layer {self.name!r}: numbers must be at least 1 and init one of "
                f"{INITS}. Received: num_interests={num_interests}, "
                f"num_rows={num_rows}, rounds={rounds}, init={init!r}"
            )
        self.num_interests = num_interests
        self.num_rows = num_rows
        self.rounds = rounds
        self.init = init
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = input_shape[0][-1]
        self.kernel = self.add_weight(shape=(width, width), name="kernel")
        self.noise = self.add_weight(
            shape=(self.num_rows, self.num_interests),
            initializer=keras.initializers.RandomNormal(0.0, 1.0),
            trainable=False,
            name="noise",
        )

    def call(
        self, inputs: Sequence[Tensor], valid: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        behaviours, ids = inputs
        votes = ops.expand_dims(ops.matmul(behaviours, self.kernel), 2)
        if training and self.init == "random":
            shape = (*ops.shape(ids), self.num_interests)
            logits = keras.random.normal(
                shape, dtype=votes.dtype, seed=self.seed_generator
            )
        else:
            logits = ops.cast(gather_rows(self.noise, ids % self.num_rows), votes.dtype)
        count = ops.sum(ops.cast(valid, "int32"), axis=1, keepdims=True)
        # The k-th interest takes 2^k behaviours.
        least = [0, *(2**k for k in range(2, self.num_interests + 1))]
        exists = count >= ops.convert_to_tensor(np.array(least, "int32"))
        interests = _route(votes, logits, valid, exists, self.rounds)
        return ops.where(ops.expand_dims(exists, 2), interests, 0), exists

    def compute_output_spec(
        self, inputs: Sequence[Tensor], *_: Any, **__: Any
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, length, width = inputs[0].shape
        shape = (batch, self.num_interests)
        return (
            keras.KerasTensor((*shape, width), self.compute_dtype),
            keras.KerasTensor(shape, "bool"),
        )


class CapsuleInterests(Layer):
    r"""Interests by dynamic routing with a map for each interest (ComiRec-DR).

        v_ik = W_ik e_i,  or  W_k e_i with `share_positions`

    see `_route`; the logits start at zero.

    Masking: behaviours that are not `valid` have no influence.

    Args:
        num_interests: K.
        rounds: Rounds of the routing.
        share_positions: Whether the map is that of the interest alone; else of the
            place too, counted from the first.
    Call arguments:
        inputs: `(batch, length, dim)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, K, dim)`.
    Reference:
        Controllable Multi-Interest Framework for Recommendation, KDD 2020, section
        3.2; Dynamic Routing Between Capsules, NeurIPS 2017.
    """

    def __init__(
        self,
        num_interests: int,
        rounds: int = 3,
        share_positions: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_interests = num_interests
        self.rounds = rounds
        self.share_positions = share_positions

    def build(self, input_shape: Shape) -> None:
        _, length, width = input_shape
        places = 1 if self.share_positions else length
        # The fans are those of one map.
        limit = (6 / (2 * width)) ** 0.5
        self.maps = self.add_weight(
            shape=(places, width, self.num_interests * width),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="maps",
        )

    def call(self, inputs: Tensor, valid: Tensor) -> Tensor:
        length, width = inputs.shape[1:]
        if self.share_positions:
            votes = ops.matmul(inputs, self.maps[0])
        else:  # one product for each place
            by_place = ops.transpose(inputs, (1, 0, 2))
            votes = ops.transpose(ops.matmul(by_place, self.maps), (1, 0, 2))
        votes = ops.reshape(votes, (-1, length, self.num_interests, width))
        logits = ops.zeros_like(votes[..., 0])
        exists = ops.ones_like(logits[:, 0], "bool")
        return _route(votes, logits, valid, exists, self.rounds)

    def compute_output_shape(self, input_shape: Shape, *_: Any) -> Shape:
        return (input_shape[0], self.num_interests, input_shape[2])


class SelfAttentiveInterests(Layer):
    r"""Interests by self-attention (ComiRec-SA).

        A = softmax_t(W_2^T tanh(W_1^T (H + P)^T)),   V = A H

    without biases; P is a vector for each place, counted from the first. As in the
    authors' code it is in the weights only, not in what they weigh.

    Masking: behaviours that are not `valid` get weight 0.

    Args:
        num_interests: K.
        hidden: Width between W_1 and W_2; default: four times the input's.
        use_positions: Whether there is P.
    Call arguments:
        inputs: H, `(batch, length, dim)`.
        valid: `(batch, length)`, bool.
    Returns:
        V, `(batch, K, dim)`.
    Reference:
        Controllable Multi-Interest Framework for Recommendation, KDD 2020, eq. 5-6.
    """

    def __init__(
        self,
        num_interests: int,
        hidden: int | None = None,
        use_positions: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_interests = num_interests
        self.hidden = hidden
        self.use_positions = use_positions

    def build(self, input_shape: Shape) -> None:
        _, length, width = input_shape
        hidden = self.hidden or 4 * width
        if self.use_positions:
            self.positions = self.add_weight(
                shape=(length, width), initializer="uniform", name="positions"
            )
        self.w1 = self.add_weight(shape=(width, hidden), name="w1")
        self.w2 = self.add_weight(shape=(hidden, self.num_interests), name="w2")

    def call(self, inputs: Tensor, valid: Tensor) -> Tensor:
        x = inputs + self.positions if self.use_positions else inputs
        scores = ops.matmul(ops.tanh(ops.matmul(x, self.w1)), self.w2)
        scores = ops.transpose(scores, (0, 2, 1))
        return ops.matmul(masked_softmax(scores, ops.expand_dims(valid, 1)), inputs)

    def compute_output_shape(self, input_shape: Shape, *_: Any) -> Shape:
        return (input_shape[0], self.num_interests, input_shape[2])


class LabelAwareSoftmax(SampledSoftmax):
    r"""Sampled softmax of the interests that have to do with the positive item.

        a = softmax_k(pow(<u_k, e>, p)) or softmax_k(p <u_k, e>),   u = \sum_k a_k u_k

    with `pow(s, p) = sign(s) |s|^p`, which the paper leaves open for negative scores.

    Args:
        vocabulary_size, ...: Of `SampledSoftmax`.
        power: p, at least 0; `None` is its limit: the nearest interest alone.
        attention: `"power"` or `"scaled"`, the second formula.
    Call arguments and returns: as `MatchLoss`.
    Raises:
        ValueError: If the power is below 0 or the attention unknown.
    Reference:
        Multi-Interest Network with Dynamic Routing, CIKM 2019, eq. 8.
    """

    def __init__(
        self,
        *args: Any,
        power: float | None = None,
        attention: str = "power",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if (power or 0) < 0 or attention not in ATTENTIONS:
            raise ValueError(
                f"Layer {self.name!r}: power must be at least 0 and attention one of "
                f"{ATTENTIONS}. Received: power={power}, attention={attention!r}"
            )
        self.power = power
        self.attention = attention

    def read_out(self, interests: Tensor, item: Tensor, valid: Tensor) -> Tensor:
        if self.power is None:
            return super().read_out(interests, item, valid)
        scores = ops.matmul(interests, ops.expand_dims(item, 2))[..., 0]
        if self.attention == "scaled" or self.power == 1:
            scores = self.power * scores
        else:
            # Powers of up to 1e30 are finite; the tiny term keeps the gradient so at 0.
            size = ops.clip(ops.abs(scores), 1e-12, 10 ** (30 / max(self.power, 1)))
            scores = ops.sign(scores) * size**self.power
        if valid is not None:
            scores = ops.where(valid, scores, IMPOSSIBLE)
        weights = masked_softmax(scores, valid)
        return ops.sum(ops.expand_dims(weights, 2) * interests, axis=1)


class MeanOfParts(Layer):
    """The mean of vectors side by side: `(..., num dim)` to `(..., dim)`.

    Args:
        num: How many there are.
    """

    def __init__(self, num: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num = num

    def call(self, inputs: Tensor) -> Tensor:
        parts = ops.split(inputs, self.num, axis=-1)
        return sum(parts[1:], start=parts[0]) / self.num


class BesideEach(Layer):
    """Puts a row's vector beside each of its interests.

    Call arguments:
        inputs: `[interests, vector]`, `(batch, K, d)` and `(batch, c)`.
    Returns:
        `(batch, K, d + c)`.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        interests, vector = inputs
        vector = ops.repeat(ops.expand_dims(vector, 1), interests.shape[1], axis=1)
        return ops.concatenate([interests, vector], axis=-1)
