"""Copies of embeddings with some of them masked."""

from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.elementary import split
from recsys.types import Tensors


class MaskEmbedding(Layer):
    """Copies of the rows in which random features are replaced by learned vectors.

    One probability p in [min_probability, max_probability] is drawn for each copy of
    each row; then each feature is replaced with probability p (AdaF2M2, section 3.2).

    Args:
        num_sample: Copies of each row.
        min_probability, max_probability: Limits of p, in [0, 1].
        dim: Width of the embeddings, checked if given.
        embeddings_initializer: Of the replacing vectors, one for each feature.
    Call arguments:
        inputs: List of `(batch, dim)`, or `(batch, num_features, dim)`.
    Returns:
        Like `inputs` with `batch * num_sample` rows; the copies of a row are together.
    Raises:
        ValueError: If the probabilities are not in order, or `dim` differs.
    """

    def __init__(
        self,
        num_sample: int,
        min_probability: float = 0.1,
        max_probability: float = 0.5,
        dim: int | None = None,
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
        self.dim = dim
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        if isinstance(input_shape[-1], (list, tuple)):
            widths = [shape[-1] for shape in input_shape]
        else:
            widths = [input_shape[-1]] * input_shape[1]
        if self.dim is not None and set(widths) != {self.dim}:
            raise ValueError(
                f"MaskEmbedding {self.name!r}: embeddings must have width "
                f"{self.dim}. Received: widths {widths}"
            )
        self.widths = widths
        # One weight for all: as many draws as features, of any width.
        self.embeddings = self.add_weight(
            shape=(sum(widths),),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, inputs: Any) -> Tensors:  # and takes `Tensors`
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
