"""What every match model is assembled from: one item, its catalogue, two vectors."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recsys.feature import Field
from recsys.feature.needs import NEEDS
from recsys.inputs import EmbeddedHistory, FieldEmbedder
from recsys.inputs.columns import shape_and_type
from recsys.layers.catalogue import Catalogue
from recsys.layers.causal import Following
from recsys.layers.elementary import Identity, UnitLength
from recsys.layers.interests import MeanOfParts
from recsys.layers.matching.match_loss import MatchLoss
from recsys.layers.sampling import CountedFrequency, UnigramSampler
from recsys.layers.search import TakeSteps, TopSteps
from recsys.train.match_model import CATALOGUE, ITEM, USER, MatchModel
from recsys.types import Tensor

USER_SIDE = ("user", "context", "history")


class Towers:
    """The fields of a match model, apart for users and items.

    The item is the field of ids with `belong="item"` that shares its table with a
    history, or else the first. All other item fields are read from the catalogue, by
    its id, so that the item tower can tell any item.

    Args:
        fields: All fields.
        needed_by: Name of the model.
        catalogue: For each item field but the item, its value for each item id,
            `(vocabulary_size,)` or `(vocabulary_size, length)`. May be given later,
            see `MatchModel.set_catalogue`.
        item_side: Whether the model reads item fields besides the item.

    Attributes:
        embed: The embedder of all fields.
        item: The item.
        counts: How often each item id occurs in training, if that is known.
        catalogue: What the model is to know of each item, if that is given.
        users: The fields of users, contexts and histories.
        items: The item, then the other item fields, if the model reads them.

    Raises:
        ValueError: If there is no item of ids, or the catalogue does not fit.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        needed_by: str,
        catalogue: Mapping[str, Any] | None = None,
        item_side: bool = False,
    ) -> None:
        self.item = _item(fields, needed_by)
        self.users = [field for field in fields if field.belong in USER_SIDE]
        others = [f for f in fields if f.belong == "item" and f is not self.item]
        self.items = [self.item, *others] if item_side else [self.item]
        self.embed = FieldEmbedder(fields)
        (item,) = self.embed.resolve([self.item])
        self.counts: Any = item.counts
        self.catalogue: Mapping[str, Any] | None = None
        if item_side and others:
            columns = [
                (field.name, *shape_and_type(field))
                for field in self.embed.resolve(others)
            ]
            columns += [
                (field.weight, (field.length,), "float32")
                for field in others
                if field.weight
            ]
            layer = Catalogue(self.item.vocabulary_size, columns, name=CATALOGUE)
            self.embed.provide(layer(self.item_ids))
            self.catalogue = catalogue
        elif catalogue is not None and len(catalogue):
            warnings.warn(
                f"{needed_by} has no item fields besides the item, and does not read "
                f"the catalogue. Received: columns {[*catalogue]}",
                stacklevel=2,
            )

    @property
    def item_ids(self) -> Tensor:
        """The input of the item's ids, `(batch,)`."""
        return self.embed.column(self.item.name)

    def model(
        self,
        name: str,
        user: Tensor,
        item: Tensor,
        loss: MatchLoss,
        *more: Any,
        **kw: Any,
    ) -> MatchModel:
        """Ends a model: two vectors whose dot product is the score.

        Args:
            name: Name of the model.
            user: `(batch, dim)`, or `(batch, interests, dim)`.
            item: `(batch, dim)`.
            loss: The layer that trains them.
            *more: Further tensors that it takes.
            **kw: Further arguments of its call.

        Raises:
            ValueError: If negatives are drawn by count and the item has no counts.
        """
        user = Identity(name=USER, dtype="float32")(user)
        item = Identity(name=ITEM, dtype="float32")(item)
        score = loss([user, item, self.item_ids, *more], **kw)
        sampler = getattr(loss, "draws", None)
        if isinstance(sampler, UnigramSampler):
            if self.counts is None:
                raise ValueError(
                    f"Field {self.item.name!r}: sampler='unigram' needs counts, how "
                    "often each id occurs in training. Received: counts=None"
                )
            sampler.adapt(self.counts)
        frequency = getattr(loss, "frequency", None)
        if isinstance(frequency, CountedFrequency):
            frequency.adapt(self.counts)
        model = MatchModel(inputs=self.embed.inputs, outputs=score, name=name)
        if self.catalogue is not None:
            model.set_catalogue(self.catalogue)
        return model


