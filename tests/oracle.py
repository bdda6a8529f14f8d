"""The equations in float64 NumPy, on the weights of a model.

Nothing here calls a layer. `weights(model)` gives the numbers by variable path; the
functions below are what the papers write.
"""

from typing import Any

import numpy as np

Array = np.ndarray


def weights(model: Any) -> dict[str, Array]:
    """All weights by path, in float64."""
    return {w.path: np.asarray(w.numpy(), "float64") for w in model.weights}


def sigmoid(z: Array) -> Array:
    return np.exp(-np.logaddexp(0, -z))


def relu(z: Array) -> Array:
    return np.maximum(z, 0)


def dice(s: Array, w: dict[str, Array], name: str) -> Array:
    """DIN eq. 3, with the moving statistics of inference."""
    mean, variance = w[f"{name}/moving_mean"], w[f"{name}/moving_variance"]
    p = sigmoid((s - mean) / np.sqrt(variance + 1e-8))
    return p * s + (1 - p) * w[f"{name}/alpha"] * s


def dense(x: Array, w: dict[str, Array], name: str) -> Array:
    return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0.0)


def mlp(x: Array, w: dict[str, Array], name: str, activation: Any = relu) -> Array:
    """Dense and activation, as often as there are layers."""
    i = 0
    while f"{name}/dense_{i}/kernel" in w:
        x = dense(x, w, f"{name}/dense_{i}")
        x = (
            dice(x, w, f"{name}/activation_{i}")
            if activation == "dice"
            else activation(x)
        )
        i += 1
    return x


def tower(x: Array, w: dict[str, Array], name: str, activation: Any = relu) -> Array:
    return dense(mlp(x, w, name, activation), w, f"{name}/logit")


def mean(values: Array, valid: Array, share: Array | None = None) -> Array:
    """Mean over the valid positions, weighted by `share`; of none, zero."""
    share = valid * (1.0 if share is None else share)
    total = share.sum(1, keepdims=True)
    return (values * share[..., None]).sum(1) / np.where(total > 0, total, 1)


def column(name: str, x: dict[str, Array], w: dict[str, Array], table: str) -> Array:
    """The embedding of one column of `tests.zoo`, `(rows, dim)`."""
    emb = {"seen": "item_id", "seen_category": "category"}.get(name, name)
    t = w.get(f"{table}{emb}/embeddings")
    if name == "age":
        return x[name][:, None] * t
    if name == "scores":
        return x[name] if t is None else x[name] @ t
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
    query: Array, history: Array, valid: Array, w: dict[str, Array], name: str
) -> Array:
    """DIN's local activation unit: the sum of w_t e_t, w_t not normalised."""
    pooled = np.zeros((len(query), history.shape[-1]))
    for row in range(len(query)):
        for t in range(history.shape[1]):
            if valid[row, t]:
                q, e = query[row], history[row, t]
                unit = np.concatenate([q, e, q - e, q * e])
                hidden = mlp(unit, w, f"{name}/ffn", "dice")
                pooled[row] += dense(hidden, w, f"{name}/score") * e
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


def experts(x: Array, w: Any, name: str, activation: Any = relu) -> Array:
    """One MLP after the other on `(rows, width)`: `(rows, num_experts, width)`."""
    outputs = []
    for k in range(len(w[f"{name}/kernel_0"])):
        h, i = x, 0
        while f"{name}/kernel_{i}" in w:
            h = activation(h @ w[f"{name}/kernel_{i}"][k] + w[f"{name}/bias_{i}"][k])
            i += 1
        outputs.append(h)
    return np.stack(outputs, axis=1)


def mixture(x: Array, every: list[Array], w: Any, name: str) -> Array:
    """Experts weighed by the softmax of a gate; a single one counts in full."""
    together = np.concatenate(every, axis=1)
    if together.shape[1] == 1:
        return together[:, 0]
    g = softmax(dense(mlp(x, w, f"{name}/gate/mlp"), w, f"{name}/gate/scores"))
    return sum(g[:, [k]] * together[:, k] for k in range(g.shape[1]))


def task_towers(mixed: dict[str, Array], w: Any, activation: Any = relu) -> Array:
    """Probabilities of binary tasks side by side."""
    logits = [tower(h, w, f"dnn_tower_{t}", activation) for t, h in mixed.items()]
    return sigmoid(np.concatenate(logits, axis=-1))


def with_interest(x: Any, w: Any, interest: Array, activation: Any = "dice") -> Array:
    """The logit of an MLP on the plain columns of `tests.zoo` and an interest."""
    features = np.concatenate([columns(PLAIN, x, w), interest], axis=-1)
    return tower(features, w, "dnn_mlp", activation)


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
    parts = [dense(s, w, f"{name}/{n}") for s, n in ((q, "query"), (e, "key"))]
    parts.append(dense(e, w, f"{name}/value"))
    d = parts[0].shape[-1] // heads
    gathered = []
    for h in range(heads):
        query, key, value = (part[:, h * d : (h + 1) * d] for part in parts)
        scores = query @ key.T / np.sqrt(d)
        rows = [masked(s, v) @ value for s, v in zip(scores, seen, strict=True)]
        gathered.append(np.stack(rows))
    return dense(np.concatenate(gathered, axis=-1), w, f"{name}/output")
