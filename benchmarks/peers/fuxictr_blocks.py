"""DeepFM made of FuxiCTR's blocks, as its model zoo makes it."""

from collections import OrderedDict

from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel


def feature_map(sizes: dict[str, int], num_numbers: int) -> FeatureMap:
    """Fields of ids by name, each with the size of its table, and numbers `n0`, ..."""
    features = FeatureMap("rows", ".")
    ids = {
        name: {"type": "categorical", "vocab_size": size, "source": ""}
        for name, size in sizes.items()
    }
    numbers = {f"n{i}": {"type": "numeric", "source": ""} for i in range(num_numbers)}
    features.features = OrderedDict({**ids, **numbers})
    features.labels = ["label"]
    features.num_fields = features.get_num_fields()
    features.set_column_index()
    return features


class DeepFM(BaseModel):
    def __init__(
        self,
        features: FeatureMap,
        embedding_dim: int,
        batch_norm: bool = False,
        dropout_rates: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(
            features, verbose=0, metrics=["AUC"], **{"model_root": ".", **kwargs}
        )
        features.default_emb_dim = embedding_dim
        self.embedding = FeatureEmbedding(features, embedding_dim)
        self.fm = FactorizationMachine(features)
        self.mlp = MLP_Block(
            input_dim=embedding_dim * features.num_fields,
            hidden_units=[400, 400, 400],
            output_dim=1,
            batch_norm=batch_norm,
            dropout_rates=dropout_rates,
        )
        self._max_gradient_norm = 10.0  # as `fit` sets it
        self.compile("adam", "binary_crossentropy", 0.001)
        self.reset_parameters()
        self.train()

    def forward(self, inputs):
        x = self.get_inputs(inputs)
        embedded = self.embedding(x)
        logit = self.fm(x, embedded) + self.mlp(embedded.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logit)}
