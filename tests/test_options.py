"""Options that all models share: dropout, and the penalty of weights."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import zoo
from tests.close import close

pytestmark = pytest.mark.all

DROPPED = [
    pytest.param(entry, name, id=f"{entry.name}-{name}")
    for entry in zoo.ENTRIES
    for name in entry.arguments()
    if "dropout" in name
]
WITHOUT_MLP = {"autoint", "gwpfm", "rankmixer"}
"""Their dropout and `l2_reg` are of an MLP that they have only if asked for."""

MLP = r"dnn_mlp/dense_\d/kernel"
TOWERS = r"dnn_tower_\w+/dense_\d/kernel"
GATES = r"dnn_(level_\d_)?gate_\w+/gate/scores/kernel"
DOMAINS = r"dnn_tower_\w+/domain_towers/kernel_\d"
SIDES = r"dnn_(user|item)/dense_\d/kernel"
PENALISED = {
    "adaf2m2": r"dnn_multi_forward/dnn_mlp/dense_\d/kernel",
    "adaptdhm": r"dnn_star/dense_\d/(domain_)?kernel",
    "adatt": rf"dnn_level_\d_experts_\w+/kernel_\d|{GATES}|{TOWERS}",
    "afm": r"dnn_attention/hidden/kernel",
    "aitm": r"dnn_(bottom|transfer)_\w+/dense_\d/kernel",
    "ame": rf"dnn_experts_\d/kernel_\d|{GATES}|{TOWERS}",
    "autoint": r"dnn_attention_\d/(key|query|residual|value)",
    "dat": SIDES,
    "dcn": rf"dnn_cross/cross_\d/kernel|{MLP}",
    "dcn_mix": rf"dnn_cross/cross_\d/(c|gate|u|v)|{MLP}",
    "dcnv3": r"dnn_(exponential|linear)/cross_\d/kernel",
    "deep_crossing": r"dnn_residual_\d/(inner|outer)/kernel",
    "dlrm": r"dnn_(bottom|top)_mlp/dense_\d/kernel",
    "edcn": r"dnn_cross_\d/kernel|dnn_deep_\d/dense_\d/kernel",
    "epnet": rf"dnn_epnet/gate/dense_\d/kernel|{TOWERS}",
    "escm2": TOWERS,
    "esmm": TOWERS,
    "eulernet": r"dnn_euler_\d/kernel",
    "finalmlp": r"dnn_gate_\d/(gate|mlp/dense_\d)/kernel|dnn_mlp_\d/dense_\d/kernel",
    "finalnet": r"dnn_stack_\d_\d/dense/kernel",
    "gdcn": rf"dnn_cross/cross_\d/(gate|kernel)|{MLP}",
    "hinet": r"dnn_(cgc|scenario|shared)/((domain_)?experts/kernel_\d|domain_gate)|"
    rf"{DOMAINS}",
    "hmoe": r"dnn_mlp_\w+_\d/dense_\d/kernel",
    "home": r"dnn_experts_\w+/kernel_\d|dnn_feature_gate_\w+/(down|up)|"
    rf"{GATES}|{TOWERS}",
    "m2m": r"dnn_experts/kernel_\d|dnn_scenario/dense_\d/kernel|"
    r"dnn_meta_(attention/unit|tower/unit_\d)/kernel_(of_scenario_)?\d",
    "masknet": rf"dnn_block_\d/(aggregate|dense|project)/kernel|{MLP}",
    "mmoe": rf"dnn_experts/kernel_\d|{GATES}|{TOWERS}",
    "mmoe_domains": rf"dnn_experts/(domain_gate|experts/kernel_\d)|{DOMAINS}",
    "ncf": r"dnn_score/mlp/dense_\d/kernel",
    "pepnet": r"dnn_epnet/gate/dense_\d/kernel|"
    r"dnn_ppnet/(dense_\d_\d|gate_\d/dense_\d)/kernel",
    "ple": rf"dnn_level_\d_experts_\w+/kernel_\d|{GATES}|{TOWERS}",
    "ple_domains": r"dnn_level_\d/((domain_)?experts/kernel_\d|domain_gate)|"
    rf"{DOMAINS}",
    "ppnet": r"dnn_ppnet/(dense_\d_\d|gate_\d/dense_\d)/kernel",
    "shared_bottom": rf"dnn_bottom/dense_\d/kernel|{TOWERS}",
    "sim": rf"dnn_search_mlp_default/dense_\d/kernel|{MLP}",
    "star": r"dnn_aux/dense_\d/kernel|dnn_star/dense_\d/(domain_)?kernel",
    "stem": r"dnn_level_\d_experts_\w+/kernel_\d|"
    rf"dnn_level_\d_gate_\w+/gate/mlp/dense_\d/kernel|{GATES}|{TOWERS}",
    "two_tower": SIDES,
    "xdeepfm": rf"dnn_cin/kernel_\d|{MLP}",
}
"""Paths of the weights that `l2_reg` is of, where they are not those of one MLP: as the
docstrings say, hidden layers, experts and gates, but no logits, tables or histories.
That of lightgcn is of rows of its table, see `tests/match/test_lightgcn.py`."""


def _twin(entry, model=None, **options):
    """A model without chance but for the options, with the weights of another."""
    keras.utils.set_random_seed(1)
    twin = entry.build(**{**entry.without_chance, **options})
    zoo.jitter(twin)
    held = {weight.path: weight for weight in model.weights} if model else {}
    for weight in twin.weights:
        if weight.path in held:
            weight.assign(held[weight.path])
    return twin


def _loss(entry, model):
    """The loss in training, of draws that are the same each time."""
    x, y = zoo.rows(24), None if entry.family == "match" else entry.labels(24)
    feed = {name: tf.constant(x[name]) for name in model.input}
    model.compile("sgd", entry.loss())
    keras.utils.set_random_seed(3)
    return model.compute_loss(feed, y, model(feed, training=True))


def _gradients(entry, model):
    with tf.GradientTape() as tape:
        loss = _loss(entry, model)
    weights = model.trainable_weights
    found = tape.gradient(loss, [weight.value for weight in weights])
    paths = [weight.path for weight in weights]
    return {
        p: np.array(tf.convert_to_tensor(g)) for p, g in zip(paths, found, strict=True)
    }


def _watched(monkeypatch):
    """Lists that get the ids of layers of dropout that are made, and called."""
    made, used = [], []
    init, call = keras.layers.Dropout.__init__, keras.layers.Dropout.__call__

    def watched_init(layer, *args, **kwargs):
        init(layer, *args, **kwargs)
        made.append(id(layer))

    def watched_call(layer, *args, **kwargs):
        used.append(id(layer))
        return call(layer, *args, **kwargs)

    monkeypatch.setattr(keras.layers.Dropout, "__init__", watched_init)
    monkeypatch.setattr(keras.layers.Dropout, "__call__", watched_call)
    return made, used


@pytest.mark.parametrize(("entry", "name"), DROPPED)
def test_dropout_acts_in_training_alone(entry, name, monkeypatch):
    none = {each: 0.0 for each in entry.arguments() if "dropout" in each}
    model = _twin(entry, **none)
    made, used = _watched(monkeypatch)
    dropping = _twin(entry, model, **{**none, name: 0.5})
    x = zoo.rows(24)
    predicted = [zoo.predictions(each, x) for each in (model, dropping)]
    np.testing.assert_array_equal(*predicted)
    used.clear()
    losses = [float(_loss(entry, each)) for each in (model, dropping)]
    assert {*made} <= {*used}  # none is made and forgotten
    assert (losses[0] != losses[1]) == (entry.name not in WITHOUT_MLP)


@pytest.mark.parametrize(
    "entry",
    [e for e in zoo.ENTRIES if "l2_reg" in e.arguments() and e.name != "lightgcn"],
    ids=lambda entry: entry.name,
)
def test_l2_reg_is_a_penalty_of_the_hidden_layers(entry):
    if entry.name == "lightgcn":
        pytest.skip(
            "its penalty is of the rows of a batch: tests/match/test_lightgcn.py"
        )
    model = _twin(entry)
    penalised = _twin(entry, model, l2_reg=0.5)
    without, with_penalty = (_gradients(entry, each) for each in (model, penalised))
    wanted = re.compile(PENALISED.get(entry.name, MLP))
    found = 0
    for weight in penalised.trainable_weights:
        of_hidden = wanted.fullmatch(weight.path) is not None
        start = float(weight.path.endswith("domain_kernel"))  # STAR's are factors
        penalty = 2 * 0.5 * (np.array(weight) - start) * of_hidden
        expected = without[weight.path] + penalty
        close(with_penalty[weight.path], expected, terms=1_000)
        found += of_hidden
    assert bool(found) == (entry.name not in {"gwpfm", "rankmixer"})
