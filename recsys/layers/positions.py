"""Places in a sequence, counted from its end."""

from typing import Any

from keras import ops

from recsys.layers.base import Layer
from recsys.types import Shape, Tensor


class PositionalEmbedding(Layer):
    """Learned positions, counted back from the most recent valid element.

    The last valid element is at position 0, whichever side the padding is on and
    however much of it there is.

    Masking: padding does not count; what it gets is irrelevant.

    Args:
        merge: `"sum"` adds the position to the element, `"concat"` appends it.
        dim: Width of a position; for `"sum"` that of the element.
        max_length: Number of positions; longer histories share the last.
    Call arguments:
        inputs: `(batch, length, width)`.
        valid: `(batch, length)`, bool; `None` means all.
    Returns:
        `(batch, length, width)`, or `width + dim` for `"concat"`.
    Raises:
        ValueError: If `merge` is unknown, or `dim` does not fit the sum.
    """

    def __init__(
        self,
        merge: str = "sum",
        dim: int | None = None,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if merge not in ("sum", "concat"):
            raise ValueError(
                f"PositionalEmbedding {self.name!r}: merge must be 'sum' or "
                f"'concat'. Received: merge={merge!r}"
            )
        self.merge = merge
        self.dim = dim
        self.max_length = max_length

    def build(self, input_shape: Shape) -> None:
        length, width = input_shape[-2:]
        dim = self.dim or width
        if self.merge == "sum" and dim != width:
            raise ValueError(
                f"PositionalEmbedding {self.name!r}: dim must be the width of the "
                f"elements, {width}, to be added to them. Received: dim={dim}"
            )
        self.positions = self.add_weight(
            shape=(self.max_length or length, dim),
            initializer="uniform",
            name="positions",
        )

    def call(self, inputs: Tensor, valid: Tensor | None = None) -> Tensor:
        ages = positions_from_end(inputs, valid)
        ages = ops.minimum(ages, self.positions.shape[0] - 1)
        positions = ops.take(self.positions, ages, axis=0)
        if self.merge == "sum":
            return inputs + positions
        return ops.concatenate([inputs, positions], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        extra = 0 if self.merge == "sum" else self.dim or input_shape[-1]
        return (*input_shape[:-1], input_shape[-1] + extra)


class Recency(Layer):
    """How far each behaviour is from the target: 1 the most recent, padding 0.

    Call arguments:
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length)`, int32.
    Example:
    >>> Recency()(np.array([[True, True, False]])).numpy()
    array([[2, 1, 0]], dtype=int32)
    """

    def call(self, valid: Tensor) -> Tensor:
        return ops.where(valid, positions_from_end(valid, valid) + 1, 0)


def positions_from_end(inputs: Tensor, valid: Tensor | None) -> Tensor:
    """Counts the valid elements after each element, `(batch, length)`, int32."""
    if valid is None:
        length = ops.shape(inputs)[1]
        ages = ops.arange(length - 1, -1, -1, dtype="int32")
        return ops.broadcast_to(ages, ops.shape(inputs)[:2])
    here = ops.cast(valid, "int32")
    return ops.sum(here, axis=1, keepdims=True) - ops.cumsum(here, axis=1)
