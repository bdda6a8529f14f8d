"""DeepFM of FuxiCTR's blocks, trained by FuxiCTR's own `train_step` and Adam."""

from collections import OrderedDict

import torch
import worker
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel

ids, numbers, labels, sizes = worker.rows()
features = FeatureMap("rows", ".")
features.features = OrderedDict(
    [
        (f"c{i}", {"type": "categorical", "vocab_size": int(size), "source": ""})
        for i, size in enumerate(sizes)
    ]
    + [(f"n{i}", {"type": "numeric", "source": ""}) for i in range(numbers.shape[1])]
)
features.labels = ["label"]
features.num_fields = features.get_num_fields()
features.default_emb_dim = worker.DIM


class DeepFM(BaseModel):
    def __init__(self) -> None:
        super().__init__(features, verbose=0, model_root=".", metrics=["AUC"])
        self.embedding = FeatureEmbedding(features, worker.DIM)
        self.fm = FactorizationMachine(features)
        self.mlp = MLP_Block(
            input_dim=worker.DIM * features.num_fields,
            hidden_units=list(worker.UNITS),
            output_dim=1,
        )
        self._max_gradient_norm = 10.0  # as `fit` sets it by default
        self.compile("adam", "binary_crossentropy", worker.LEARNING_RATE)
        self.reset_parameters()
        self.train()

    def forward(self, inputs):
        x = self.get_inputs(inputs)
        embedded = self.embedding(x)
        logit = self.fm(x, embedded) + self.mlp(embedded.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logit)}


model = DeepFM()
columns = {
    name: torch.from_numpy(column)
    for name, column in worker.columns(ids.astype("int64"), numbers).items()
}
columns["label"] = torch.from_numpy(labels)


def step(batch: int) -> float:
    rows = slice(batch * worker.BATCH, (batch + 1) * worker.BATCH)
    return model.train_step({name: c[rows] for name, c in columns.items()}).item()


worker.serve(worker.in_steps(step, len(labels)))
