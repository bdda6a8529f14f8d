"""Every streaming metric equals its function, on the backend that is set."""

import inspect
import re

import keras
import numpy as np
import pytest

from recsys import metrics
from recsys.metrics.streaming.exact import RowMetric
from tests.close import close

BACKEND = keras.backend.backend()

# class, its options, function, its options, what the scores are, relative error
SAME = {
    "AUC": ({}, metrics.auc, {}, "logits", 0),
    "RelaImpr": (
        {"auc_base": 0.6},
        lambda y, s, **w: metrics.rela_impr(metrics.auc(y, s, **w), 0.6),
        {},
        "logits",
        0,
    ),
    "AveragePrecision": ({}, metrics.average_precision, {}, "logits", 0),
    "BinnedAUC": (
        {"bins": 200},
        lambda y, s, **w: metrics.binned_auc(y, s, bins=200, **w).auc,
        {},
        "logits",
        1e-6,
    ),
    "BrierScore": ({}, metrics.brier_score, {}, "p", 1e-6),
    "PCOC": ({}, metrics.pcoc, {}, "p", 1e-6),
    "COPC": ({}, metrics.copc, {}, "p", 1e-6),
    "CalibrationBias": ({}, metrics.calibration_bias, {}, "p", 1e-4),
    "ECE": ({"bins": 7}, metrics.ece, {"bins": 7}, "p", 0),
    "MCE": (
        {"strategy": "uniform"},
        metrics.mce,
        {"strategy": "uniform"},
        "p",
        0,
    ),
    "FieldECE": ({"group": "user"}, metrics.field_ece, {}, "p", 0),
    "NormalizedEntropy": (
        {"prior": 0.2},
        metrics.normalized_entropy,
        {"prior": 0.2},
        "p",
        1e-6,
    ),
    "LogLoss": ({}, metrics.log_loss, {}, "p", 1e-6),
    "Accuracy": ({"threshold": 0.4}, metrics.accuracy, {"threshold": 0.4}, "p", 1e-6),
    "F1Score": ({"threshold": 0.4}, metrics.f1_score, {"threshold": 0.4}, "p", 1e-6),
    "GAUC": (
        {"group": "user", "weight_by": "clicks"},
        metrics.gauc,
        {"weight_by": "clicks"},
        "logits",
        0,
    ),
    "HitRate": ({"group": "user", "k": 3}, metrics.hit_rate, {"k": 3}, "logits", 0),
    "Recall": (
        {"group": "user", "k": 3, "capped": True},
        metrics.recall,
        {"k": 3, "capped": True},
        "logits",
        0,
    ),
    "Precision": ({"group": "user", "k": 2}, metrics.precision, {"k": 2}, "logits", 0),
    "F1": ({"group": "user", "k": 2}, metrics.f1, {"k": 2}, "logits", 0),
    "MRR": (
        {"group": "user", "ties": "pessimistic"},
        metrics.mrr,
        {"ties": "pessimistic"},
        "logits",
        0,
    ),
    "MeanAveragePrecision": (
        {"group": "user", "k": 4, "capped": False},
        metrics.mean_average_precision,
        {"k": 4, "capped": False},
        "logits",
        0,
    ),
    "NDCG": (
        {"group": "user", "k": 4, "gain": "linear", "empty": "zero"},
        metrics.ndcg,
        {"k": 4, "gain": "linear", "empty": "zero"},
        "logits",
        0,
    ),
}


# Arguments of classes and their functions, those that have to be and one more.
NEEDED = {
    "k": 3,
    "threshold": 0.4,
    "group": "user",
    "auc_base": 0.6,
    "catalogue": np.arange(16),
    "vectors": np.random.default_rng(3).normal(size=(12, 3)),
    "categories": np.arange(12) % 4,
    "counts": np.arange(12)[::-1] ** 2,
}
OF_SAME_NAME = {
    name: function
    for name in metrics.__all__
    if isinstance(kind := getattr(metrics, name), type)
    and issubclass(kind, keras.metrics.Metric)
    and (
        function := getattr(
            metrics, re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), None
        )
    )
}


