"""The second-order term of a factorization machine."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from recsys.layers.base import Layer
from recsys.layers.mlp import as_shapes
from recsys.types import Shape, Tensor, Tensors


class FM(Layer):
    r"""Second-order interactions of field embeddings (Rendle 2010, eq. 5).

        y = \sum_{i<j} <v_i, v_j> = 1/2 \sum_d [(\sum_i v_id)^2 - \sum_i v_id^2]

    Computed in float32: the difference cancels in half precision. One field has no
    pair and gives 0.

    Masking: ignored; pool a history before passing it here.

    Call arguments:
        inputs: `(batch, num_fields, dim)`, or a list of `(batch, dim)`.
    Returns:
        Logit to add to the other logits, `(batch, 1)`, float32.
    Raises:
        ValueError: If the embeddings in a list differ in `dim`.
    Example:
    >>> FM()(np.array([[[1.0, 2.0], [3.0, 4.0]]], "float32")).numpy()
    array([[11.]], dtype=float32)

    Reference:
        Factorization Machines, ICDM 2010.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        dims = [shape[-1] for shape in as_shapes(input_shape)]
        if len(set(dims)) > 1:
            raise ValueError(
                f"Layer {self.name!r}: the embeddings must have one dim. "
                f"Received: dims {dims}"
            )

    def call(self, inputs: Tensors) -> Tensor:
        if isinstance(inputs, (list, tuple)):
            v = ops.concatenate(inputs, axis=-1)  # (batch, num_fields * dim)
            dim = inputs[0].shape[-1]
        else:
            dim = inputs.shape[-1]
            v = ops.reshape(inputs, (-1, inputs.shape[1] * dim))
        # The sum over fields as a matrix product: several times as fast, both ways.
        fields = ops.tile(ops.eye(dim), (v.shape[-1] // dim, 1))
        square_of_sum = ops.square(ops.matmul(v, fields))  # (batch, dim)
        pairs = ops.sum(square_of_sum, axis=-1) - ops.sum(ops.square(v), axis=-1)
        return ops.expand_dims(0.5 * pairs, -1)
