"""TIN against equations 3-6 of the paper."""

from dataclasses import replace

import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.tin import tin
from tests import oracle, zoo
from tests.close import close

BOTH = Task("ctr", return_logit=True)
UNITS = (100, 64)  # by default
NUM_TIMES = 9
TIMED = [
    *zoo.fields(),
    Field(
        "age_of",
        vocabulary_size=NUM_TIMES,
        length=zoo.LENGTH,
        belong="history",
        role="time",
    ),
]


def timed(n, seed=0):
    """Rows with a time of each behaviour, from 1 to 8."""
    x = zoo.rows(n, seed)
    drawn = np.random.default_rng(seed).integers(1, 9, x["seen"].shape)
    return {**x, "age_of": np.where(x["seen"] != 0, drawn, 0)}


def ranks(valid):
    """1 for the most recent behaviour."""
    return valid.sum(1, keepdims=True) - np.cumsum(valid, axis=1) + 1


def _interest(x, w, times, name="dnn_tim_default"):
    """Eq. 3-6."""
    e, valid, q = oracle.history(x, w)
    p = w[f"{name}/positions"]
    rows = []
    for row in range(len(e)):
        behaviours, target = e[row] + p[times[row]], q[row] + p[0]
        scores = behaviours @ target / np.sqrt(len(target))
        rows.append(oracle.masked(scores, valid[row]) @ (behaviours * target))
    return np.stack(rows)


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(times):
    model = tin(TIMED if times else zoo.fields(), BOTH)
    zoo.jitter(model)
    x, w = timed(9), oracle.weights(model)
    when = x["age_of"] if times else ranks(x["seen"] != 0)
    interest = _interest(x, w, when)
    expected = oracle.with_interest(x, w, interest, UNITS, oracle.relu)
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12
    mlp = width * 100 + 100 + 100 * 64 + 64 + 64 + 1
    assert tin(zoo.fields()).count_params() == tables + mlp + 7 * 12
    assert tin(TIMED).count_params() == tables + mlp + NUM_TIMES * 12


def test_without_times_the_order_does_not_matter():
    model = tin(zoo.fields(), BOTH)
    zoo.jitter(model)
    x = zoo.rows(20)
    turned = {**x, **{n: x[n][:, ::-1] for n in ("seen", "seen_category")}}
    one, other = (oracle.logit(model, rows) for rows in (x, turned))
    assert np.abs(one - other).max() > 1e-3
    positions = model.get_layer("dnn_tim_default").positions
    positions.assign(0 * positions)
    one, other = (oracle.logit(model, rows) for rows in (x, turned))
    close(one, other, terms=1_000)


def test_the_seeds_form_has_projections():
    kwargs = {"num_heads": 2, "dff": 8, "num_layers": 2, "dropout": 0.1}
    model = tin(zoo.fields(), attention_kwargs=kwargs)
    assert model.predict(zoo.rows(3), verbose=0).shape == (3, 1)


def test_a_time_is_an_attribute_where_models_know_no_time():
    from recsys.rank.din import din

    model = din(TIMED)
    assert model.get_layer("embedding_age_of").vocabulary_size == 9
    model.predict(timed(3), verbose=0)


def test_it_needs_a_history():
    plain = [f for f in zoo.fields() if f.belong != "history"]
    with pytest.raises(ValueError, match="tin needs a field with belong='history'"):
        tin(plain)


def test_several_histories():
    other = [
        replace(f, name=f"bought_{f.name}", emb=f.emb, group="bought", length=3)
        for f in zoo.fields()
        if f.belong == "history"
    ]
    model, x = tin([*zoo.fields(), *other], BOTH), zoo.rows(9)
    zoo.jitter(model)
    x |= {f.name: x[f.name.removeprefix("bought_")][:, :3] for f in other}
    w = oracle.weights(model)
    first = _interest(x, w, ranks(x["seen"] != 0))
    short = {**x, **{f.name.removeprefix("bought_"): x[f.name] for f in other}}
    second = _interest(short, w, ranks(short["seen"] != 0), "dnn_tim_bought")
    interests = np.concatenate([first, second], axis=-1)
    expected = oracle.with_interest(x, w, interests, UNITS, oracle.relu)
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)