def required(call):
    """What must be given to a class or function, out of `NEEDED`."""
    signature = inspect.signature(call).parameters
    return {name: value for name, value in NEEDED.items() if name in signature}


@pytest.mark.parametrize("name", OF_SAME_NAME)
def test_the_class_used_by_hand_agrees_with_the_function_of_its_name(name):
    """Other options are at their defaults; rows have probabilities, lists have ids."""
    kind, function = getattr(metrics, name), OF_SAME_NAME[name]
    metric, given = kind(**required(kind)), required(function)
    rng = np.random.default_rng(0)
    if "y_true" in inspect.signature(metric.update_state).parameters:
        p = rng.beta(1, 4, 300).astype("float32")
        rows = (rng.random(300) < p).astype("float32"), p
        user = rng.integers(0, 60, 300)
        if "groups" in inspect.signature(function).parameters:
            given["groups"] = user
        by_user = {"groups": user} if "group" in required(kind) else {}
        metric.update_state(*rows, **by_user)
        if name == "RelaImpr":  # of an area, not of rows
            rows = (metrics.auc(*rows),)
    else:
        rows = (np.stack([rng.permutation(12)[:5] for _ in range(30)]),)
        if name == "PopularityLift":
            rows = (*rows, (np.arange(31), rng.integers(0, 12, 30)))
        metric.update_state(*rows)
    wanted = function(*rows, **given)
    wanted = wanted.auc if name == "BinnedAUC" else wanted
    assert wanted not in (0, 1)
    close(metric.result(), wanted, terms=300)


def test_all_metrics_of_a_name_are_compared():
    assert len(OF_SAME_NAME) == 32 and {"LogLoss", "NormalizedEntropy"} < {
        *OF_SAME_NAME
    }


@pytest.mark.parametrize("kind", [metrics.LogLoss, metrics.NormalizedEntropy])
def test_logits_have_an_argument_of_their_own_as_in_the_function(kind):
    label, z, weight, _ = make_rows()
    function = OF_SAME_NAME[kind.__name__]
    apart, outputs = kind(), kind(from_logits=True)
    apart.update_state(label, sample_weight=weight, logits=z)
    outputs.update_state(label, z, weight)
    wanted = function(label, logits=z, sample_weight=weight)
    close([apart.result(), outputs.result()], [wanted] * 2, terms=len(z))
    for given in ({}, {"y_pred": z, "logits": z}):
        with pytest.raises(ValueError, match="takes either y_pred or logits"):
            kind().update_state(label, **given)


def test_by_takes_one_kind_of_scores():
    metric = metrics.By("domain", ["log_loss"], capacity=9)
    metric.update_state([1, 0], [0.8, 0.5], by=[3, 3])
    close(metric.result()["log_loss_domain_3"], metrics.log_loss([1, 0], [0.8, 0.5]))
    with pytest.raises(ValueError, match="probabilities in all batches, or logits"):
        metric.update_state([1], by=[3], logits=[2.0])
    metric = metrics.By("domain", ["log_loss"], capacity=9)
    metric.update_state([1], by=[3], logits=[2.0])
    close(metric.result()["log_loss_domain_3"], np.log1p(np.exp(-2)))


def make(name):
    kind = getattr(metrics, name)
    small = {"capacity": 600} if issubclass(kind, RowMetric) else {}
    return kind(**SAME[name][0], **small)


def make_rows(num_rows=503):
    rng = np.random.default_rng(0)
    label = (rng.random(num_rows) < 0.3).astype("float32")
    label[rng.random(num_rows) < 0.1] = np.nan
    z = rng.normal(size=num_rows).astype("float32").round(1)
    weight = rng.choice([0, 0.5, 1, 2], num_rows).astype("float32")
    return label, z, weight, rng.integers(0, 60, num_rows)


