"""DeepFM by FuxiCTR's `fit` until a validation AUC; prints seconds and AUCs."""

import json
import sys
import tempfile
import time
from pathlib import Path

from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.torch_utils import seed_everything
from fuxictr_blocks import DeepFM, feature_map

folder, sizes, target, seed = sys.argv[1:]
seed_everything(int(seed))
features = feature_map(json.loads(sizes), num_numbers=0)
checkpoints = Path(tempfile.mkdtemp())
(checkpoints / features.dataset_id).mkdir()
model = DeepFM(
    features,
    embedding_dim=10,
    embedding_regularizer=0.05,
    batch_norm=True,
    dropout_rates=0.2,
    early_stop_patience=100,
    model_root=str(checkpoints),
)
aucs: list[float] = []
validate = model.checkpoint_and_earlystop


def until_target(logs, **kwargs) -> None:
    validate(logs, **kwargs)
    aucs.append(float(logs["AUC"]))
    model._stop_training |= aucs[-1] >= float(target)


model.checkpoint_and_earlystop = until_target
train, valid = RankDataLoader(
    features,
    stage="train",
    train_data=str(Path(folder) / "train.npz"),
    valid_data=str(Path(folder) / "valid.npz"),
    batch_size=4096,
)
start = time.perf_counter()
model.fit(train, validation_data=valid, epochs=40)
print(json.dumps({"seconds": time.perf_counter() - start, "aucs": aucs}))
