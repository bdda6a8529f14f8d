"""DeepFM of FuxiCTR's blocks, trained by FuxiCTR's own `train_step` and Adam."""

import torch
import worker
from fuxictr_blocks import DeepFM, feature_map

ids, numbers, labels, sizes = worker.rows()
named = {f"c{i}": size for i, size in enumerate(sizes)}
model = DeepFM(feature_map(named, numbers.shape[1]), worker.DIM)
columns = {
    name: torch.from_numpy(column)
    for name, column in worker.columns(ids.astype("int64"), numbers).items()
}
columns["label"] = torch.from_numpy(labels)


def step(batch: int) -> float:
    rows = slice(batch * worker.BATCH, (batch + 1) * worker.BATCH)
    return model.train_step({name: c[rows] for name, c in columns.items()}).item()


worker.serve(worker.in_steps(step, len(labels)))