@pytest.mark.parametrize("name", SAME)
def test_equals_the_function(name):
    label, z, weight, group = make_rows()
    _, function, options, of, error = SAME[name]
    score = z if of == "logits" else (1 / (1 + np.exp(-z))).astype("float32")
    plain, weighted = make(name), make(name)
    assert plain.from_logits == (of == "logits")
    grouped = getattr(plain, "group", None) is not None
    for start in range(0, len(label), 100):
        batch = slice(start, start + 100)
        groups = {"groups": group[batch]} if grouped else {}
        plain.update_state(label[batch], score[batch, None], **groups)
        weighted.update_state(
            label[batch, None], score[batch], weight[batch, None], **groups
        )
    groups = {"groups": group} if grouped else {}
    for metric, w in ((plain, None), (weighted, weight)):
        wanted = function(label, score, sample_weight=w, **groups, **options)
        assert 0 != wanted
        assert abs(float(metric.result()) - wanted) <= error * abs(wanted)
    plain.reset_state()
    empty = float(plain.result())
    assert np.isnan(empty) or (name == "CalibrationBias" and empty == 0)


@pytest.mark.parametrize("name", SAME)
def test_config_round_trip(name):
    metric = make(name)
    config = keras.saving.serialize_keras_object(metric)
    assert config["registered_name"] == f"recsys>{name}"
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    for option, value in SAME[name][0].items():
        assert getattr(copy, option) == value


def test_every_class_is_in_the_table():
    from recsys.metrics import streaming

    assert set(streaming.__all__) == {*SAME, "By", *OF_LISTS}
    assert set(streaming.__all__) <= set(metrics.__all__)


def test_binned_auc_has_a_bound():
    label, z, weight, _ = make_rows()
    metric = metrics.BinnedAUC(bins=100)
    metric.update_state(label, z, weight)
    wanted = metrics.binned_auc(label, z, sample_weight=weight, bins=100)
    close(metric.error(), wanted.error)
    exact = metrics.auc(label, z, sample_weight=weight)
    assert abs(metric.result() - exact) <= metric.error()
    metric.update_state([1.0], [np.nan])
    assert np.isnan(metric.result())


@pytest.mark.parametrize(
    "name", [name for name, row in SAME.items() if row[3] == "p" and row[4]]
)
def test_what_is_no_probability_is_no_number(name):
    metric = make(name)
    metric.update_state([0, 1, 1], [0.5, np.nan, 0.5])
    assert np.isnan(float(metric.result()))


def test_undefined():
    for metric in (metrics.PCOC(), metrics.F1Score(0.5), metrics.NormalizedEntropy()):
        metric.update_state([0.0, 0.0], [0.1, 0.2])
        assert np.isnan(float(metric.result())), metric.name


def test_names_say_where_lists_are_cut():
    assert metrics.NDCG("user", 10, capacity=9).name == "ndcg@10"
    assert metrics.MRR("user", capacity=9).name == "mrr"
    assert metrics.MRR("user", capacity=9, name="mine").name == "mine"


