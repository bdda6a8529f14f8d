"""From ids and numbers to vectors."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature.field import BINS, are_bins
from recsys.layers.base import Layer
from recsys.layers.elementary import split
from recsys.layers.initial import in_place
from recsys.layers.kept import Kept
from recsys.layers.normalization import shapes_may_vary


def gather_rows(table: Any, ids: Any) -> Any:
    """Returns `table[ids]` of a variable, reading no other rows on TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(table.value, ids)
    return ops.take(table, ids, axis=0)


def write_rows(table: Any, ids: Any, rows: Any) -> None:
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

    def build(self, input_shape: Any = None) -> None:
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

    def call(self, ids: Any, valid: Any = None, training: bool = False) -> Any:
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

    def l2_penalty(self) -> Any:
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

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.dim)


class DenseEmbedding(Layer):
    """A number times a learned vector: how a numeric field enters interactions.

    There is no bias and no activation: with a width of 1 it is the linear term
    `w x`, with more the `v x` of a factorization machine (Rendle 2010, eq. 1).

    Args:
        dim: Width of the vector.
        vocab_size: 1, or 0 for numbers that pass unembedded, as in version 1.
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
        ValueError: If `vocab_size` is neither 0 nor 1.
    Example:
    >>> DenseEmbedding(2, embeddings_initializer="ones")(np.array([3.0])).numpy()
    array([[3., 3.]], dtype=float32)
    """

    def __init__(
        self,
        dim: int,
        vocab_size: int = 1,
        embeddings_initializer: Any = "uniform",
        l2_reg: float = 0.0,
        length: int | None = None,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if vocab_size not in (0, 1):
            raise ValueError(
                f"DenseEmbedding {self.name!r}: vocab_size must be 0 or 1. "
                f"Received: vocab_size={vocab_size!r}"
            )
        self.dim = dim
        self.vocab_size = vocab_size
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.l2_reg = l2_reg
        self.length = length
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)

    def build(self, input_shape: Any) -> None:
        regularizer = self.embeddings_regularizer
        if self.l2_reg:
            regularizer = keras.regularizers.L2(self.l2_reg / 2)
        if self.vocab_size:
            self.embeddings = self.add_weight(
                shape=(self.length or 1, self.dim),
                initializer=self.embeddings_initializer,
                regularizer=regularizer,
                name="embeddings",
            )

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        if not self.vocab_size:
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

    def build(self, input_shape: Any) -> None:
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

    def call(self, inputs: Any) -> Any:
        edges = ops.convert_to_tensor(self.bin_edges)
        x = ops.expand_dims(ops.cast(inputs, "float32"), -1)
        share = (x - edges[:-1]) / (edges[1:] - edges[:-1])
        last = len(self.edges) - 2
        most = float(np.finfo("float32").max)
        least = np.array([-most] + [0.0] * last, "float32")
        encoded = ops.clip(share, least, np.array([1.0] * last + [most], "float32"))
        return ops.matmul(ops.cast(encoded, self.compute_dtype), self.embeddings)


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

    def build(self, input_shape: Any) -> None:
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

    def call(self, inputs: Any, valid: Any = None) -> Any:
        ages = positions_from_end(inputs, valid)
        ages = ops.minimum(ages, self.positions.shape[0] - 1)
        positions = ops.take(self.positions, ages, axis=0)
        if self.merge == "sum":
            return inputs + positions
        return ops.concatenate([inputs, positions], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
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

    def call(self, valid: Any) -> Any:
        return ops.where(valid, positions_from_end(valid, valid) + 1, 0)


class MaskEmbedding(Layer):
    """Copies of the rows in which random features are replaced by learned vectors.

    One probability p in [min_probability, max_probability] is drawn for each copy of
    each row; then each feature is replaced with probability p (AdaF2M2, section 3.2).

    Args:
        num_sample: Copies of each row.
        min_probability, max_probability: Limits of p, in [0, 1].
        emd_dim: Width of the embeddings, checked if given.
        embeddings_initializer: Of the replacing vectors, one for each feature.
    Call arguments:
        inputs: List of `(batch, dim)`, or `(batch, num_features, dim)`.
    Returns:
        Like `inputs` with `batch * num_sample` rows; the copies of a row are together.
    Raises:
        ValueError: If the probabilities are not in order, or `emd_dim` differs.
    """

    def __init__(
        self,
        num_sample: int,
        min_probability: float = 0.1,
        max_probability: float = 0.5,
        emd_dim: int | None = None,
        embeddings_initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= min_probability <= max_probability <= 1 or num_sample < 1:
            raise ValueError(
                f"MaskEmbedding {self.name!r}: needs 0 <= min_probability <= "
                "max_probability <= 1 and at least one sample. Received: "
                f"min_probability={min_probability}, "
                f"max_probability={max_probability}, num_sample={num_sample}"
            )
        self.num_sample = num_sample
        self.min_probability = min_probability
        self.max_probability = max_probability
        self.emd_dim = emd_dim
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        if isinstance(input_shape[-1], (list, tuple)):
            widths = [shape[-1] for shape in input_shape]
        else:
            widths = [input_shape[-1]] * input_shape[1]
        if self.emd_dim is not None and set(widths) != {self.emd_dim}:
            raise ValueError(
                f"MaskEmbedding {self.name!r}: embeddings must have width "
                f"{self.emd_dim}. Received: widths {widths}"
            )
        self.widths = widths
        # One weight for all: as many draws as features, of any width.
        self.embeddings = self.add_weight(
            shape=(sum(widths),),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, inputs: Any) -> Any:
        several = isinstance(inputs, (list, tuple))
        n = len(self.widths)
        x = (
            ops.concatenate(inputs, axis=-1)
            if several
            else ops.reshape(inputs, (-1, sum(self.widths)))
        )
        x = ops.repeat(x, self.num_sample, axis=0)
        rows = ops.shape(x)[0]
        p = keras.random.uniform(
            (rows, 1),
            self.min_probability,
            self.max_probability,
            dtype="float32",
            seed=self.seed_generator,
        )
        drawn = keras.random.uniform(
            (rows, n), dtype="float32", seed=self.seed_generator
        )
        owners = [i for i, width in enumerate(self.widths) for _ in range(width)]
        replaced = ops.take(drawn < p, owners, axis=1)
        x = ops.where(replaced, ops.convert_to_tensor(self.embeddings), x)
        if several:
            return split(x, self.widths)
        return ops.reshape(x, (-1, n, self.widths[0]))


def _repeats(ids: Any) -> Any:
    """Returns how often the id at each place occurs among all, `(n,)`."""
    if keras.backend.backend() == "tensorflow" and shapes_may_vary():
        import tensorflow as tf

        _, position, counts = tf.unique_with_counts(ids)
        return tf.gather(counts, position)
    ordered = ops.sort(ids)
    after = ops.searchsorted(ordered, ids, side="right")
    return after - ops.searchsorted(ordered, ids, side="left")


def positions_from_end(inputs: Any, valid: Any | None) -> Any:
    """Counts the valid elements after each element, `(batch, length)`, int32."""
    if valid is None:
        length = ops.shape(inputs)[1]
        ages = ops.arange(length - 1, -1, -1, dtype="int32")
        return ops.broadcast_to(ages, ops.shape(inputs)[:2])
    here = ops.cast(valid, "int32")
    return ops.sum(here, axis=1, keepdims=True) - ops.cumsum(here, axis=1)
