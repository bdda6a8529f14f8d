"""Arguments have one word each; the old ones are taken where they were."""

from pathlib import Path

import keras
import pytest

from recsys import Task
from recsys.feature._names import OLD_NAMES
from recsys.layers.mlp import Tower
from recsys.layers.table import DenseEmbedding
from recsys.multitask.ple import ple
from recsys.rank.din import din
from tests import zoo


def test_a_layer_takes_both():
    old, new = Tower((3,), dropout_rate=0.5), Tower((3,), dropout=0.5)
    assert old.dropout == new.dropout == 0.5
    config = {**new.get_config(), "name": "old"}
    assert "dropout_rate" not in config
    config["dropout_rate"] = config.pop("dropout")  # as files of before have it
    assert Tower.from_config(config).dropout == 0.5
    assert DenseEmbedding(2, vocab_size=0).vocabulary_size == 0


def test_a_users_own_layer_keeps_its_words():
    class Mine(Tower):
        def __init__(self, dropout_rate, **kwargs):
            super().__init__((3,), dropout=dropout_rate, **kwargs)
            self.dropout_rate = dropout_rate

    assert Mine(dropout_rate=0.25).dropout == 0.25


def test_a_factory_takes_both():
    tasks, fields = [Task("a"), Task("b")], zoo.fields()
    models = [ple(fields, tasks, **{name: 2}) for name in ("num_layer", "num_layers")]
    assert len({model.count_params() for model in models}) == 1
    keras.utils.clear_session()
    assert ple(fields, tasks).count_params() < models[0].count_params()
    with pytest.raises(ValueError, match=r"dropout must be .*Received: dropout=-1"):
        din(fields, Task("a"), dropout_rate=-1)


def test_both_at_once_are_one_too_many():
    with pytest.raises(TypeError, match="ple has no argument 'num_layer'"):
        ple(zoo.fields(), [Task("a"), Task("b")], num_layer=1, num_layers=2)


def test_old_words_are_nowhere_in_signatures():
    public = Path(__file__).with_name("api.txt").read_text()
    for name in OLD_NAMES:
        assert f"{name}=" not in public and f"{name}," not in public
