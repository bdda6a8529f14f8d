"""CAN against equations 3-7 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.can import CoAction, can
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
UNITS = (5, 3, 2)


def _coaction(weights, p, valid, units, orders, indep):
    """Eq. 3-7 of one row: `p` (length, units[0])."""
    features, start = [], 0
    for order in range(1, orders + 1):
        h = p**order
        start = start if indep else 0
        for depth, (a, b) in enumerate(zip(units, units[1:], strict=False), 1):
            h = h @ weights[start : start + a * b].reshape(a, b)
            start += a * b
            if depth < len(units) - 1:
                h = np.tanh(h)
            features.append(h[valid].sum(0))
    assert start == len(weights)
    return np.concatenate(features)


@pytest.mark.parametrize("indep", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(indep):
    pairs = [("item_id", "seen"), ("category", "seen_category"), ("item_id", "user_id")]
    kwargs = {"units": UNITS, "orders": 2, "order_indep": indep}
    model = can(zoo.fields(), BOTH, (8, 4), pairs=pairs, **kwargs)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    features = [oracle.columns(oracle.PLAIN, x, w), oracle.zoo_attention(x, w)]
    tables = {"seen": "item_id", "seen_category": "category"}
    for a, b in pairs:
        weights = w[f"embedding_coaction_weights__{a}/embeddings"][x[a]]
        p = w[f"embedding_coaction_input__{tables.get(b, b)}/embeddings"][x[b]]
        one = b == "user_id"
        valid = np.ones((9, 1), bool) if one else x["seen"] != 0
        p = p[:, None] if one else p
        features.append(
            np.stack(
                [
                    _coaction(*row, UNITS, 2, indep)
                    for row in zip(weights, p, valid, strict=True)
                ]
            )
        )
    expected = oracle.tower(np.concatenate(features, -1), w, "dnn_mlp", (8, 4), "dice")
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def test_each_item_field_acts_with_its_history():
    names = {layer.name for layer in can(zoo.fields()).layers}
    assert {
        f"dnn_coaction_{n}" for n in ("item_id_seen", "category_seen_category")
    } == {n for n in names if n.startswith("dnn_coaction")}


def _unit(seed=0, **kwargs):
    layer = CoAction(UNITS, **kwargs)
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(3, layer.num_weights)).astype("float32")
    return layer, weights, rng.normal(size=(3, 4, UNITS[0])).astype("float32")


def test_sizes():
    assert CoAction().num_weights == 160
    assert CoAction(order_indep=True).num_weights == 480
    layer, weights, p = _unit()
    assert layer([weights, p]).shape == (3, 3 * (3 + 2))
    assert CoAction().compute_output_shape([(None, 160), (None, 9, 16)])[1] == 36


def test_without_weights_there_is_no_action():
    layer, weights, p = _unit()
    np.testing.assert_array_equal(layer([0 * weights, p]), np.zeros((3, 15)))


def test_histories_add_up():
    layer, weights, p = _unit()
    parts = layer([weights, p[:, :1]]) + layer([weights, p[:, 1:]])
    close(layer([weights, p]), parts, terms=1_000)


def test_one_layer_of_one_order_is_bilinear():
    layer = CoAction((5, 3), orders=1)
    _, _, p = _unit()
    weights = np.random.default_rng(0).normal(size=(3, 15)).astype("float32")
    expected = np.einsum("bli,bij->bj", p, weights.reshape(3, 5, 3))
    close(layer([weights, p]), expected, terms=1_000)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("item_id", "nowhere")], "pairs of fields"),
        ([None], r"^can: pairs must be .*Received: pairs=\[None\]"),
        ([("item_id",)], "^can: pairs must be "),
        ([("tags", "seen")], "'tags'.*one id a row"),
        ([("item_id", "tags")], "'tags'.*a history or"),
    ],
)
def test_pairs_are_checked(pairs, words):
    with pytest.raises(ValueError, match=words):
        can(zoo.fields(), pairs=pairs)


def test_units_are_checked():
    with pytest.raises(ValueError, match=r"Received: units=\(4,\)"):
        CoAction((4,))
