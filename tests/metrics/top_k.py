"""Top-k metrics of one list, from their definitions, item by item."""

import itertools
import math

import numpy as np


def hit_rate(grades, wanted, k):
    return float(any(grade > 0 for grade in grades[:k]))


def recall(grades, wanted, k, capped=False):
    hits = sum(grade > 0 for grade in grades[:k])
    return hits / (min(k, len(wanted)) if capped else len(wanted))


def precision(grades, wanted, k):
    return sum(grade > 0 for grade in grades[:k]) / k


def f1(grades, wanted, k):
    p, r = precision(grades, wanted, k), recall(grades, wanted, k)
    return 2 * p * r / (p + r) if p + r else 0.0


def mrr(grades, wanted, k):
    return next((1 / (j + 1) for j, grade in enumerate(grades[:k]) if grade > 0), 0.0)


def mean_average_precision(grades, wanted, k, capped=True):
    total = 0.0
    for j, grade in enumerate(grades[:k]):
        if grade > 0:
            total += sum(g > 0 for g in grades[: j + 1]) / (j + 1)
    return total / (min(k, len(wanted)) if capped else len(wanted))


def ndcg(grades, wanted, k, gain="exp2"):
    def dcg(grades):
        gains = [2**g - 1 if gain == "exp2" else g for g in grades[:k]]
        return sum(g / math.log2(j + 2) for j, g in enumerate(gains))

    return dcg(grades) / dcg(sorted(wanted, reverse=True))


ALL = {
    "hit_rate": hit_rate,
    "recall": recall,
    "precision": precision,
    "f1": f1,
    "mrr": mrr,
    "mean_average_precision": mean_average_precision,
    "ndcg": ndcg,
}


def orders(grades, scores):
    """All orders of a list by falling score: those of equal score in any order."""
    values = sorted(set(scores), reverse=True)
    blocks = [
        [g for g, s in zip(grades, scores, strict=True) if s == value]
        for value in values
    ]
    for parts in itertools.product(*(itertools.permutations(b) for b in blocks)):
        yield [grade for part in parts for grade in part]


def of_rows(metric, rows, k, pick="expected", **options):
    """Mean over groups; rows are (group, grade, score)."""
    values = []
    for group in sorted({row[0] for row in rows}):
        grades = [row[1] for row in rows if row[0] == group]
        scores = [row[2] for row in rows if row[0] == group]
        wanted = [grade for grade in grades if grade > 0]
        if wanted:
            cut = k or len(grades)
            if pick == "expected":
                each = [
                    metric(order, wanted, cut, **options)
                    for order in orders(grades, scores)
                ]
                values.append(np.mean(each))
            else:
                pairs = sorted(zip(scores, grades, strict=True), key=_worst_first)
                values.append(metric([g for _, g in pairs], wanted, cut, **options))
    return np.mean(values) if values else np.nan


def _worst_first(pair):
    score, grade = pair
    return -score, grade
