"""PEPNet on made-up rows: three tasks, three domains, one network.

python -m examples.pepnet
"""

import keras
import numpy as np

from recsys import Field, Task
from recsys.multidomain.pepnet import pepnet

DOMAINS = 3
TASKS = [Task("click"), Task("like"), Task("share")]


def create_model() -> keras.Model:
    """Six columns, of whom each belongs to somebody."""
    fields = [
        Field("user_id", vocabulary_size=100, dim=8),
        Field("item_id", vocabulary_size=50, dim=8, belong="item"),
        Field("seen", emb="item_id", length=20, belong="history"),
        Field("hour", vocabulary_size=24, belong="context"),
        Field("domain_id", vocabulary_size=DOMAINS, belong="domain"),
        Field("domain_ctr", belong="domain", dtype="float32"),
    ]
    return pepnet(fields, TASKS, [64, 32], history_agg="attention")


def create_dataset(
    rows: int = 2000, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Users like items of their own parity, in the last domain the other way round."""
    rng = np.random.default_rng(seed)
    x = {
        "user_id": rng.integers(0, 100, rows),
        "item_id": rng.integers(1, 50, rows),
        "seen": rng.integers(0, 50, (rows, 20)),
        "hour": rng.integers(0, 24, rows),
        "domain_id": rng.integers(0, DOMAINS, rows),
        "domain_ctr": rng.random(rows),
    }
    likes = (x["user_id"] + x["item_id"]) % 2 == (x["domain_id"] == DOMAINS - 1)
    labels = {
        task.name: (likes & (rng.random(rows) < share)).astype("float32")
        for task, share in zip(TASKS, (0.9, 0.6, 0.3), strict=True)
    }
    return x, labels


if __name__ == "__main__":
    model = create_model()
    x, labels = create_dataset()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, labels, batch_size=64, epochs=5)
    print({task: p[:3, 0] for task, p in model.predict(x, verbose=0).items()})
