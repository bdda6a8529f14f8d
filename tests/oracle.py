"""The equations in float64 NumPy, on the weights of a model.

Nothing here calls a layer, or asks a model what it is made of. `weights(model)` gives
the numbers by variable path; the functions below are what the papers write, and are
told the architecture: how many units, whether there is a bias. A weight that is not
there is an error, and so is one that a test has not read when it ends (`conftest.py`).
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.close import close

Array = np.ndarray


class Weights:
    """The weights of a model by path, in float64, each of which is to be read."""

    def __init__(self, model: Any) -> None:
        self._values = values(model)
        self._unread = {*self._values}

    def __getitem__(self, path: str) -> Array:
        if path not in self._values:
            near = difflib.get_close_matches(path, self._values, 5)
            raise AssertionError(f"The model has no weight {path!r}; it has {near}")
        self._unread.discard(path)
        return self._values[path]

    def __contains__(self, path: object) -> bool:
        raise TypeError("An oracle does not ask which weights there are")

    def through(self, path_of: Callable[[str], str]) -> "Weights":
        """The same weights by other paths: at `p` is what is at `path_of(p)` here."""
        return _Through(self, path_of)

    def beside(self, *beginnings: str) -> "Weights":
        """Says which weights the prediction does not read, by how they begin."""
        for each in beginnings:
            found = {path for path in self._unread if path.startswith(each)}
            assert found, f"no unread weight begins with {each!r}"
            self._unread -= found
        return self

    def assert_all_read(self) -> None:
        assert not self._unread, f"weights that no oracle read: {sorted(self._unread)}"


class _Through(Weights):
    def __init__(self, of: Weights, path_of: Callable[[str], str]) -> None:
        self._of, self._path_of = of, path_of

    def __getitem__(self, path: str) -> Array:
        return self._of[self._path_of(path)]


OPEN: list[Weights] = []
"""Those of the test that runs; it fails if one of their weights was not read."""


def weights(model: Any) -> Weights:
    """All weights by path, each to be read before the test ends."""
    OPEN.append(Weights(model))
    return OPEN[-1]


def values(model: Any) -> dict[str, Array]:
    """Weights by path, in float64, to look at some."""
    return {w.path: np.asarray(w.numpy(), "float64") for w in model.weights}


def logit(model: Any, x: Any) -> Array:
    """The logit that a model of one binary task returns, whose sigmoid it predicts."""
    out = model.predict(x, verbose=0)
    (prediction,) = (values for name, values in out.items() if name != "logit")
    close(prediction, sigmoid(out["logit"].astype("float64")))
    returned: Array = out["logit"]
    return returned


def sigmoid(z: Array) -> Array:
    return np.exp(-np.logaddexp(0, -z))


def relu(z: Array) -> Array:
    return np.maximum(z, 0)


def dice(s: Array, w: Weights, name: str) -> Array:
    """DIN eq. 3, with the moving statistics of inference."""
    mean, variance = w[f"{name}/moving_mean"], w[f"{name}/moving_variance"]
    p = sigmoid((s - mean) / np.sqrt(variance + 1e-8))
    return p * s + (1 - p) * w[f"{name}/alpha"] * s


def dense(x: Array, w: Weights, name: str, units: int, bias: bool = True) -> Array:
    kernel = w[f"{name}/kernel"]
    assert kernel.shape == (x.shape[-1], units), (name, kernel.shape, units)
    return x @ kernel + (w[f"{name}/bias"] if bias else 0.0)


def mlp(
    x: Array, w: Weights, name: str, units: Sequence[int], activation: Any = relu
) -> Array:
    """Dense and activation, a layer for each of `units`."""
    for i, width in enumerate(units):
        x = dense(x, w, f"{name}/dense_{i}", width)
        own = activation == "dice"
        x = dice(x, w, f"{name}/activation_{i}") if own else activation(x)
    return x


def tower(
    x: Array,
    w: Weights,
    name: str,
    units: Sequence[int],
    activation: Any = relu,
    bias: bool = True,
    logits: int = 1,
) -> Array:
    """An MLP and its logits; models with a bias of their own have none here."""
    return dense(mlp(x, w, name, units, activation), w, f"{name}/logit", logits, bias)


def mean(values: Array, valid: Array, share: Array | None = None) -> Array:
    """Mean over the valid positions, weighted by `share`; of none, zero."""
    share = valid * (1.0 if share is None else share)
    total = share.sum(1, keepdims=True)
    return (values * share[..., None]).sum(1) / np.where(total > 0, total, 1)


def column(name: str, x: dict[str, Array], w: Any, table: str) -> Array:
    """The embedding of one column of `tests.zoo`, `(rows, dim)`.

    The scores are embedded by the first order alone, and else go in as they are.
    """
    if name == "scores" and table != "embedding_linear__":
        return x[name]
    emb = {"seen": "item_id", "seen_category": "category"}.get(name, name)
    t = w[f"{table}{emb}/embeddings"]
    if name == "age":
        return x[name][:, None] * t
    if name == "scores":
        return x[name] @ t
    if name == "tags":
        return mean(t[x[name]], x[name] != 0, x["tag_weights"])
    if name.startswith("seen"):
        return mean(t[x[name]], x["seen"] != 0)
    return t[x[name]]


def columns(names: list[str], x: Any, w: Any, table: str = "embedding_") -> Array:
    """Several columns side by side."""
    return np.concatenate([column(name, x, w, table) for name in names], axis=-1)


FM_COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
FM_COLUMNS += ["seen", "seen_category"]


def fm_embeddings(x: Any, w: Any) -> list[Array]:
    """The embedded columns of `tests.zoo`, all averaged."""
    return [column(name, x, w, "embedding_") for name in FM_COLUMNS]


def first_order(x: Any, w: Any) -> Array:
    """The bias and a weight of each value of the columns of `tests.zoo`."""
    names = [*FM_COLUMNS, "scores"]
    weights = [column(name, x, w, "embedding_linear__") for name in names]
    return w["dnn_bias/bias"] + sum(weights)


def attended_embeddings(x: Any, w: Any, dim: int) -> list[Array]:
    """The embedded columns of `tests.zoo`, histories pooled by attention."""
    history = zoo_attention(x, w)
    return [*fm_embeddings(x, w)[:6], history[:, :dim], history[:, dim:]]


def activation_unit(
    query: Array,
    history: Array,
    valid: Array,
    w: Weights,
    name: str,
    units: Sequence[int] = (80, 40),
) -> Array:
    """DIN's local activation unit: the sum of w_t e_t, w_t not normalised."""
    pooled = np.zeros((len(query), history.shape[-1]))
    for row in range(len(query)):
        for t in range(history.shape[1]):
            if valid[row, t]:
                q, e = query[row], history[row, t]
                unit = np.concatenate([q, e, q - e, q * e])
                hidden = mlp(unit, w, f"{name}/ffn", units, "dice")
                pooled[row] += dense(hidden, w, f"{name}/score", 1) * e
    return pooled


