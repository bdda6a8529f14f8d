"""Callbacks: what Keras has not."""

from typing import Any

import keras

from recsys._face import public_face
from recsys.train.evaluation import evaluate
from recsys.train.resume_file import Resume

__all__ = ["CatalogueMetrics", "Resume"]


class CatalogueMetrics(keras.callbacks.Callback):
    """Ranks the whole catalogue for held-out users after every epoch.

    Adds `val_recall@k` and `val_ndcg@k` to the logs of a match model, so that history,
    progress bar and the callbacks behind it in the list see them:

        seen = CatalogueMetrics(users, relevant, exclude=watched, k=50)
        stop = keras.callbacks.EarlyStopping("val_recall@50", mode="max", patience=2)
        model.fit(x, callbacks=[seen, stop])

    Args:
        users: Columns of the user model, one row for each user, or a frame.
        relevant: What each user should get: a list with one array of item ids for
            each user, or `(offsets, ids)`. Users without any are skipped; an item that
            training has not seen (id 1) is a miss, see `evaluate`.
        exclude: Items a user must not get, e.g. those already seen, alike.
        k: Length of a list.

    Reference:
        Krichene and Rendle, KDD 2020: metrics on a sample of the catalogue can rank
        models in the wrong order.
    """

    def __init__(self, users: Any, relevant: Any, *, exclude: Any = None, k: int = 50):
        super().__init__()
        self.users = users
        self.relevant = relevant
        self.exclude = exclude
        self.k = k

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the metrics to `logs`."""
        values = evaluate(
            self.model,
            self.relevant,
            users=self.users,
            exclude=self.exclude,
            k=self.k,
            metrics=("recall", "ndcg"),
        )
        logs = {} if logs is None else logs
        logs.update({f"val_{name}": value for name, value in values.items()})


public_face(__name__)
