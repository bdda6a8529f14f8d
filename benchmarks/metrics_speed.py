"""How fast exact metrics are, beside one `numpy.argsort` of the scores.

    python benchmarks/metrics_speed.py [--rows 10000000] [--groups 1000000]

Rows are impressions of users, clicks are one in ten, scores are float32, and the rows
of a user are spread over the file. The limit is one sort: AUC cannot do without. The
loop over groups with scikit-learn is timed on a slice of the groups and extrapolated
by rows, as it says. Then, what a streaming metric costs in a step of 4096 rows,
compiled, beside `keras.metrics.AUC`: exact ones write into a buffer, and sort once,
at the end.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from recsys import metrics  # noqa: E402

BATCH, STEPS = 4096, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--slice", type=int, default=5_000, help="groups of the loop")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    group = random.integers(0, options.groups, options.rows)
    label = random.random(options.rows) < 0.1
    score = random.normal(size=options.rows).astype("float32") + label
    print(f"{options.rows:,} rows in {options.groups:,} groups")
    functions(label, score, group, options.slice)
    steps(label[: BATCH * 8], score[: BATCH * 8], group[: BATCH * 8])


def functions(label: Any, score: Any, group: Any, sliced: int) -> None:
    sort = best(lambda: np.argsort(score))

    def report(what: str, seconds: float, note: str = "") -> None:
        print(f"{what:<24}{seconds:9.3f} s{seconds / sort:9.2f} x argsort {note}")

    report("numpy.argsort", sort)
    report("auc", best(lambda: metrics.auc(label, score)), "(at most 2)")
    of_groups = best(lambda: metrics.gauc(label, score, groups=group))
    report("gauc", of_groups, "(at most 3)")
    for name in ("average_precision", "ndcg@10", "mean_average_precision@10"):
        metric = metrics.NamedMetric(name)
        report(name, best(lambda m=metric: m(label, score, groups=group), 1))
    probability = 1 / (1 + np.exp(-score))
    for name in ("log_loss", "ece"):
        metric = metrics.NamedMetric(name)
        report(name, best(lambda m=metric: m(label, probability), 1))

    chosen = group < sliced
    y, s, g = label[chosen], score[chosen], group[chosen]
    seconds = best(lambda: loop(y, s, g), 1) * len(label) / len(y)
    found, wanted = metrics.gauc(y, s, groups=g), loop(y, s, g)
    assert abs(found - wanted) < 1e-9, (found, wanted)
    report("scikit-learn loop", seconds, f"(from {len(y):,} rows)")
    print(f"gauc is {seconds / of_groups:.0f} times as fast as the loop (at least 50)")


def loop(label: Any, score: Any, group: Any) -> float:
    """GAUC as it is often written; the rows are sorted by group for it."""
    from sklearn.metrics import roc_auc_score

    order = np.argsort(group, kind="stable")
    label, score, group = label[order], score[order], group[order]
    top = bottom = 0.0
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(group)], strict=True):
        y = label[start:end]
        if 0 < y.sum() < len(y):
            top += len(y) * roc_auc_score(y, score[start:end])
            bottom += len(y)
    return top / bottom


def steps(label: Any, score: Any, group: Any) -> None:
    """Milliseconds of an update of each streaming metric."""
    import keras
    import tensorflow as tf

    p = 1 / (1 + np.exp(-score))
    kinds = {
        "keras.metrics.AUC": (keras.metrics.AUC(), p, False),
        "AUC": (metrics.AUC(), score, False),
        "GAUC": (metrics.GAUC("user"), score, True),
        "NDCG": (metrics.NDCG("user", 10), score, True),
        "BinnedAUC": (metrics.BinnedAUC(), score, False),
        "LogLoss": (metrics.LogLoss(from_logits=True), score, False),
        "PCOC": (metrics.PCOC(), p, False),
        "ECE": (metrics.ECE(), p, False),
    }
    batches = [slice(i * BATCH, (i + 1) * BATCH) for i in range(len(label) // BATCH)]
    for name, (metric, scores, grouped) in kinds.items():

        @tf.function
        def update(y: Any, s: Any, g: Any, metric: Any = metric, grouped=grouped):
            metric.update_state(y, s, **({"groups": g} if grouped else {}))

        data = [
            tuple(
                tf.constant(column[b])
                for column in (label.astype("float32"), scores, group)
            )
            for b in batches
        ]
        update(*data[0])
        metric.reset_state()

        def run(update: Any = update, data: Any = data) -> None:
            for i in range(STEPS):
                update(*data[i % len(data)])

        milliseconds = best(run, 1) / STEPS * 1000
        held = sum(np.prod(v.shape) * v.value.dtype.size for v in metric.variables)
        print(f"{name:<24}{milliseconds:9.3f} ms a step{held / 2**20:9.1f} MiB")


def best(work: Callable[[], Any], times: int = 3) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
