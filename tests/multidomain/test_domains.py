"""MMoE and PLE over domains, and HiNet, against their equations."""

import numpy as np
import pytest
import tensorflow as tf

from recsys import Task
from recsys.layers.streams import DomainTowers, SelectDomain, StackedExtraction
from recsys.multidomain.hinet import ScenarioAwareAttention, hinet
from recsys.multidomain.mmoe_domains import mmoe_domains
from recsys.multidomain.ple_domains import ple_domains
from tests import oracle, zoo
from tests.close import close

TABLES = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + 3 * 4 + 4
WIDTH = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12 + 4 + 4
MEAN = {"history_agg": "mean_pooling"}
DOMAINS = 3


def _features(x, w):
    domain = w["embedding_domain_id/embeddings"][x["domain_id"]]
    rate = x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"]
    names = [*oracle.PLAIN, "seen", "seen_category"]
    return np.concatenate([oracle.columns(names, x, w), domain, rate], axis=-1)


def _mlp(x, w, name, k, num, units):
    """Expert or tower k of a stack of `num`."""
    for i, width in enumerate(units):
        kernel = w[f"{name}/kernel_{i}"]
        assert kernel.shape == (num, x.shape[-1], width)
        x = oracle.relu(x @ kernel[k] + w[f"{name}/bias_{i}"][k])
    return x


def _level(streams, shared, w, name, m, m_shared, units, bias=False, goes_on=False):
    """One stream and one expert after the other; the last of the results is s'_0."""
    num = len(streams)
    own = [
        [
            _mlp(s, w, f"{name}/domain_experts", j * m + k, num * m, units)
            for k in range(m)
        ]
        for j, s in enumerate(streams)
    ]
    common = [
        _mlp(shared, w, f"{name}/experts", k, m_shared, units) for k in range(m_shared)
    ]
    results = []
    for j, s in enumerate(streams):
        experts = [*own[j], *common]
        g = np.ones((len(s), 1))
        if len(experts) > 1:
            scores = s @ w[f"{name}/domain_gate"][j]
            g = oracle.softmax(scores + (w[f"{name}/domain_bias"][j] if bias else 0))
        results.append(sum(g[:, [k]] * e for k, e in enumerate(experts)))
    experts = [e for every in own for e in every] + common
    going_on = None
    if goes_on:  # also where no level has shared experts to read it
        g = oracle.softmax(shared @ w[f"{name}/gate"])
        going_on = sum(g[:, [k]] * e for k, e in enumerate(experts))
    return results, going_on


def _towers(streams, p, w, name, units):
    """Of each row the logit of its domain's tower."""
    logits = np.empty((len(p), 1))
    for i, d in enumerate(p):
        h = _mlp(streams[d][[i]], w, f"{name}/domain_towers", d, DOMAINS, units)
        last = f"{name}/domain_logits"
        logits[i] = h @ w[f"{last}/kernel_0"][d] + w[f"{last}/bias_0"][d]
    return logits


def _check(model, x, logits):
    expected = oracle.sigmoid(np.concatenate(logits, axis=-1))
    found = zoo.predictions(model, x)
    close(found, expected, terms=1_000)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("sizes", [(2, 2), (1, 0), (0, 2), (2, 0)], ids=str)
def test_ple(levels, sizes):
    """Eq. 1-6 of PLE's paper."""
    fields, experts, units = zoo.fields(domain=True), (7, 5), (6, 4)
    model = ple_domains(fields, zoo.TASKS, levels, *sizes, experts, units, **MEAN)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    shared = _features(x, w)
    streams = [shared] * DOMAINS
    for level in range(levels):
        name, goes_on = f"dnn_level_{level}", level < levels - 1
        streams, shared = _level(
            streams, shared, w, name, *sizes, experts, goes_on=goes_on
        )
    p = x["domain_id"]
    names = [f"dnn_tower_{task.name}" for task in zoo.TASKS]
    _check(model, x, [_towers(streams, p, w, name, units) for name in names])