def user_id(towers: Towers, needed_by: str, dim: int | None = None) -> Field:
    """Returns the first user field of one id.

    Args:
        towers: The towers of a model.
        needed_by: Its name.
        dim: How wide it must be, if that matters.

    Raises:
        ValueError: If it has another width.
    """
    users = [field for field in towers.users if field.belong == "user"]
    users = [field for field in users if field.is_table and field.length == 1]
    if dim not in (None, users[0].dim):
        raise ValueError(
            f"{needed_by} needs {NEEDS['user'].wanted}, as wide as the item, {dim}. "
            f"Received: {[(f.name, f.belong, f.dim) for f in towers.users]}"
        )
    return users[0]


def behaviours_and_item(
    towers: Towers, needed_by: str, newest_first: bool = False
) -> tuple[EmbeddedHistory, Tensor, Tensor]:
    """Returns the history of the item, its behaviours and the item, of one width.

    Both are the mean of the embeddings of their attributes; a history attribute is one
    that shares its table with an item field.

    Args:
        towers: The towers of a model with one history of the item.
        needed_by: Name of the model.
        newest_first: Whether the most recent behaviour comes first, and padding last.

    Returns:
        The history, `(batch, length, dim)` and `(batch, dim)`.

    Raises:
        ValueError: If there is not one history of the item, or dims differ.
    """
    embed, tables = towers.embed, {field.emb for field in towers.items}
    shared = [f for f in towers.users if f.belong == "history" and f.emb in tables]
    groups = {f.group for f in shared if f.emb == towers.item.emb}
    used = [field for field in shared if field.group in groups]
    dims = {field.name: field.dim for field in embed.resolve([*used, *towers.items])}
    if len(groups) != 1 or len(set(dims.values())) != 1:
        raise ValueError(
            f"{needed_by} needs one history that shares the item's table, all "
            "attributes of one dim. Received: histories "
            f"{sorted(groups)} and dims {dims}"
        )
    (history,) = embed.histories(used)
    if newest_first:
        order = TopSteps(history.length, name="newest_first")
        history = embed.select(history, *order(history.valid, history.valid))
    behaviours = MeanOfParts(len(used), name="mean_behaviours")(history.sequence)
    item = MeanOfParts(len(towers.items), name="mean_item")(
        embed(towers.items).concat()
    )
    return history, behaviours, item


def sequence(
    towers: Towers, needed_by: str, apart: Collection[str] = ()
) -> tuple[EmbeddedHistory, Tensor, Tensor]:
    """Returns the history of the item, newest first, and what follows each behaviour.

    Args:
        towers: The towers of a model with one history of the item.
        needed_by: Name of the model.
        apart: Roles that the model wants beside the items, see
            `FieldEmbedder.histories`.

    Returns:
        The history, the ids of its items, and those of the items that follow each,
        `(batch, length)`.

    Raises:
        ValueError: If there is not one history that shares the item's table.
    """
    embed, item = towers.embed, towers.item
    same = [f for f in towers.users if f.belong == "history" and f.emb == item.emb]
    if len(same) != 1:
        raise ValueError(
            f"{needed_by} needs one history that shares the item's table. Received: "
            f"{[(field.name, field.belong, field.emb) for field in towers.users]}"
        )
    of_role = [f for f in towers.users if f.role in apart and f.group == same[0].group]
    (history,) = embed.histories([*same, *of_role], apart)
    order = TopSteps(history.length, name="newest_first")
    index, found = order(history.valid, history.valid)
    history = embed.select(history, index, found)
    ids = TakeSteps(name="item_sequence")([embed.column(history.item.name), index])
    following = Following(name="following_items")([towers.item_ids, ids], valid=found)
    return history, ids, following


def unit(vector: Tensor, name: str) -> Tensor:
    """Returns a vector divided by its length."""
    return UnitLength(name=name)(vector)


def _item(fields: Sequence[Field], needed_by: str) -> Field:
    NEEDS["item"].check(needed_by, fields)
    items = [field for field in fields if field.belong == "item" and field.is_table]
    items = [field for field in items if field.length == 1]
    watched = {field.emb for field in fields if field.belong == "history"}
    return next((field for field in items if field.emb in watched), items[0])
