"""Weighted pairs of fields against loops, and the machines they contain."""

import itertools

import numpy as np
import pytest

from recsys.layers.interaction.field_weighted import FEFM, FFM, FmFM, FvFM, FwFM
from recsys.layers.interaction.fm import FM
from recsys.layers.interaction.product import SymmetricProduct
from tests.close import close

F, D = 4, 3
PAIRS = list(itertools.combinations(range(F), 2))


def _inputs(widths=(D,) * F, rows=5):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(rows, width)).astype("float32") for width in widths]


def _jitter(layer):
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(weight + rng.normal(size=weight.shape))


def _close(found, expected):
    found, expected = (np.reshape(values, -1) for values in (found, expected))
    close(found, expected, terms=1_000)


def test_fwfm_starts_as_fm_and_weighs_pairs():
    e, layer = _inputs(), FwFM()
    _close(layer(e), FM()(e))
    _jitter(layer)
    r = np.asarray(layer.r)[:, 0]
    assert r.shape == (6,)
    _close(
        layer(e), sum((e[i] * r[p] * e[j]).sum(-1) for p, (i, j) in enumerate(PAIRS))
    )


@pytest.mark.parametrize("widths", [(D,) * F, (2, 3, 1, 4)])
def test_fmfm_has_a_matrix_for_each_pair(widths):
    e, layer = _inputs(widths), FmFM()
    layer(e)
    _jitter(layer)
    expected = 0
    for i, j in PAIRS:
        start = sum(widths[i + 1 : j])
        block = np.asarray(layer.kernels[i])[:, start : start + widths[j]]
        expected += np.einsum("ba,ac,bc->b", e[i], block, e[j])
    _close(layer(e), expected)
    stored = sum(int(np.prod(w.shape)) for w in layer.weights)
    assert stored == sum(widths[i] * widths[j] for i, j in PAIRS)


def test_fmfm_with_identities_is_fm_and_turning_the_space_changes_nothing():
    e, layer = _inputs(), FmFM()
    layer(e)
    layer.set_weights([np.tile(np.eye(D), (1, F - 1 - i)) for i in range(F - 1)])
    _close(layer(e), FM()(e))
    _jitter(layer)
    before = np.asarray(layer(e))
    q = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0].astype("float32")
    for kernel in layer.kernels:
        blocks = np.split(np.asarray(kernel), kernel.shape[1] // D, axis=1)
        kernel.assign(np.concatenate([q.T @ block @ q for block in blocks], axis=1))
    _close(layer([v @ q for v in e]), before)


def test_fvfm_starts_as_fm_and_weighs_dimensions():
    e, layer = _inputs(), FvFM()
    _close(layer(e), FM()(e))
    _jitter(layer)
    m = np.asarray(layer.m)
    _close(
        layer(e), sum((e[i] * m[p] * e[j]).sum(-1) for p, (i, j) in enumerate(PAIRS))
    )


def test_ffm_lets_each_pair_meet_by_vectors_of_its_own():
    v = np.random.default_rng(0).normal(size=(5, F, F, D)).astype("float32")
    inputs = [v[:, i].reshape(5, -1) for i in range(F)]
    found = FFM()(inputs)
    _close(found, sum((v[:, i, j] * v[:, j, i]).sum(-1) for i, j in PAIRS))
    swapped = v.copy()
    swapped[:, 1, [0, 2]] = v[:, 1, [2, 0]]
    swapped = [swapped[:, i].reshape(5, -1) for i in range(F)]
    assert (np.asarray(FFM()(swapped)) != np.asarray(found)).all()
    for i in range(F):
        v[:, i, i] += 9  # for the field itself: never read
    np.testing.assert_array_equal(
        FFM()([v[:, i].reshape(5, -1) for i in range(F)]), found
    )


def test_ffm_with_one_vector_for_all_is_fm():
    e = _inputs()
    _close(FFM()([np.tile(v, (1, F)) for v in e]), FM()(e))


def test_symmetric_matrices():
    e, layer = _inputs(), SymmetricProduct()
    _close(np.sum(layer(e), axis=-1), FM()(e))
    _jitter(layer)
    u = np.asarray(layer.kernel)
    w = (u + u.transpose(0, 2, 1)) / 2
    found = np.asarray(layer(e))
    for p, (i, j) in enumerate(PAIRS):
        expected = np.einsum("ba,ac,bc->b", e[i], w[p], e[j])
        close(found[:, p], expected, terms=1_000)
    mirrored = SymmetricProduct()
    mirrored(e)
    total = FEFM()
    total(e)
    total.kernel.assign(u)
    _close(total(e), found.sum(-1))
    order = [PAIRS.index((F - 1 - j, F - 1 - i)) for i, j in PAIRS]
    mirrored.kernel.assign(u[order])  # not transposed: a pair has no direction
    backwards = np.asarray(mirrored(e[::-1]))[:, order]
    close(backwards, found, terms=1_000)


@pytest.mark.parametrize("layer", [FwFM, FvFM, FEFM, FFM])
def test_widths_must_be_equal(layer):
    with pytest.raises(ValueError, match=r"one dim. Received: dims \[3, 2\]"):
        layer()(_inputs((3, 2)))


@pytest.mark.parametrize("layer", [FwFM, FmFM, FvFM, FEFM, FFM])
def test_one_field_forms_no_pair(layer):
    with pytest.raises(ValueError, match="two fields.*Received: 1"):
        layer()(_inputs((3,)))


def test_ffm_needs_a_vector_for_each_field():
    with pytest.raises(ValueError, match=r"each of the 2 fields.*\[3, 3\]"):
        FFM()(_inputs((3, 3)))
