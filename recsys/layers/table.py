"""Tables: rows of ids, vectors of numbers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature.field import BINS, are_bins
from recsys.layers.base import Layer
from recsys.layers.initial import in_place
from recsys.layers.kept import Kept
from recsys.layers.normalization import shapes_may_vary
from recsys.types import Shape, Tensor


def gather_rows(table: keras.Variable, ids: Tensor) -> Tensor:
    """Returns `table[ids]` of a variable, reading no other rows on TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        rows: Tensor = tf.gather(table.value, ids)
        return rows
    return ops.take(table, ids, axis=0)


def write_rows(table: keras.Variable, ids: Tensor, rows: Tensor) -> None:
    """Sets `table[ids]` of a variable, touching no other rows on TensorFlow.

    Args:
        ids: `(n,)`; equal ones must have equal rows.
        rows: `(n, ...)`.
    """
    at = ops.expand_dims(ids, 1)
    if keras.backend.backend() == "tensorflow":
        table.value.scatter_nd_update(at, rows)
    else:
        table.assign(ops.scatter_update(table, at, rows))


class Embedding(Layer):
    """A table of vectors, one row per id, that costs what a batch touches.

    On TensorFlow only the rows of the batch are read, and their gradient stays
    sparse, so that a step costs the same at a thousand and at ten million rows.
    (`keras.layers.Embedding` reads and copies the whole table.) The rows of a
    gradient that are all zero count as untouched by `recsys.train.optimizers`.

    The L2 penalty is on the rows of the batch, not on the table: `l2_reg / 2 *
    ||row||^2`, once per distinct id, divided by how often the id occurs in the
    training data when counts are set (DIN, section 5.1). `recsys.train.Model` adds
    it to the loss.

    Args:
        vocabulary_size: Number of rows; ids are in `[0, vocabulary_size)`.
        dim: Width of a row.
        embeddings_initializer: Keras name or instance.
        l2_reg: Weight of the penalty.
        embeddings_regularizer: Keras name or instance, for a penalty on the whole
            table instead; each step then reads and writes all rows.
    Call arguments:
        ids: Integers of any shape.
        valid: Bool of the same shape; ids that are not valid carry no penalty.
    Returns:
        `ids.shape + (dim,)`.
    Raises:
        ValueError: If `vocabulary_size` or `dim` is less than 1.
    Example:
    >>> Embedding(3, 2, "ones")(np.array([2, 0])).numpy()
    array([[1., 1.],
           [1., 1.]], dtype=float32)
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        embeddings_initializer: Any = "uniform",
        l2_reg: float = 0.0,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if vocabulary_size < 1 or dim < 1:
            raise ValueError(
                f"Embedding {self.name!r}: vocabulary_size and dim must be at least "
                f"1. Received: vocabulary_size={vocabulary_size}, dim={dim}"
            )
        self.vocabulary_size = vocabulary_size
        self.dim = dim
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.l2_reg = l2_reg
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        self.touched = Kept()

    def build(self, input_shape: Shape | None = None) -> None:
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.dim),
            initializer=in_place(self.embeddings_initializer),
            regularizer=self.embeddings_regularizer,
            name="embeddings",
            autocast=False,  # a cast would read the whole table
        )
        self.embeddings.is_table = True  # see recsys.train.optimizers
        if self.l2_reg:
            self.counts = self.add_weight(
                shape=(self.vocabulary_size,),
                initializer="ones",
                trainable=False,
                autocast=False,
                name="counts",
            )

    def call(
        self, ids: Tensor, valid: Tensor | None = None, training: bool = False
    ) -> Tensor:
        rows = gather_rows(self.embeddings, ids)
        if training and self.l2_reg:
            if valid is not None:
                ids = ops.where(valid, ids, -1)
            self.touched.append(
                (ops.reshape(ids, (-1,)), ops.reshape(rows, (-1, self.dim)))
            )
        return ops.cast(rows, self.compute_dtype)

    def num_ids(self, **_: Any) -> int:
        """Returns how many ids there are: they are in `[0, num_ids())`."""
        return self.vocabulary_size

    def l2_penalty(self) -> Tensor | float:
        """Returns the penalty on the rows gathered in training, and forgets them."""
        touched = self.touched.take()
        if not touched:
            return 0.0
        ids = ops.concatenate([ids for ids, _ in touched])
        rows = ops.concatenate([rows for _, rows in touched])
        counts = gather_rows(self.counts, ops.maximum(ids, 0))
        share = ops.cast(ids >= 0, rows.dtype) / ops.cast(_repeats(ids), rows.dtype)
        squares = ops.sum(ops.square(rows), axis=-1)
        return self.l2_reg / 2 * ops.sum(share / counts * squares)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.dim)


class DenseEmbedding(Layer):
    """A number times a learned vector: how a numeric field enters interactions.

    There is no bias and no activation: with a width of 1 it is the linear term
    `w x`, with more the `v x` of a factorization machine (Rendle 2010, eq. 1).

    Args:
        dim: Width of the vector.
        vocabulary_size: 1, or 0 for numbers that pass unembedded, as in version 1.
        embeddings_initializer: Keras name or instance.
        l2_reg: L2 penalty `l2_reg / 2 * ||vector||^2`.
        length: Numbers that have one embedding together, `sum_l x_l t_l`. Default:
            each number has its own.
        embeddings_regularizer: Keras name or instance, instead of `l2_reg`.
    Call arguments:
        inputs: `(batch,)`; of a history of numbers `(batch, steps)`; with `length`
            `(batch, length)`.
    Returns:
        `(batch, dim)`, of a history `(batch, steps, dim)`.
    Raises:
        ValueError: If `vocabulary_size` is neither 0 nor 1.
    Example:
    >>> DenseEmbedding(2, embeddings_initializer="ones")(np.array([3.0])).numpy()
    array([[3., 3.]], dtype=float32)
    """

    def __init__(
        self,
        dim: int,
        vocabulary_size: int = 1,
        embeddings_initializer: Any = "uniform",
        l2_reg: float = 0.0,
        length: int | None = None,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if vocabulary_size not in (0, 1):
            raise ValueError(
                f"DenseEmbedding {self.name!r}: vocabulary_size must be 0 or 1. "
                f"Received: vocabulary_size={vocabulary_size!r}"
            )
        self.dim = dim
        self.vocabulary_size = vocabulary_size
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.l2_reg = l2_reg
        self.length = length
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)

    def build(self, input_shape: Shape) -> None:
        regularizer = self.embeddings_regularizer
        if self.l2_reg:
            regularizer = keras.regularizers.L2(self.l2_reg / 2)
        if self.vocabulary_size:
            self.embeddings = self.add_weight(
                shape=(self.length or 1, self.dim),
                initializer=self.embeddings_initializer,
                regularizer=regularizer,
                name="embeddings",
            )

    def call(self, inputs: Tensor) -> Tensor:
        x = ops.cast(inputs, self.compute_dtype)
        if not self.vocabulary_size:
            return x if len(x.shape) > 1 else ops.expand_dims(x, -1)
        if self.length is None:
            return ops.expand_dims(x, -1) * self.embeddings[0]
        return ops.matmul(x, self.embeddings)


class PiecewiseLinear(Layer):
    r"""Embeds a number by a function that is linear in each of its bins.

        e_t = 0                                    if x < b_{t-1} and t > 1
              1                                    if x >= b_t and t < T
              (x - b_{t-1}) / (b_t - b_{t-1})      otherwise            (eq. 1)
        y = \sum_t e_t v_t

    So the first and the last piece go on outside of the bins. There is no bias.

    Args:
        dim: Width of y.
        edges: `b_0 < ... < b_T`, whose widths float32 must hold; they become a weight
            that is not trained.
        embeddings_initializer: Keras name or instance.
        l2_reg: L2 penalty `l2_reg / 2 * sum of ||v_t||^2`.
        embeddings_regularizer: Keras name or instance, instead of `l2_reg`.
    Call arguments:
        inputs: `(batch,)`; of a history of numbers `(batch, steps)`.
    Returns:
        `(batch, dim)`, of a history `(batch, steps, dim)`.
    Raises:
        ValueError: If the edges do not rise, or not by normal float32 numbers.
    Example:
    >>> layer = PiecewiseLinear(1, [0.0, 1.0, 3.0], "ones")
    >>> layer(np.array([-1.0, 0.5, 2.0, 5.0], "float32")).numpy().T
    array([[-1. ,  0.5,  1.5,  3. ]], dtype=float32)

    Reference:
        Gorishniy, Rubachev and Babenko, NeurIPS 2022, https://arxiv.org/abs/2203.05556
    """

    def __init__(
        self,
        dim: int,
        edges: Sequence[float],
        embeddings_initializer: Any = "uniform",
        l2_reg: float = 0.0,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.edges = [float(edge) for edge in edges]
        if not are_bins(self.edges):
            raise ValueError(
                f"PiecewiseLinear: edges must be {BINS}. Received: edges={self.edges}"
            )
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.l2_reg = l2_reg
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)

    def build(self, input_shape: Shape) -> None:
        regularizer = self.embeddings_regularizer
        if self.l2_reg:
            regularizer = keras.regularizers.L2(self.l2_reg / 2)
        self.embeddings = self.add_weight(
            shape=(len(self.edges) - 1, self.dim),
            initializer=self.embeddings_initializer,
            regularizer=regularizer,
            name="embeddings",
        )
        self.bin_edges = self.add_weight(
            shape=(len(self.edges),),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            name="edges",
        )
        self.bin_edges.assign(np.asarray(self.edges, "float32"))

    def call(self, inputs: Tensor) -> Tensor:
        edges = ops.convert_to_tensor(self.bin_edges)
        x = ops.expand_dims(ops.cast(inputs, "float32"), -1)
        share = (x - edges[:-1]) / (edges[1:] - edges[:-1])
        last = len(self.edges) - 2
        most = float(np.finfo("float32").max)
        least = np.array([-most] + [0.0] * last, "float32")
        encoded = ops.clip(share, least, np.array([1.0] * last + [most], "float32"))
        return ops.matmul(ops.cast(encoded, self.compute_dtype), self.embeddings)


def _repeats(ids: Tensor) -> Tensor:
    """Returns how often the id at each place occurs among all, `(n,)`."""
    if keras.backend.backend() == "tensorflow" and shapes_may_vary():
        import tensorflow as tf

        _, position, counts = tf.unique_with_counts(ids)
        repeats: Tensor = tf.gather(counts, position)
        return repeats
    ordered = ops.sort(ids)
    after = ops.searchsorted(ordered, ids, side="right")
    return after - ops.searchsorted(ordered, ids, side="left")
