"""What holds for every model of several domains.

D1: Rows of a domain move nothing that belongs to another.
D2: A domain may be absent from a batch; nothing of it moves and all is finite.
D3: What a row gets does not depend on the domains of the others.
D4: Names of domains do not matter.

Of several tasks also what `tests/multitask/test_family.py` has: G1, G4.
"""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Task, load_model
from recsys.testing.subject import without_graphs
from tests import zoo
from tests.close import close
from tests.multitask.gradients import kernels_by_row

APART = {"hinet": {"stop_cross": True}}
"""Options with which rows of a domain move nothing of another."""


@pytest.fixture(
    scope="module",
    params=[entry for entry in zoo.ENTRIES if entry.family == "multidomain"],
    ids=lambda entry: entry.name,
)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def model(entry):
    keras.utils.set_random_seed(1)
    model = entry.build(**entry.without_chance, **APART.get(entry.name, {}))
    model.compile(keras.optimizers.SGD(1e-3), entry.loss())
    zoo.jitter(model, scale=0.1)
    with without_graphs(model):
        model.fit(zoo.rows(64), entry.labels(64), batch_size=32, verbose=0)
    return model


def own(model):
    """The weights that have a part for each domain, first axis, by path."""
    of_domain = re.compile(r"/domain_\w+(/|$)")
    found = {w.path: w for w in model.weights if of_domain.search(w.path)}
    for path in list(found):
        # All domains' one stream; clusters are no domains.
        if path.startswith("dnn_shared/") or model.name == "adaptdhm":
            del found[path]
    table = model.get_layer("embedding_domain_id").embeddings
    return {**found, table.path: table}


def parts(array):
    """Those of the three domains, one behind the other."""
    return np.asarray(array).reshape(3, -1)


def rows_of(*domains, n=24):
    x = zoo.rows(n, seed=3)
    return {**x, "domain_id": np.resize(np.array(domains), n)}


def gradients(entry, model, x, y=None):
    """Of all trainable weights, by path; `compute_loss` runs a training step."""
    feed = {name: tf.convert_to_tensor(x[name]) for name in model.input}
    y = entry.labels(len(x["domain_id"])) if y is None else y
    with tf.GradientTape() as tape:
        loss = model.compute_loss(feed, y, model(feed, training=True))
    variables = model.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    return {
        v.path: np.asarray(tf.convert_to_tensor(g))
        for v, g in zip(variables, found, strict=True)
    }


@pytest.mark.parametrize("domains", [(0,), (0, 2), (1,)], ids=str)
def test_rows_move_nothing_of_another_domain(entry, model, domains):
    weights, x = own(model), rows_of(*domains)
    before = {path: parts(w.numpy()) for path, w in weights.items()}
    found = gradients(entry, model, x)
    for path, weight in weights.items():
        if path.startswith("dnn_attention/"):
            continue  # scores of a domain are what others ask of it
        for p in set(range(3)) - set(domains):
            after = parts(weight.numpy())[p]
            np.testing.assert_array_equal(after, before[path][p], err_msg=path)
            if path in found:
                assert not parts(found[path])[p].any(), (path, p)
        if path in found:
            assert parts(found[path])[list(domains)].any(), path
    for path, gradient in found.items():
        assert np.isfinite(gradient).all(), path


def test_an_absent_domain_stays_finite_and_as_it_was(entry, model):
    weights, x = own(model), rows_of(2)
    before = {path: parts(w.numpy()) for path, w in weights.items()}
    with without_graphs(model):
        model.fit(x, entry.labels(24), batch_size=8, verbose=0)
    for path, weight in weights.items():
        if not path.startswith("dnn_attention/"):
            after = parts(weight.numpy())
            np.testing.assert_array_equal(after[:2], before[path][:2], path)
    assert np.isfinite(zoo.predictions(model, rows_of(0, 1, 2))).all()


