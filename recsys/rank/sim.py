"""SIM: Search-based User Interest Modeling with Lifelong Sequential Behavior Data.

Pi et al., CIKM 2020, https://arxiv.org/abs/2006.05639 (figure 1, eq. 1-8)

    user, context, item ─> embeddings ────────────────────────────────────┐
                 └──────────────┬──────────────────────┐                  v
    long history ─> general search: top k ─> exact search: attention ──> MLP ─> sigmoid
                        └─> all, weighed ─> MLP ─> a loss of its own
    short history ──────────────> DIN's activation unit ──────────────────^
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import EmbeddedHistory, FieldEmbedder, concat, split_histories
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.losses import LossLayer
from recsys.layers.masking import masked_softmax, masked_sum
from recsys.layers.mlp import Tower
from recsys.layers.row_means import mean_of_rows
from recsys.layers.search import TopSteps
from recsys.layers.table import Embedding
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "Task", "sim"]


class SoftSearch(Layer):
    r"""Relevance r_t = <W_b e_t, W_a q> of all behaviours, and their sum by it (eq. 1).

    Masking: behaviours that are not `valid` do not count in the sum.

    Args:
        units: Width of the projections; default: that of a behaviour.
    Call arguments:
        inputs: `[target, history]`, `(batch, any width)` and `(batch, length, d)`.
        valid: `(batch, length)`, bool.
    Returns:
        r, `(batch, length)`, and `\sum_t r_t e_t`, `(batch, d)`.
    """

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Sequence[Shape]) -> None:
        target, history = input_shape
        units = self.units or history[-1]
        self.w_a = self.add_weight(shape=(target[-1], units), name="w_a")
        self.w_b = self.add_weight(shape=(history[-1], units), name="w_b")

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> tuple[Tensor, Tensor]:
        target, history = inputs
        asked = ops.matmul(ops.matmul(target, self.w_a), ops.transpose(self.w_b))
        relevance = ops.matmul(history, ops.expand_dims(asked, -1))
        return relevance[..., 0], masked_sum(relevance * history, valid)

    def compute_output_shape(
        self, input_shape: Sequence[Shape], *_: Any
    ) -> tuple[Shape, Shape]:
        batch, length, width = input_shape[1]
        return (batch, length), (batch, width)


class SameCategory(Layer):
    """Hard search: which behaviours are of the target's category.

    Call arguments:
        inputs: `[target category, history of categories]`, `(batch,)` and
            `(batch, length)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length)`, bool.
    """

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        target, history = inputs
        same: Tensor = history == ops.expand_dims(target, 1)
        return same & valid

    def compute_output_spec(
        self, inputs: Sequence[Tensor], valid: Tensor
    ) -> keras.KerasTensor:
        return keras.KerasTensor(valid.shape, "bool")


class ExactSearch(Layer):
    r"""Multi-head attention of the target over what the search found (eq. 5-6).

        head_i = \sum_t softmax_t((W_bi z_t)^T (W_ai q)) z_t

    Masking: behaviours that are not `valid` get weight 0; of none the result is zero.

    Args:
        num_heads: Heads.
    Call arguments:
        inputs: `[target, z]`, `(batch, any width)` and `(batch, k, d)`.
        valid: `(batch, k)`, bool.
    Returns:
        Heads side by side, `(batch, num_heads d)`.
    """

    def __init__(self, num_heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, input_shape: Sequence[Shape]) -> None:
        target, z = input_shape
        units = -(-z[-1] // self.num_heads)
        self.w_a = self.add_weight(
            shape=(self.num_heads, target[-1], units), name="w_a"
        )
        self.w_b = self.add_weight(shape=(self.num_heads, z[-1], units), name="w_b")

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        target, z = inputs
        # W_b^T W_a q of each head, so that z itself is multiplied once.
        forms = ops.einsum("hqu,hdu->hqd", self.w_a, self.w_b)
        asked = ops.einsum("bq,hqd->bhd", target, forms)
        scores = ops.matmul(asked, ops.transpose(z, (0, 2, 1)))
        weights = masked_softmax(scores, ops.expand_dims(valid, 1))
        return ops.reshape(ops.matmul(weights, z), (-1, self.num_heads * z.shape[-1]))

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return (input_shape[1][0], self.num_heads * input_shape[1][-1])


class SearchLoss(LossLayer):
    """Cross-entropy of the search's own logit; passes on its other input.

    Args:
        weight, sample_weight: Arguments of `LossLayer`.
    Call arguments:
        inputs: `[x, logit]`, any tensor and `(batch, 1)`.
    Returns:
        x.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.kept.put(inputs[1])
        return inputs[0]

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        logit = self.kept.take()[-1]
        label = ops.cast(next(iter(labels.values())), "float32")
        rows = ops.binary_crossentropy(label, logit, from_logits=True)
        return mean_of_rows(rows, next(iter(weights.values()), None))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