def test_mmoe_is_ple_with_shared_experts_alone():
    fields, x = zoo.fields(domain=True), zoo.rows(9)
    model = mmoe_domains(fields, zoo.TASKS, 4, 5, (6,), **MEAN)
    zoo.jitter(model)
    other = ple_domains(fields, zoo.TASKS, 1, 0, 4, 5, (6,), **MEAN)
    other.set_weights(model.get_weights())
    found = zoo.predictions(model, x)
    np.testing.assert_array_equal(found, zoo.predictions(other, x))
    w = oracle.weights(model)
    e = _features(x, w)
    streams, _ = _level([e] * DOMAINS, e, w, "dnn_experts", 0, 4, (5,))
    names = [f"dnn_tower_{task.name}" for task in zoo.TASKS]
    _check(model, x, [_towers(streams, x["domain_id"], w, n, (6,)) for n in names])


@pytest.mark.parametrize(
    "options",
    [{}, {"attend": "masked"}, {"towers": "task"}, {"input_norm": False}]
    + [{"gate_units": (6, 4)}],
    ids=str,
)
def test_hinet(options):
    """Eq. 1-9 of HiNet's paper."""
    subs, sub, sizes, experts, units = 3, (8, 5), (2, 1), (6,), (7,)
    given = (subs, sub, *sizes, experts, units)
    model = hinet(zoo.fields(domain=True), zoo.TASKS, *given, **MEAN, **options)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    p, e = x["domain_id"], _features(x, w)
    if options.get("input_norm", True):
        e = (e - w["dnn_norm/moving_mean"]) / np.sqrt(
            w["dnn_norm/moving_variance"] + 1e-3
        ) * w["dnn_norm/gamma"] + w["dnn_norm/beta"]
    (g,), _ = _level([e], None, w, "dnn_shared", subs, 0, sub, bias=True)
    s, _ = _level([e] * DOMAINS, None, w, "dnn_scenario", subs, 0, sub, bias=True)
    a = np.zeros(g.shape)
    of_domain = w["embedding_domain_id/embeddings"]
    if "gate_units" in options:
        of_domain = oracle.mlp(of_domain, w, "dnn_gate", options["gate_units"])
    for i in range(9):  # eq. 4-5
        own = of_domain[p[i]]
        scores = w["dnn_attention/domain_kernel"] @ own + w["dnn_attention/domain_bias"]
        other = np.arange(3) != p[i]
        if options.get("attend") == "masked":
            shares = oracle.softmax(scores) * other
        else:
            shares = oracle.masked(scores, other)
        a[i] = sum(shares[j] * s[j][i] for j in range(3))
    own = np.stack([s[d][i] for i, d in enumerate(p)])
    c = np.concatenate([a, own, g], axis=-1)
    names = [f"dnn_tower_{task.name}" for task in zoo.TASKS]
    if options.get("towers") == "task":
        mixed, _ = _level([c] * 2, c, w, "dnn_cgc", *sizes, experts)
        logits = [
            oracle.tower(m, w, n, units) for m, n in zip(mixed, names, strict=True)
        ]
    else:
        mixed, _ = _level([c] * 2 * DOMAINS, c, w, "dnn_cgc", *sizes, experts)
        logits = [
            _towers(mixed[t::2], p, w, name, units) for t, name in enumerate(names)
        ]
    _check(model, x, logits)


def test_parameters():
    fields = zoo.fields(domain=True)

    def stack(n, *sizes):
        return sum(n * (i + 1) * o for i, o in zip(sizes, sizes[1:], strict=False))

    towers = 2 * stack(3, 5, 6, 1)
    mmoe = mmoe_domains(fields, zoo.TASKS, 4, 5, (6,), **MEAN)
    expected = TABLES + stack(4, WIDTH, 5) + 3 * WIDTH * 4 + towers
    assert mmoe.count_params() == expected
    ple = ple_domains(fields, zoo.TASKS, 2, 2, 1, 5, (6,), **MEAN)
    first = stack(7, WIDTH, 5) + 3 * WIDTH * 3 + WIDTH * 7
    second = stack(7, 5, 5) + 3 * 5 * 3
    assert ple.count_params() == TABLES + first + second + towers
    model = hinet(fields, zoo.TASKS, 3, (8, 5), 2, 1, 5, (6,), **MEAN)
    scenario = stack(4 * 3, WIDTH, 8, 5) + 4 * (WIDTH + 1) * 3 + 3 * (4 + 1)
    cgc = stack(13, 15, 5) + 6 * 15 * 3
    assert model.count_params() == TABLES + 4 * WIDTH + scenario + cgc + towers


