"""Pairs of fields i < j in lexicographic order: (0, 1), (0, 2), ... (1, 2), ..."""

from collections.abc import Sequence
from itertools import combinations

from keras import ops

from recsys.types import Tensor


def field_pairs(num_fields: int) -> list[tuple[int, int]]:
    """Returns the pairs, in the order of every parameter and output of a pair."""
    return list(combinations(range(num_fields), 2))


def pair_embeddings(embeddings: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns e_i and e_j of every pair, each `(num_pairs, batch, dim)`.

    Memory and time grow with the number of pairs; prefer `inner_products` or a matrix
    product where the equation allows it.

    Args:
        embeddings: A list of `(batch, dim)`, at least two.
    """
    left, right = zip(*field_pairs(len(embeddings)), strict=True)
    # Pairs first: whole embeddings are copied, and weights of a pair are one product.
    return (
        ops.stack([embeddings[i] for i in left]),
        ops.stack([embeddings[j] for j in right]),
    )


def inner_products(embeddings: Tensor, others: Tensor | None = None) -> Tensor:
    """Returns <e_i, f_j> of every pair i < j, `(batch, num_pairs)`.

    Args:
        embeddings: e, `(batch, num_fields, dim)`, at least two fields.
        others: f, of the same shape; default: e.
    """
    n = embeddings.shape[1]
    others = embeddings if others is None else others
    gram = ops.matmul(embeddings, ops.transpose(others, (0, 2, 1)))
    # Cut between the lower triangle and the upper: several times as fast as a gather.
    flat = ops.reshape(gram, (-1, n * n))
    cuts = [cut for i in range(n) for cut in (n * i + i + 1, n * (i + 1))]
    return ops.concatenate(ops.split(flat, cuts[:-1], axis=-1)[1::2], axis=-1)
