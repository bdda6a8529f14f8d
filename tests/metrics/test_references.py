"""Against other people's code: trec_eval, ranx, torchmetrics.

scikit-learn is used in each metric's own tests.
"""

import numpy as np
import pytest

from recsys import metrics
from tests.close import close


def queries(seed, num_queries=30, catalogue=40, length=15):
    """Relevant items with grades, some in no list, and lists of distinct scores."""
    rng = np.random.default_rng(seed)
    relevant, ranked = [], []
    for _ in range(num_queries):
        items = rng.choice(catalogue, rng.integers(1, 9), replace=False)
        relevant.append({int(item): int(rng.integers(1, 4)) for item in items})
        ranked.append(rng.choice(catalogue, length, replace=False))
    lengths = [len(grades) for grades in relevant]
    csr = (
        np.cumsum([0, *lengths]),
        [item for grades in relevant for item in grades],
        [grade for grades in relevant for grade in grades.values()],
    )
    qrels = {
        f"q{q}": {f"d{i:03}": g for i, g in grades.items()}
        for q, grades in enumerate(relevant)
    }
    run = {
        f"q{q}": {f"d{i:03}": float(length - j) for j, i in enumerate(items)}
        for q, items in enumerate(ranked)
    }
    return csr, np.array(ranked), qrels, run


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_equals_trec_eval(k):
    import pytrec_eval

    csr, ranked, qrels, run = queries(k)
    names = {
        f"map_cut_{k}": metrics.mean_average_precision(csr, ranked, k=k, capped=False),
        f"ndcg_cut_{k}": metrics.ndcg(csr, ranked, k=k, gain="linear"),
        f"recall_{k}": metrics.recall(csr, ranked, k=k),
        f"P_{k}": metrics.precision(csr, ranked, k=k),
        f"success_{k}": metrics.hit_rate(csr, ranked, k=k),
        "recip_rank": metrics.mrr(csr, ranked),
        "map": metrics.mean_average_precision(csr, ranked),
    }
    measures = {
        name.rsplit("_", 1)[0] + f".{k}" if name[-1].isdigit() else name
        for name in names
    }
    each = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run).values()
    for name, value in names.items():
        wanted = np.mean([query[name] for query in each])
        close(value, wanted)


def test_pessimistic_ties_are_trec_evals_where_the_relevant_have_smaller_ids():
    import pytrec_eval

    rng = np.random.default_rng(0)
    label, score = np.repeat([1, 0], [3, 7]), rng.integers(0, 3, 10).astype(float)
    ids = [f"d{i}" for i in range(10)]  # of equals trec_eval puts the greater id first
    run = {"q": dict(zip(ids, score, strict=True))}
    qrels = {"q": dict(zip(ids, label.tolist(), strict=True))}
    measures = {"ndcg_cut.4", "map_cut.4", "recip_rank"}
    wanted = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)["q"]
    given = {"groups": np.zeros(10), "ties": "pessimistic"}
    close(metrics.ndcg(label, score, k=4, **given), wanted["ndcg_cut_4"])
    close(
        metrics.mean_average_precision(label, score, k=4, capped=False, **given),
        wanted["map_cut_4"],
    )
    close(metrics.mrr(label, score, **given), wanted["recip_rank"])


@pytest.mark.filterwarnings("ignore")  # ranx compiles itself, with warnings
def test_equals_ranx():
    import ranx

    k = 5
    csr, ranked, qrels, run = queries(0)
    names = {
        f"map@{k}": metrics.mean_average_precision(csr, ranked, k=k, capped=False),
        f"ndcg@{k}": metrics.ndcg(csr, ranked, k=k, gain="linear"),
        f"ndcg_burges@{k}": metrics.ndcg(csr, ranked, k=k),
        f"recall@{k}": metrics.recall(csr, ranked, k=k),
        f"precision@{k}": metrics.precision(csr, ranked, k=k),
        f"hit_rate@{k}": metrics.hit_rate(csr, ranked, k=k),
        f"mrr@{k}": metrics.mrr(csr, ranked, k=k),
    }
    wanted = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), list(names))
    for name, value in names.items():
        close(value, wanted[name], terms=10**6, dtype="float64")


@pytest.mark.all
@pytest.mark.filterwarnings("ignore")
def test_equals_torchmetrics():
    import torch
    import torchmetrics

    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1000)
    p = rng.random(1000).astype("float32")
    group = np.sort(rng.integers(0, 40, 1000))
    label[group < 3] = 0
    y, s, g = (torch.tensor(each) for each in (label, p, group))
    of_bins = torchmetrics.classification.BinaryCalibrationError
    retrieval = torchmetrics.retrieval
    skip = {"empty_target_action": "skip"}
    for value, metric, arguments in [
        (
            metrics.auc(label, p),
            torchmetrics.classification.BinaryAUROC(thresholds=None),
            (s, y),
        ),
        (
            metrics.average_precision(label, p),
            torchmetrics.classification.BinaryAveragePrecision(thresholds=None),
            (s, y),
        ),
        (
            metrics.ece(label, p, bins=15, strategy="uniform"),
            of_bins(n_bins=15, norm="l1"),
            (s, y),
        ),
        (
            metrics.mce(label, p, bins=15, strategy="uniform"),
            of_bins(n_bins=15, norm="max"),
            (s, y),
        ),
        (
            metrics.ndcg(label, p, groups=group, k=5),
            retrieval.RetrievalNormalizedDCG(top_k=5, **skip),
            (s, y, g),
        ),
        (
            metrics.hit_rate(label, p, groups=group, k=5),
            retrieval.RetrievalHitRate(top_k=5, **skip),
            (s, y, g),
        ),
        (
            metrics.mrr(label, p, groups=group),
            retrieval.RetrievalMRR(**skip),
            (s, y, g),
        ),
        (
            metrics.recall(label, p, groups=group, k=5),
            retrieval.RetrievalRecall(top_k=5, **skip),
            (s, y, g),
        ),
    ]:
        wanted = float(metric(*arguments))
        close(value, wanted, terms=1_000)
