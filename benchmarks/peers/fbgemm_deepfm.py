"""DeepFM on FBGEMM's table-batched embeddings, row-wise Adagrad, and PyTorch's Adam.

A row holds the vector and the weight of the first order, padded to a width that FBGEMM
takes: one look-up serves both.
"""

import torch
import worker
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)

ids, numbers, labels, sizes = worker.rows()
num_tables, num_numbers, dim = len(sizes), numbers.shape[1], worker.DIM
width = dim + 4


class DeepFM(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = SplitTableBatchedEmbeddingBagsCodegen(
            [
                (int(size), width, EmbeddingLocation.HOST, ComputeDevice.CPU)
                for size in sizes
            ],
            optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
            learning_rate=0.05,
            device=torch.device("cpu"),
        )
        self.tables.init_embedding_weights_uniform(-0.05, 0.05)
        self.vectors = torch.nn.Parameter(0.05 * torch.randn(num_numbers, dim))
        self.linear = torch.nn.Linear(num_numbers, 1)
        widths = ((num_tables + num_numbers) * dim, *worker.UNITS)
        layers: list[torch.nn.Module] = []
        for i, o in zip(widths[:-1], widths[1:], strict=True):
            layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
        self.mlp = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))

    def forward(self, indices, offsets, x):
        rows = self.tables(indices, offsets).view(-1, num_tables, width)
        first = rows[:, :, dim].sum(1, keepdim=True) + self.linear(x)
        embedded = torch.cat([rows[:, :, :dim], x[:, :, None] * self.vectors], 1)
        pooled = embedded.sum(1)
        squares = (embedded * embedded).sum((1, 2))
        second = 0.5 * ((pooled * pooled).sum(1) - squares)
        return first[:, 0] + second + self.mlp(embedded.flatten(1))[:, 0]


model = DeepFM()
dense = [p for name, p in model.named_parameters() if not name.startswith("tables")]
optimizer = torch.optim.Adam(dense, worker.LEARNING_RATE, fused=True)
offsets = torch.arange(num_tables * worker.BATCH + 1)
all_numbers, all_labels = torch.from_numpy(numbers), torch.from_numpy(labels)
indices = [  # as FBGEMM reads them: table by table
    torch.from_numpy(ids[i : i + worker.BATCH].T.astype("int64").reshape(-1))
    for i in range(0, len(labels) - worker.BATCH + 1, worker.BATCH)
]


def step(batch: int) -> float:
    rows = slice(batch * worker.BATCH, (batch + 1) * worker.BATCH)
    optimizer.zero_grad()
    logit = model(indices[batch], offsets, all_numbers[rows])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, all_labels[rows])
    loss.backward()
    optimizer.step()
    return loss.item()


worker.serve(worker.in_steps(step, len(labels)))
