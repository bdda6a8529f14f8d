"""BST against equations 1-6 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.bst import bst
from tests import oracle, zoo
from tests.close import close
from tests.rank.test_tin import TIMED, ranks, timed

BOTH = Task("ctr", return_logit=True)
UNITS, HEADS, DFF = (8, 4), 3, 5


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def _interest(x, w, times, blocks, output, name="dnn_transformer_default"):
    """Eq. 1-6, row by row."""
    e, valid, q = oracle.history(x, w)
    p, rows = w[f"{name}/times"], []
    for row in range(len(e)):
        there = np.append(valid[row], True)
        s = np.concatenate([e[row] + p[times[row]], q[row][None] + p[0]])
        for i in range(blocks):
            seen = np.tile(there, (len(s), 1))
            attended = oracle.attention(s, s, seen, HEADS, w, f"{name}/attention_{i}")
            s = oracle.norm(s + attended, w, f"{name}/norm_{i}")
            hidden = leaky(oracle.dense(s, w, f"{name}/ffn_{i}/expand", DFF))
            change = oracle.dense(hidden, w, f"{name}/ffn_{i}/contract", s.shape[-1])
            s = oracle.norm(s + change, w, f"{name}/ffn_{i}/norm")
        if output == "target":
            rows.append(s[-1])
        elif output == "mean":
            rows.append(s[there].mean(0))
        else:
            rows.append((s * there[:, None]).ravel())
    return np.stack(rows)


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("output", ["target", "mean", "concat"])
@pytest.mark.oracle
def test_it_computes_the_paper(output, times):
    fields = TIMED if times else zoo.fields()
    model = bst(
        fields,
        BOTH,
        UNITS,
        num_blocks=1 + times,
        num_heads=HEADS,
        dff=DFF,
        output=output,
    )
    zoo.jitter(model)
    x, w = timed(9), oracle.weights(model)
    when = x["age_of"] if times else np.where(x["seen"] != 0, ranks(x["seen"] != 0), 0)
    interest = _interest(x, w, when, 1 + times, output)
    expected = oracle.with_interest(x, w, interest, UNITS, leaky)
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def test_parameters():
    d, dff = 12, 48
    block = 4 * d * d + 4 * d + 2 * d * dff + dff + d + 4 * d
    layer = bst(zoo.fields(), num_heads=4).get_layer("dnn_transformer_default")
    assert layer.count_params() == block + 7 * d


def test_without_times_the_order_does_not_matter():
    model = bst(zoo.fields(), BOTH, (8,), num_heads=3)
    zoo.jitter(model)
    x = zoo.rows(20)
    turned = {**x, **{n: x[n][:, ::-1] for n in ("seen", "seen_category")}}
    times = model.get_layer("dnn_transformer_default").times
    one, other = (oracle.logit(model, rows) for rows in (x, turned))
    assert np.abs(one - other).max() > 1e-3
    times.assign(0 * times)
    one, other = (oracle.logit(model, rows) for rows in (x, turned))
    close(one, other, terms=1_000)


def test_an_unknown_output():
    with pytest.raises(ValueError, match="output must be one of.*output='last'"):
        bst(zoo.fields(), output="last")