def test_a_row_does_not_depend_on_the_domains_of_others(model):
    x = rows_of(0, 1, 2)
    together = zoo.predictions(model, x)
    for p in range(3):
        here = x["domain_id"] == p
        alone = zoo.predictions(model, zoo.take(x, here))
        close(alone, together[here], terms=100)


def test_names_of_domains_do_not_matter(entry, model):
    x, order = rows_of(0, 1, 2), np.array([2, 0, 1])
    before, kept = zoo.predictions(model, x), model.get_weights()
    for weight in own(model).values():
        value = parts(weight.numpy())[np.argsort(order)]
        weight.assign(value.reshape(weight.shape))
    after = zoo.predictions(model, {**x, "domain_id": order[x["domain_id"]]})
    model.set_weights(kept)
    close(after, before, terms=100)


def test_the_domain_matters(model):
    outputs = [zoo.predictions(model, rows_of(p)) for p in (0, 1)]
    assert not np.allclose(*outputs, atol=1e-4)


def test_an_id_out_of_range_is_an_error(entry, model):
    for bad in (-1, 3):
        x = rows_of(0, bad)
        with pytest.raises(ValueError, match=rf"'domain_id'.*from 0 to 2.*{bad}"):
            model.fit(x, entry.labels(24), verbose=0)
        with pytest.raises(ValueError, match="'domain_id'"):
            model.predict(x, verbose=0)
    with pytest.raises(ValueError, match="oov_domain must be one of.*'clip'"):
        entry.build(oov_domain="clip")


def test_one_task_is_enough(entry):
    if entry.several_tasks:
        model = entry.build(task_list=[Task("click")])
        assert zoo.predictions(model, rows_of(0, 1, 2)).shape == (24, 1)


def test_no_kernel_is_laid_out_by_row(entry, model):
    """But by M2M, where each row has a kernel of its own."""
    found = kernels_by_row(model, zoo.rows(61), entry.labels(61))
    assert bool(found) == (entry.name == "m2m"), found


def test_a_label_moves_nothing_that_another_task_owns(entry, model):
    """G1 and G4; a task owns what no other task's loss reaches."""
    if not entry.several_tasks:
        pytest.skip("one task")
    x, y = rows_of(0, 1, 2), entry.labels(24)
    none = np.full(24, np.nan)
    alone = {
        task: gradients(entry, model, x, {**dict.fromkeys(y, none), task: y[task]})
        for task in y
    }
    both = gradients(entry, model, x, y)
    for task, other in (list(y), list(y)[::-1]):
        owned = {p for p in both if alone[task][p].any() and not alone[other][p].any()}
        assert any(f"dnn_tower_{task}/" in path for path in owned)
        assert not {path for path in owned if other in path}
        flipped = gradients(entry, model, x, {**y, other: 1 - y[other]})
        for path in owned:
            np.testing.assert_array_equal(flipped[path], both[path], path)
        towers = [path for path in both if f"dnn_tower_{other}/" in path]
        assert any(np.any(flipped[path] != both[path]) for path in towers)
    assert not any(
        gradient.any()
        for gradient in gradients(entry, model, x, dict.fromkeys(y, none)).values()
    )


def test_unknown_domains_share_one_row(entry, tmp_path):
    model = entry.build(oov_domain="unknown")
    zoo.jitter(model, scale=0.1)
    model.compile(keras.optimizers.SGD(1e-3), entry.loss())
    with without_graphs(model):
        model.fit(rows_of(0, 1, 2, -1, 9), entry.labels(24), verbose=0)
    outputs = [zoo.predictions(model, rows_of(p)) for p in (-1, 3, 2**31 - 1, 0)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert np.isfinite(outputs[0]).all()
    assert not np.allclose(outputs[0], outputs[3], atol=1e-4)
    with pytest.raises(ValueError, match="'domain_id'.*2147483648"):
        model.predict(rows_of(2**31), verbose=0)
    model.save(tmp_path / "model.keras")
    again = zoo.predictions(load_model(tmp_path / "model.keras"), rows_of(-7))
    np.testing.assert_array_equal(again, outputs[0])
