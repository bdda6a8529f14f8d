"""Metrics on the whole catalogue, for early stopping."""

import keras
import numpy as np

from recsys.train.callbacks import CatalogueMetrics
from tests import zoo
from tests.close import close


def test_they_rank_the_whole_catalogue_and_can_stop_the_training():
    (entry,) = (e for e in zoo.ENTRIES if e.name == "youtube_dnn")
    model, users = entry.compiled(), zoo.rows(12, seed=2)
    rng = np.random.default_rng(0)
    relevant = [rng.choice(np.arange(1, 30), n % 4, replace=False) for n in range(12)]
    seen = [
        np.setdiff1d(row[row > 0], r)
        for row, r in zip(users["seen"], relevant, strict=True)
    ]
    metrics = CatalogueMetrics(users, relevant, exclude=seen, k=5)
    stop = keras.callbacks.EarlyStopping("val_recall@5", mode="max", min_delta=1)
    fit = model.fit(zoo.rows(32), epochs=9, callbacks=[metrics, stop], verbose=0)
    assert len(fit.history["val_recall@5"]) == len(fit.history["val_ndcg@5"]) == 2

    scores = model.user_model.predict(users, verbose=0) @ model.item_matrix().T
    recalls = []
    for row in range(12):
        allowed = np.setdiff1d(np.arange(1, 30), seen[row])
        best = allowed[np.argsort(-scores[row, allowed], kind="stable")][:5]
        if len(relevant[row]):
            recalls.append(np.isin(relevant[row], best).mean())
    close(fit.history["val_recall@5"][-1], np.mean(recalls))
