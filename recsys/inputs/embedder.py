"""From fields to embeddings: histories with their targets, pooled or not."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.feature.needs import NEEDS
from recsys.inputs.embeddings import Embeddings, Part, concat
from recsys.inputs.histories import EmbeddedHistory, check_histories
from recsys.inputs.lookup import Lookup
from recsys.layers.aggregation import AGGREGATIONS, get_agg_layer
from recsys.layers.elementary import Zeros
from recsys.layers.positions import Recency
from recsys.layers.search import TakeSteps
from recsys.train.factory import check_arguments
from recsys.types import Tensor


@dataclass(frozen=True)
class Domain:
    """Where each row comes from.

    Attributes:
        name: Name of the field that says so.
        ids: Its column, `(batch,)`; `number` is an unknown domain.
        number: Number of domains, `Field.vocabulary_size`.
    """

    name: str
    ids: Tensor
    number: int


class FieldEmbedder(Lookup):
    """Owns the Keras inputs and the tables of one model.

    Fields with the same `emb` share a table. A column that appears in two lists, or
    is asked for twice, is read and embedded once.

    Args:
        *field_lists: All fields of the model, in one or more lists.
        times: Factor on the `dim` of all fields, for several vectors a value.
        oov_domain: What becomes of ids outside `[0, vocabulary_size)` in columns of
            domain ids and in others that share their tables: `"error"`, before the
            first step; or `"unknown"`, one more row of the table, whichever they are.

    Attributes:
        inputs: `{Field.name: keras.Input}`, in order of first use.
        tables: The layers by name.

    Raises:
        ValueError: If a list is empty or names a column twice, two lists disagree
            about a column, or fields disagree about a table; or there is no such
            `oov_domain`.

    Example:
    >>> fields = [Field("user", vocabulary_size=9, dim=3), Field("age", dim=2)]
    >>> embed = FieldEmbedder(fields)
    >>> embed(fields)
    Embeddings({'user': 3, 'age': 2})
    >>> embed
    FieldEmbedder(fields=['user', 'age'], tables=['embedding_user', 'embedding_age'])
    """

    def __call__(
        self,
        fields: Sequence[Field],
        history_agg: str = "mean_pooling",
        agg_kwargs: Mapping[str, Any] | None = None,
        needed_by: str = "",
    ) -> Embeddings:
        """Embeds fields and pools their histories.

        Args:
            fields: Some or all of the fields the embedder was made with.
            history_agg: How a history becomes a vector, see `get_agg_layer`; the
                query is the target, see `histories`.
            agg_kwargs: Arguments of that layer.
            needed_by: Name of a model that cannot do without a history and a target,
                of whatever width.

        Raises:
            ValueError: If there is not what the model needs.
        """
        found = self.histories(fields, needed_by=needed_by, any_width=True)
        histories = {history.group: history for history in found}
        parts = []
        for field in self.resolve(fields):
            if field.belong != "history":
                parts.append(Part((field,), self.vector(field)))
            elif field.group in histories:  # once, at the first field of the group
                history = histories.pop(field.group)
                pooled = self._pool(history, history_agg, agg_kwargs or {})
                parts.append(Part(history.fields, pooled))
        return Embeddings(parts, self._times, self.once)

    def histories(
        self,
        fields: Sequence[Field],
        apart: Collection[str] = (),
        needed_by: str = "",
        any_width: bool = False,
    ) -> list[EmbeddedHistory]:
        """Returns the histories among `fields`, not pooled, one for each group.

        The target of a history are the item fields (user fields if there are none)
        that share its tables, in the order of its attributes; zeros stand for an
        attribute without counterpart. If none has one, it is all item fields.

        Args:
            fields: Some or all of the embedder's fields.
            apart: Roles (`"time"`, `"session"`) that are no attributes but wanted by
                themselves.
            needed_by: Name of a model that cannot do without a history and a target.
            any_width: Whether the target may have another width than the history.

        Raises:
            ValueError: If the fields of a group differ in length, or none of them
                holds ids that tell behaviour from padding; or there is not what the
                model needs.
        """
        fields = self.resolve(fields)
        groups: dict[str, list[Field]] = {}
        for field in fields:
            if field.belong == "history":
                groups.setdefault(field.group, []).append(field)
        histories = []
        for group, members in groups.items():
            attributes = [field for field in members if field.role not in apart]
            valid = self.valid(members[0])
            history = EmbeddedHistory(
                group,
                tuple(attributes),
                concat([self.values(field) for field in attributes]),
                valid,
                self._target(attributes, fields),
            )
            of_role = {f.role: f for f in members if f.role in apart}
            if "session" in of_role:
                sessions = self.column(of_role["session"].name)
                history = replace(history, sessions=sessions)
            if "time" in of_role:
                field = of_role["time"]
                times, num = self.column(field.name), field.vocabulary_size
                history = replace(history, times=times, num_times=num)
            elif "time" in apart:
                name = layer_name(f"recency_{members[0].name}")
                times = self.once(name, lambda: Recency(name=name)(valid))  # noqa: B023
                history = replace(history, times=times, num_times=history.length + 1)
            histories.append(history)
        if needed_by:
            check_histories(needed_by, histories, fields, any_width)
        return histories

    def domain(self, needed_by: str, number: int | None = None) -> Domain:
        """Returns the domain of each row.

        Args:
            needed_by: Name of the model that asks.
            number: What the user says is the number of domains.

        Raises:
            ValueError: If not exactly one domain field has ids, or it has another
                number of them.
        """
        NEEDS["domain_id"].check(needed_by, [*self._fields.values()])
        of_domain = [field for field in self._fields.values() if field.is_table]
        of_domain = [field for field in of_domain if field.belong == "domain"]
        (field,) = of_domain
        known = self._num_known.get(field.emb, field.vocabulary_size)
        if number not in (None, known):
            raise ValueError(
                f"Field {field.name!r}: vocabulary_size must be num_domain. "
                f"Received: vocabulary_size={known}, num_domain={number}"
            )
        return Domain(field.name, self.column(field.name), known)

    def select(
        self, history: EmbeddedHistory, index: Tensor, chosen: Tensor
    ) -> EmbeddedHistory:
        """Returns some of the behaviours of a history, embedded by themselves.

        No gradient reaches the others.

        Args:
            history: What `histories` returned.
            index: Which behaviours, `(batch, number)`, int32.
            chosen: Which of these count, `(batch, number)`, bool.
        """
        table = self.prefix
        rows = [
            self.embedded(
                field, table, TakeSteps()([self.column(field.name), index]), chosen
            )
            for field in history.fields
        ]
        times = history.times
        if times is not None:
            times = TakeSteps()([times, index])
        return replace(history, sequence=concat(rows), valid=chosen, times=times)

    def _target(
        self, members: Sequence[Field], fields: Sequence[Field]
    ) -> Tensor | None:
        items = [field for field in fields if field.belong == "item"]
        items = items or [field for field in fields if field.belong == "user"]
        by_table = {field.emb: field for field in reversed(items)}
        if not any(field.emb in by_table for field in members):
            return concat([self.vector(field) for field in items]) if items else None
        return concat(
            [
                self.vector(by_table[field.emb])
                if field.emb in by_table
                else Zeros(field.dim)(self.column(items[0].name))
                for field in members
            ]
        )

    def _pool(
        self, history: EmbeddedHistory, agg: str, kwargs: Mapping[str, Any]
    ) -> Tensor:
        name = layer_name(f"dnn_his_{agg}_{self._set}{history.group}")
        if agg in AGGREGATIONS:  # else the next line says so
            takes = inspect.signature(AGGREGATIONS[agg])
            kwargs = check_arguments(
                f"history_agg {agg!r}", takes, kwargs, may_be_zero=("num_layers",)
            )
        layer = get_agg_layer(agg, name=name, **kwargs)
        if agg.endswith("_pooling"):
            inputs: Tensor | list[Tensor] = history.sequence
        elif history.target is None:
            raise ValueError(
                f"History group {history.group!r}: history_agg={agg!r} needs a "
                "target: a field with belong='item' or 'user'. Received: none"
            )
        else:
            inputs = [history.target, history.sequence]
        names = ",".join(field.name for field in history.fields)
        pooled: Tensor = self.once(
            f"{layer.name}({names})", lambda: layer(inputs, valid=history.valid)
        )
        return pooled
