"""The masking of features against what AdaF2M2 says of it."""

import numpy as np
import pytest

from recsys.layers.mask_embedding import MaskEmbedding


def _masked(layer, x):
    """Which features of which copy are the layer's own vectors."""
    copies = np.asarray(layer(x))
    own = np.asarray(layer.embeddings).reshape(1, x.shape[1], x.shape[2])
    return (copies == own).all(-1), copies


def _rows(rows, features, dim=2):
    return np.random.default_rng(0).normal(size=(rows, features, dim)).astype("float32")


def test_copies_of_a_row_are_together_and_hold_it_or_the_mask():
    x, layer = _rows(50, 4), MaskEmbedding(3)
    masked, copies = _masked(layer, x)
    np.testing.assert_array_equal(copies[~masked], np.repeat(x, 3, axis=0)[~masked])
    assert 0 < masked.mean() < 1
    assert len({tuple(row) for row in masked}) > 1  # not one mask for all


@pytest.mark.parametrize("p", [0, 1])
def test_the_ends_of_the_range_mask_nothing_and_everything(p):
    x = _rows(20, 4)
    masked, _ = _masked(MaskEmbedding(2, p, p), x)
    assert masked.all() if p else not masked.any()


def test_one_probability_is_drawn_for_each_copy():
    """Then the number of masked features has this variance (law of total variance)."""
    n, low, high = 20, 0.1, 0.5
    masked, _ = _masked(MaskEmbedding(1, low, high), _rows(20_000, n))
    mean = (low + high) / 2
    count = masked.sum(1)
    assert count.mean() == pytest.approx(n * mean, rel=0.02)
    expected = n * mean * (1 - mean) + n * (n - 1) * (high - low) ** 2 / 12
    assert count.var() == pytest.approx(expected, rel=0.05)


def test_a_list_of_several_widths():
    parts = [_rows(5, 1, width)[:, 0] for width in (2, 3)]
    copies = MaskEmbedding(2, 0, 0)(parts)
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(copy, np.repeat(part, 2, axis=0))


@pytest.mark.parametrize(
    "arguments", [{"num_sample": 0}, {"num_sample": 1, "min_probability": 0.6}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="min_probability.*at least one sample"):
        MaskEmbedding(**arguments)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match="width 3.*2, 2"):
        MaskEmbedding(1, dim=3)(_rows(5, 2))


def test_config():
    layer = MaskEmbedding(3, 0.2, 0.4, 2, "ones")
    assert MaskEmbedding.from_config(layer.get_config()).get_config() == (
        layer.get_config()
    )