@pytest.mark.parametrize("from_logits", [True, False])
def test_by(from_logits):
    label, z, weight, group = make_rows()
    score = z if from_logits else (1 / (1 + np.exp(-z))).astype("float32")
    domain = group % 3
    label[domain == 2] = 1  # one class
    names = ["auc", "gauc", "log_loss", "pcoc", "ndcg@3"]
    metric = metrics.By("domain", names, "user", from_logits, capacity=600)
    for start in range(0, len(label), 100):
        b = slice(start, start + 100)
        metric.update_state(
            label[b], score[b], weight[b], groups=group[b], by=domain[b]
        )
    result = metric.result()
    p = 1 / (1 + np.exp(-z.astype("float64"))) if from_logits else score
    for name, function, scores, options in [
        ("auc", metrics.auc, score, {}),
        ("gauc", metrics.gauc, score, {"groups": group}),
        ("log_loss", metrics.log_loss, p, {}),
        ("pcoc", metrics.pcoc, p, {}),
        ("ndcg@3", metrics.ndcg, score, {"groups": group, "k": 3}),
    ]:
        table = metrics.breakdown(
            function, label, scores, by=domain, sample_weight=weight, **options
        )
        for each, value in table.values.items():
            close(result[f"{name}_domain_{each}"], value, terms=10)
        close(result[f"{name}_domain_macro"], table.macro())
        close(result[f"{name}_domain_weighted"], table.weighted())
        assert result[f"{name}_domain_skipped"] == (name in ("auc", "gauc"))
    copy = metrics.By.from_config(metric.get_config())
    assert copy.get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.By("d", ["gauc"]), "'gauc' needs a `group`"),
        (lambda: metrics.By("d", ["auk"]), "A metric must be one of.*'auk'"),
        (lambda: metrics.By("d", ["auc@3"]), "'auc@3'"),
        (lambda: metrics.NDCG("u", 1.5), "NDCG: k must be an integer.*k=1.5"),
        (lambda: metrics.NDCG("u", 0), "NDCG: k must be an integer of at least 1"),
        (lambda: metrics.NDCG("u", gain="log"), "gain must be one of"),
        (lambda: metrics.MRR("u", ties="row"), "MRR: ties must be one of"),
        (lambda: metrics.ECE(0), "bins must be an integer of at least 1"),
        (lambda: metrics.AveragePrecision("line"), "interpolation must be one of"),
        (lambda: metrics.NormalizedEntropy(1.0), r"prior must be in \(0, 1\)"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_breakdown_needs_its_column():
    with pytest.raises(ValueError, match=r"update_state\(..., by=x\['domain'\]\)"):
        metrics.By("domain", capacity=9).update_state([0, 1], [0.1, 0.2])


# class, name of its table, table, further options
COUNTS = np.array([0, 0, 50, 30, 0, 15, 0, 0, 4, 1])
OF_LISTS = {
    "Coverage": (metrics.coverage, {"catalogue": np.arange(2, 10)}),
    "Gini": (metrics.gini, {"catalogue": np.arange(2, 10)}),
    "ExposureEntropy": (metrics.exposure_entropy, {"catalogue": np.arange(2, 10)}),
    "IntraListDistance": (
        metrics.intra_list_distance,
        {"vectors": np.random.default_rng(0).normal(size=(10, 3))},
    ),
    "CategoryDistance": (metrics.category_distance, {"categories": COUNTS % 3}),
    "Novelty": (metrics.novelty, {"counts": COUNTS, "reserved": 2}),
    "AveragePopularity": (metrics.average_popularity, {"counts": COUNTS}),
    "LongTailShare": (metrics.long_tail_share, {"counts": COUNTS}),
    "PopularityLift": (metrics.popularity_lift, {"counts": COUNTS}),
}


@pytest.mark.parametrize("name", OF_LISTS)
def test_of_lists_equals_the_function(name):
    rng = np.random.default_rng(0)
    ranked = np.array([rng.permutation(np.arange(2, 10))[:4] for _ in range(25)])
    ranked[::5, 1:] = -1
    ranked[3] = -1
    function, options = OF_LISTS[name]
    metric = getattr(metrics, name)(**options, k=3)
    history = np.arange(0, 51, 2), rng.integers(2, 10, 50)
    for start in range(0, 25, 10):
        batch = slice(start, start + 10)
        more = ()
        if name == "PopularityLift":
            offsets = history[0][start : min(start + 10, 25) + 1]
            more = ((offsets - offsets[0], history[1][offsets[0] : offsets[-1]]),)
        metric.update_state(ranked[batch], *more)
    more = (history,) if name == "PopularityLift" else ()
    wanted = function(ranked, *more, k=3, **options)
    close(float(metric.result()), wanted, terms=100)
    config = keras.saving.serialize_keras_object(metric)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == metric.get_config() and copy.name == metric.name
    assert name.lower() == metric.name.replace("_", "")
    metric.reset_state()
    assert np.isnan(float(metric.result())) or name == "Coverage"
