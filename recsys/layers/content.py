"""Vectors of items by their ids: gathered, projected, and ids that do without a row."""

from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.kept import Kept
from recsys.layers.table import gather_rows
from recsys.types import Shape, Tensor

_ODD = (-2048144789, -1028477387, 668265263)  # of 32 bits: they carry each bit on


class ContentVectors(Layer):
    """A table of vectors that is not trained, one row per id.

    Args:
        vocabulary_size: Number of rows; ids are in `[0, vocabulary_size)`.
        width: Numbers of a row.
        stored: Type of the weight, `"float16"` or `"float32"`.
    Call arguments:
        ids: Integers of any shape.
    Returns:
        `ids.shape + (width,)`.
    """

    def __init__(
        self, vocabulary_size: int, width: int, stored: str = "float32", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.width = width
        self.stored = stored

    def build(self, *_: Any) -> None:
        self.vectors = self.add_weight(
            shape=(self.vocabulary_size, self.width),
            initializer="zeros",
            dtype=self.stored,
            trainable=False,
            autocast=False,  # a cast would read the whole table
            name="vectors",
        )

    def call(self, ids: Tensor) -> Tensor:
        return ops.cast(gather_rows(self.vectors, ids), self.compute_dtype)

    def num_ids(self, **_: Any) -> int:
        """Returns how many ids there are: they are in `[0, num_ids())`."""
        return self.vocabulary_size

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.width)


class ContentEmbedding(Layer):
    r"""Projects vectors of items: how they enter a model.

        u = c P + b     where c is not all zero
            n_0         where it is: the item has no vector

    Args:
        dim: Width of u.
    Call arguments:
        vectors: c, `(..., width)`.
        valid: Bool, `(...)`; u is 0 where it is false.
    Returns:
        `(..., dim)`.
    Example:
    >>> layer = ContentEmbedding(1)
    >>> layer.build((None, 2))
    >>> layer.set_weights([np.array([[1.0], [2.0]]), np.array([0.5]), np.array([9.0])])
    >>> layer(np.array([[3.0, 4.0], [0.0, 0.0]])).numpy()
    array([[11.5],
           [ 9. ]], dtype=float32)
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.dim),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.dim,), initializer="zeros", name="bias")
        self.missing = self.add_weight(
            shape=(self.dim,), initializer="zeros", name="missing"
        )

    def scale(self, deviation: float, vectors: np.ndarray[Any, Any]) -> None:
        """Gives c P the standard deviation of what it stands beside.

        Args:
            deviation: That standard deviation.
            vectors: Some rows of c, `(rows, width)`.
        """
        kernel = ops.convert_to_numpy(self.kernel)
        found = float(np.std(vectors.astype("float32") @ kernel))
        if found > 0:
            self.kernel.assign(kernel * (deviation / found))

    def call(self, vectors: Tensor, valid: Tensor | None = None) -> Tensor:
        has = ops.any(ops.not_equal(vectors, 0), axis=-1, keepdims=True)
        u = ops.matmul(vectors, self.kernel) + self.bias
        u = ops.where(has, u, ops.convert_to_tensor(self.missing))
        return u if valid is None else ops.where(ops.expand_dims(valid, -1), u, 0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.dim)


class OwnRows(Layer):
    """Sets the rows of some ids to 0: those of rare ones, and others in training.

    Which others a step draws, all its calls have alike: an id lacks its row wherever
    it is in the step. `recsys.train.Model` says when a step begins.

    Args:
        num_rows: Ids from here on have no row, ever. Default: all have one.
        rate: Fraction of the others that have none in a step of training, in [0, 1).
    Call arguments:
        inputs: `[ids, rows]`, integers of any shape, and `ids.shape + (dim,)`.
    Returns:
        The rows, or 0.
    """

    def __init__(
        self, num_rows: int | None = None, rate: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_rows = num_rows
        self.rate = rate
        self.salt = Kept()
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: list[Tensor], training: bool = False) -> Tensor:
        ids, rows = inputs
        if self.num_rows is not None:
            rows = ops.where(ops.expand_dims(ids < self.num_rows, -1), rows, 0)
        if training and self.rate:
            left = ops.expand_dims(self._share(ids) >= self.rate, -1)
            rows = ops.where(left, rows, 0)
        return rows

    def _share(self, ids: Tensor) -> Tensor:
        """A number in [0, 1) for each id, of this step."""
        drawn = self.salt.take()
        if not drawn:
            least, most = -(2**31), 2**31 - 1
            drawn = [
                keras.random.randint((2,), least, most, "int32", self.seed_generator)
            ]
        (salt,) = drawn
        self.salt.put(salt)
        mixed = ops.bitwise_xor(ops.cast(ids, "int32"), salt[0])
        for shift, odd in zip((16, 13, 15), _ODD, strict=True):  # products wrap
            mixed = ops.bitwise_xor(mixed, ops.right_shift(mixed, shift))
            mixed = mixed * odd + salt[1]
        mixed = ops.bitwise_and(ops.right_shift(mixed, 8), 2**23 - 1)
        return ops.cast(mixed, "float32") / 2.0**23

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return input_shape[1]
