"""FinalMLP against eq. 2-8 of the paper."""

import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.finalmlp import BilinearFusion, StreamGate, finalmlp
from tests import oracle, planted, zoo
from tests.close import close

DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
GATES = (["user_id", "age"], ["seen", "scores", "tags"])
UNITS = ((9, 6), (7, 4))


def _context(names, x, w, i):
    """Embeddings in tables of the gate's own, or what it learned: of ten numbers."""
    if not names:
        assert w[f"dnn_gate_{i}/context"].shape == (1, 10)
        return w[f"dnn_gate_{i}/context"]
    table = f"embedding_gate_{i}__"
    columns = [
        x[name] @ w[f"{table}scores/embeddings"]
        if name == "scores"
        else oracle.column(name, x, w, table)
        for name in names
    ]
    return np.concatenate(columns, axis=-1)


def _gate(x, w, i, width):
    """Eq. 3-5, with one hidden layer."""
    hidden = oracle.mlp(x, w, f"dnn_gate_{i}/mlp", (64,))
    return 2 * oracle.sigmoid(oracle.dense(hidden, w, f"dnn_gate_{i}/gate", width))


@pytest.mark.parametrize("gates", [GATES, ((), ()), None], ids=str)
@pytest.mark.parametrize("heads", [0, 1, 2])
@pytest.mark.oracle
def test_it_computes_the_paper(gates, heads):
    model = finalmlp(
        zoo.fields(),
        Task("ctr", return_logit=True),
        gate_fields=gates,
        num_heads=heads,
        hidden_units=UNITS[0],
        second_hidden_units=UNITS[1],
    )
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    e = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    streams = []
    for i in range(2):
        stream = e
        if gates is not None:
            stream = e * _gate(_context(gates[i], x, w, i), w, i, e.shape[-1])
        streams.append(oracle.mlp(stream, w, f"dnn_mlp_{i}", UNITS[i]))
    one, other = streams  # eq. 6-8 from here
    logit = one @ w["dnn_fusion/left"] + other @ w["dnn_fusion/right"]
    logit = logit + w["dnn_fusion/bias"]
    for k in range(heads):
        rows, columns = slice(k * 6 // heads, (k + 1) * 6 // heads), 4 // heads
        block = w["dnn_fusion/blocks"][rows]
        part = other[:, k * columns : (k + 1) * columns]
        logit = logit + np.einsum("bi,ij,bj->b", one[:, rows], block, part)[:, None]
    found = oracle.logit(model, x)
    close(found, logit, terms=1_000)


@pytest.mark.parametrize(("heads", "blocks"), [(0, 0), (1, 64 * 64), (4, 64 * 16)])
def test_parameters_of_the_fusion(heads, blocks):
    fusion = finalmlp(zoo.fields(), num_heads=heads).get_layer("dnn_fusion")
    assert fusion.count_params() == 64 + 64 + 1 + blocks


def test_gates_have_tables_of_their_own():
    model = finalmlp(zoo.fields(), gate_fields=GATES)
    tables = {w.path.split("/")[0] for w in model.weights if "embedding_gate" in w.path}
    assert tables == {
        "embedding_gate_0__user_id",
        "embedding_gate_0__age",
        "embedding_gate_1__item_id",
        "embedding_gate_1__scores",
        "embedding_gate_1__tags",
    }


def test_a_gate_that_knows_nothing_lets_all_through():
    gate, x = StreamGate((5,)), np.ones((2, 3), "float32")
    gate.build(x.shape)
    for weight in gate.weights:
        weight.assign(np.zeros(weight.shape))
    np.testing.assert_array_equal(gate(x), x)


def test_a_learned_context_can_learn():
    """A context of zeros would leave every ReLU behind it without a gradient."""
    model = finalmlp([Field("u", vocabulary_size=9)])
    model.compile("sgd", "binary_crossentropy")
    before = {w.path: w.numpy() for w in model.weights}
    model.fit({"u": np.arange(9)}, np.arange(9) % 2, verbose=0)
    for weight in model.weights:
        assert np.any(weight.numpy() != before[weight.path]), weight.path


def test_config():
    for layer in (StreamGate((5, 4), 3, 0.1), BilinearFusion(2)):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match=r"names of fields.*Received: \['item'\]"):
        finalmlp(zoo.fields(), gate_fields=((), ["item"]))
    for wrong in ([], [()], [(), (), ()]):
        with pytest.raises(ValueError, match=r"gate_fields must be tuple\[list\[s"):
            finalmlp(zoo.fields(), gate_fields=wrong)
    with pytest.raises(ValueError, match=r"divide.*num_heads=3, widths \[64, 64\]"):
        finalmlp(zoo.fields(), num_heads=3)


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(finalmlp, planted.pairwise, learning_rate=0.01)
