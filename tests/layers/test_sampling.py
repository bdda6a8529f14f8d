"""Items that a row has not seen, drawn alike."""

import keras
import numpy as np

from recsys.layers.sampling import draw_unseen


def test_what_was_seen_is_never_drawn_and_all_else_alike():
    seen = np.array([[5, 2, 5, 0, 3], [0, 0, 0, 0, 0], [9, 8, 2, 0, 0]])
    seed = keras.random.SeedGenerator(0)
    ids, left = draw_unseen(seen, 2, 8, 6000, seed)  # items 2 to 9
    assert np.asarray(left).all()
    for row, drawn in zip(seen, np.asarray(ids), strict=True):
        others = sorted({*range(2, 10)} - {*row})
        values, counts = np.unique(drawn, return_counts=True)
        assert list(values) == others
        np.testing.assert_allclose(counts / 6000, 1 / len(others), atol=0.025)


def test_nothing_is_left_to_draw():
    ids, left = draw_unseen(
        np.array([[1, 2, 3], [1, 2, 0]]), 1, 3, 4, keras.random.SeedGenerator(0)
    )
    assert list(np.asarray(left)[:, 0]) == [False, True]
    np.testing.assert_array_equal(np.asarray(ids)[1], [3] * 4)
    assert (np.asarray(ids)[0] <= 3).all()  # a row of the table, if only to be masked