def zoo_attention(x: Any, w: Any, name: str = "dnn_his_attention_default") -> Array:
    """The two histories of `tests.zoo` against item and category."""
    query = columns(["item_id", "category"], x, w)
    items, kinds = w["embedding_item_id/embeddings"], w["embedding_category/embeddings"]
    history = np.concatenate([items[x["seen"]], kinds[x["seen_category"]]], axis=-1)
    return activation_unit(query, history, x["seen"] != 0, w, name)


PLAIN = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
"""The columns of `tests.zoo` that are no history."""


def history(x: Any, w: Any) -> tuple[Array, Array, Array]:
    """Behaviours of `tests.zoo`, which of them are valid, and the target."""
    items, kinds = w["embedding_item_id/embeddings"], w["embedding_category/embeddings"]
    e = np.concatenate([items[x["seen"]], kinds[x["seen_category"]]], axis=-1)
    return e, x["seen"] != 0, columns(["item_id", "category"], x, w)


def features(x: Any, w: Any) -> Array:
    """All columns of `tests.zoo` side by side, histories pooled by attention."""
    return np.concatenate([columns(PLAIN, x, w), zoo_attention(x, w)], axis=-1)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def experts(
    x: Array,
    w: Weights,
    name: str,
    num: int,
    units: Sequence[int],
    activation: Any = relu,
) -> Array:
    """`num` MLPs on `(rows, width)`: `(rows, num, units[-1])`."""
    outputs = []
    for k in range(num):
        h = x
        for i, width in enumerate(units):
            kernel = w[f"{name}/kernel_{i}"]
            assert kernel.shape == (num, h.shape[-1], width), (name, kernel.shape)
            h = activation(h @ kernel[k] + w[f"{name}/bias_{i}"][k])
        outputs.append(h)
    return np.stack(outputs, axis=1)


def mixture(
    x: Array, every: list[Array], w: Weights, name: str, units: Sequence[int] = ()
) -> Array:
    """Experts weighed by the softmax of a gate; a single one counts in full.

    `units` are those of the MLP in the gate.
    """
    together = np.concatenate(every, axis=1)
    num = together.shape[1]
    if num == 1:
        return together[:, 0]
    h = mlp(x, w, f"{name}/gate/mlp", units)
    g = softmax(dense(h, w, f"{name}/gate/scores", num, bias=False))
    return sum(g[:, [k]] * together[:, k] for k in range(num))


def task_towers(
    mixed: dict[str, Array], w: Weights, units: Sequence[int], activation: Any = relu
) -> Array:
    """Probabilities of binary tasks side by side."""
    logits = [
        tower(h, w, f"dnn_tower_{t}", units, activation) for t, h in mixed.items()
    ]
    return sigmoid(np.concatenate(logits, axis=-1))


def with_interest(
    x: Any, w: Weights, interest: Array, units: Sequence[int], activation: Any = "dice"
) -> Array:
    """The logit of an MLP on the plain columns of `tests.zoo` and an interest."""
    features = np.concatenate([columns(PLAIN, x, w), interest], axis=-1)
    return tower(features, w, "dnn_mlp", units, activation)


def masked(scores: Array, valid: Array) -> Array:
    """Softmax of the valid scores of one row; zeros for the rest."""
    weights = np.where(valid, np.exp(scores - scores.max(initial=0)), 0)
    return weights / weights.sum() if weights.any() else weights


def norm(x: Array, w: Any, name: str) -> Array:
    """Layer normalisation of the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}/gamma"] + w[f"{name}/beta"]


def attention(q: Array, e: Array, seen: Array, heads: int, w: Any, name: str) -> Array:
    """Multi-head attention of one row: `q` (queries, d), `seen` (queries, length)."""
    width = e.shape[-1]
    each = ((q, "query"), (e, "key"), (e, "value"))
    parts = [dense(s, w, f"{name}/{n}", width) for s, n in each]
    d = width // heads
    gathered = []
    for h in range(heads):
        query, key, value = (part[:, h * d : (h + 1) * d] for part in parts)
        scores = query @ key.T / np.sqrt(d)
        rows = [masked(s, v) @ value for s, v in zip(scores, seen, strict=True)]
        gathered.append(np.stack(rows))
    return dense(np.concatenate(gathered, axis=-1), w, f"{name}/output", width)
