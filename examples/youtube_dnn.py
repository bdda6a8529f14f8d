"""YouTubeDNN on made-up sequences: what is watched next, out of the whole catalogue.

python -m examples.youtube_dnn
"""

import numpy as np

from recsys import Field
from recsys.match.youtube_dnn import youtube_dnn

ITEMS = 200

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    first = rng.integers(1, ITEMS, 5000)
    watched = (first[:, None] + np.arange(5)) % (ITEMS - 1) + 1  # a series, in order
    fields = [
        Field("video", vocabulary_size=ITEMS, dim=16, belong="item"),
        Field("watched", emb="video", length=4, belong="history"),
    ]
    model = youtube_dnn(fields, hidden_units=(64, 32), num_negatives=50)
    model.compile("adam")
    model.fit({"watched": watched[:, :4], "video": watched[:, 4]}, epochs=10)

    users = {"watched": watched[:5, :4]}
    ids, _ = model.recommend(users, k=3, exclude=list(users["watched"]))
    for history, best in zip(users["watched"], ids, strict=True):
        print(f"watched {history}: next perhaps {best}")