def _moved(model, domains, n=24):
    """Paths of what rows of these domains move, with the parts of the domains."""
    x = {**zoo.rows(n), "domain_id": np.resize(domains, n)}
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    with tf.GradientTape() as tape:
        y = zoo.labels("multidomain", n)
        loss = model.compute_loss(feed, y, model(feed, training=True))
    variables = model.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    pairs = zip(variables, found, strict=True)
    return {v.path: np.asarray(tf.convert_to_tensor(g)) for v, g in pairs}


@pytest.mark.parametrize("levels", [1, 2])
def test_rows_reach_experts_of_others_through_a_second_level_only(levels):
    model = ple_domains(zoo.fields(domain=True), zoo.TASKS, levels)
    model.compile("sgd", "binary_crossentropy")
    moved = _moved(model, [0])["dnn_level_0/domain_experts/kernel_0"]
    assert moved[:2].any()
    assert moved[2:].any() == (levels == 2)


@pytest.mark.parametrize("stop", [True, False])
def test_hinets_rows_reach_sub_experts_of_others_unless_stopped(stop):
    model = hinet(zoo.fields(domain=True), zoo.TASKS, stop_cross=stop)
    model.compile("sgd", "binary_crossentropy")
    moved = _moved(model, [0])
    assert moved["dnn_scenario/domain_experts/kernel_0"][:5].any()
    assert moved["dnn_scenario/domain_experts/kernel_0"][5:].any() != stop
    assert not moved["dnn_cgc/domain_experts/kernel_0"][4:].any()


def test_shares_of_the_other_domains_sum_to_one():
    own, ids = np.random.default_rng(0).normal(size=(4, 2)), np.array([0, 1, 2, 3])
    layer = ScenarioAwareAttention(3)
    layer.build([(None, 3, 5), (None, 2), (None,)])
    shares = np.asarray(layer.shares(own.astype("float32"), ids))
    close(shares.sum(1), 1, terms=100)
    np.testing.assert_array_equal(np.diag(shares), 0)
    assert (shares[3] > 0).all()  # an unknown domain asks all
    layer.attend = "masked"
    masked = np.asarray(layer.shares(own.astype("float32"), ids))
    assert (masked[:3].sum(1) < 1).all()


def test_where_there_is_no_other_domain_nothing_is_heard():
    layer = ScenarioAwareAttention(1)
    out = layer([np.ones((2, 1, 5)), np.ones((2, 3)), np.zeros(2)])
    np.testing.assert_array_equal(out, np.zeros((2, 5)))


def test_an_unknown_domain_gets_the_mean_of_all_logits():
    layer = DomainTowers(3, (4,))
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    every = [layer([x, np.full(5, p)]).numpy() for p in range(3)]
    found = layer([x, np.full(5, 3)])
    close(found, np.mean(every, axis=0), terms=1_000)


def test_config_and_errors():
    for layer in (
        StackedExtraction(3, 1, 2, (4, 2), "tanh", 0.1, 0.2, True, True, True),
        SelectDomain(3),
        DomainTowers(3, (4, 2), "tanh", 0.1, 0.2, True, 5),
        ScenarioAwareAttention(3, "masked", True),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
    fields = zoo.fields(domain=True)
    with pytest.raises(ValueError, match="own experts, shared ones.*num_experts=0"):
        ple_domains(fields, zoo.TASKS, 1, 0, 0)
    with pytest.raises(ValueError, match="num_layers must be .*num_layers=0"):
        ple_domains(fields, zoo.TASKS, 0)
    with pytest.raises(ValueError, match="attend must be one of.*'all'"):
        hinet(fields, zoo.TASKS, attend="all")
    with pytest.raises(ValueError, match="towers must be one of.*'domain'"):
        hinet(fields, zoo.TASKS, towers="domain")
    for factory in (hinet, mmoe_domains, ple_domains):
        with pytest.raises(ValueError, match=f"{factory.__name__} needs exactly one"):
            factory(zoo.fields(), [Task("a")])