@factory("history")
def sim(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    search: str = "soft",
    category: str | None = None,
    k: int = 50,
    num_heads: int = 2,
    time_dim: int = 4,
    search_weight: float = 1.0,
    short_groups: Sequence[str] = (),
) -> Model:
    """Builds SIM: attention over the few behaviours that a search finds.

    Time is a history field of the group with `role="time"`, or else the place counted
    back from the target; its embedding joins that of what is found. Behaviours that
    are not found get no gradient from the attention; with the hard search none at all.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: A binary task; without `search_weight` any.
        hidden_units: Sizes of the MLP, and of that of the search.
        activation: Their activation.
        dropout: Fraction dropped behind each of their layers, in [0, 1).
        l2_reg: Penalty on their kernels.
        use_bn: Whether they normalise.
        search: `"soft"`, by a learned relevance, or `"hard"`, by category.
        category: Attribute of the item that the hard search compares; default: the
            last attribute of the history.
        k: Behaviours to find.
        num_heads: Heads of the attention.
        time_dim: Width of a time's embedding.
        search_weight: Factor on the loss of the soft search; the hard one has none.
        short_groups: Histories that are not searched but get an activation unit.

    Raises:
        ValueError: If there is no long history or no target of its width, the search
            is unknown or has no category, or a task that is not binary is to have its
            loss.
    """
    if search not in ("soft", "hard"):
        raise ValueError(
            f"sim: search must be 'soft' or 'hard'. Received: search={search!r}"
        )
    own_loss = search == "soft" and search_weight > 0
    if own_loss and task.belong != "binary":
        raise ValueError(
            f"Task {task.name!r}: the search's own loss is for binary tasks; set "
            f"search_weight to 0. Received: belong={task.belong!r}"
        )
    mlp = (hidden_units, activation, l2_reg, dropout, use_bn)
    embed = FieldEmbedder(fields)
    long, short = split_histories(fields, short_groups)
    histories = embed.histories(long, apart=["time"], needed_by="sim")
    others = embed(short, "attention").concat()
    parts = [others]
    for history in histories:
        name = history.group
        candidates = history.valid
        if search == "hard":
            candidates = relevance = _same_category(embed, history, long, category)
        else:
            relevance, summed = SoftSearch(name=layer_name(f"dnn_search_{name}"))(
                [history.target, history.sequence], valid=history.valid
            )
            if own_loss:
                tower = Tower(*mlp, name=layer_name(f"dnn_search_mlp_{name}"))
                logit = tower(concat([summed, history.target, others]))
                own = SearchLoss(
                    weight=search_weight, name=layer_name(f"dnn_search_loss_{name}")
                )
                relevance = own([relevance, logit])
        index, found = TopSteps(k, name=layer_name(f"dnn_top_{name}"))(
            relevance, candidates
        )
        behaviours = embed.select(history, index, found)
        times = Embedding(
            history.num_times, time_dim, name=layer_name(f"embedding_time__{name}")
        )(behaviours.times)
        exact = ExactSearch(num_heads, name=layer_name(f"dnn_exact_{name}"))
        z = concat([behaviours.sequence, times])
        parts.append(exact([history.target, z], valid=found))
    logit = Tower(*mlp, num_logits=task.num_classes, name="dnn_mlp")(concat(parts))
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="sim")


def _same_category(
    embed: FieldEmbedder,
    history: EmbeddedHistory,
    fields: Sequence[Field],
    name: str | None,
) -> Tensor:
    """Which behaviours share the target's category."""
    by_table = {field.emb: field for field in fields if field.belong == "item"}
    known = [f for f in history.fields if f.emb in by_table and f.values == 1]
    chosen = [f for f in known if by_table[f.emb].name == name] if name else known
    if not chosen:
        raise ValueError(
            f"History group {history.group!r}: the hard search needs an attribute that "
            f"shares the table of the item field {name!r}. Received: "
            f"{[(field.name, field.emb) for field in history.fields]}"
        )
    columns = [embed.column(by_table[chosen[-1].emb].name)]
    columns.append(embed.column(chosen[-1].name))
    same = SameCategory(name=layer_name(f"dnn_search_{history.group}"))
    return same(columns, valid=history.valid)
