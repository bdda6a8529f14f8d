"""What a run of a match model needs, and what it must not have."""

from recsys.about import about
from recsys.feature.schema.columns import Bucketed, Categorical, Hashed
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Candidates, Config, Evaluation
from recsys.runs.matching.columns import asked_columns
from recsys.runs.reading import Keys, Read

ONE_ID = (Categorical, Hashed, Bucketed)


def check_no_match(read: Read) -> None:
    """Raises `ValueError` if a model that answers tasks is told of lists."""
    candidates = read.config.candidates
    if candidates != Candidates():
        raise _refused(
            read,
            ("candidates",),
            f"candidates must be left out for {read.config.model.name}, which is no "
            f"match model. Received: k={candidates.k}",
        )
    negatives = read.config.samples.negatives
    hard = negatives is not None and negatives.by == "candidates"
    if hard and read.config.match is None:
        raise _refused(
            read,
            ("samples", "negatives", "by"),
            "samples.negatives.by must not be 'candidates' without a section match, "
            "whose model has them. Received: by='candidates'",
        )
    if read.config.samples.positives and read.config.match is None:
        raise _refused(
            read,
            ("samples", "positives"),
            f"samples.positives must be left out for {read.config.model.name}, which "
            "is no match model, without a section match. "
            f"Received: {read.config.samples.positives}",
        )


def check_match(read: Read) -> None:
    """Raises `ValueError` if a match model cannot be trained so; with the line."""
    config, schema, name = read.config, read.schema, read.config.model.name
    if schema.labels:
        raise _refused(
            read,
            ("schema", "labels"),
            f"schema.labels must be left out for {name}, a match model, which learns "
            "from positives alone; samples.positives chooses them. Received: "
            f"{[label.name for label in schema.labels]}",
        )
    if config.samples.negatives is not None:
        raise _refused(
            read,
            ("samples", "negatives"),
            f"samples.negatives must be left out for {name}, a match model, which "
            "draws its own. Received: negatives",
        )
    if config.training.loss is not None:
        raise _refused(
            read,
            ("training", "loss"),
            f"training.loss must be left out for {name}, a match model, which has its "
            f"own. Received: {config.training.loss!r}",
        )
    if config.evaluation != Evaluation():
        raise _refused(
            read,
            ("evaluation",),
            f"evaluation must be left out for {name}, a match model, of which recall "
            "and NDCG at candidates.k are told. Received: other values than the "
            "defaults",
        )
    if config.split.by == "users":
        raise _refused(
            read,
            ("split", "by"),
            f"split.by must not be 'users' for {name}, a match model, of which nothing "
            "could be asked but before a user's first event. Received: 'users'",
        )
    monitor, known = config.training.monitor, measures_of(config)
    if monitor is not None and monitor not in known:
        raise _refused(
            read,
            ("training", "monitor"),
            f"training.monitor must be one of {', '.join(known)} for {name}, a match "
            f"model. Received: {monitor!r}",
        )
    _check_keys(read)


def measures_of(config: Config) -> list[str]:
    """Returns what the logs tell of the validation users."""
    return [f"val_{name}@{config.candidates.k}" for name in ("recall", "ndcg")]


def monitor_of(config: Config) -> str:
    """Returns what chooses the epoch: as given, or the first of what is told."""
    return config.training.monitor or measures_of(config)[0]


def item_of(schema: Schema) -> str | None:
    """Returns the column that match models take for the item, if there is one.

    That is the item column of one id whose table a history shares, or the first.
    """
    items = [c for c in schema.columns if isinstance(c, ONE_ID) and c.belong == "item"]
    histories = [c for c in schema.columns if isinstance(c, History)]
    watched = {schema.owner(schema.column(n)).name for h in histories for n in h.of}
    owned = [c for c in items if schema.owner(c).name in watched]
    return next((column.name for column in [*owned, *items]), None)


def user_of(schema: Schema) -> str | None:
    """Returns the column that match models take for the user, if there is one."""
    columns = [c for c in schema.columns if isinstance(c, ONE_ID)]
    return next((c.name for c in columns if c.belong == "user"), None)


def _check_keys(read: Read) -> None:
    data, schema, name = read.config.data, read.schema, read.config.model.name
    histories = any(isinstance(column, History) for column in schema.columns)
    needed = ["user", "item", *(["time"] if histories else [])]
    for key in needed:
        if getattr(data, key) is None:
            raise _refused(
                read,
                ("data",),
                f"data.{key} must name the column of the {key}, for {name}, a match "
                f"model{' with histories' if key == 'time' else ''}. Received: none",
            )
    item, user = item_of(schema), user_of(schema)
    column = None if item is None else schema.column(item)
    if not isinstance(column, Categorical) or column.source != data.item:
        raise _refused(
            read,
            ("schema", "columns"),
            f"schema.columns must have {data.item!r}, which data.item names, as a "
            "categorical column with belong: item, of which the histories are, or "
            f"else before other ids of items. Received: {column!r}",
        )
    if "user" in about(name).needs:
        column = None if user is None else schema.column(user)
        if not isinstance(column, ONE_ID) or column.source != data.user:
            raise _refused(
                read,
                ("schema", "columns"),
                f"schema.columns must have {data.user!r}, which data.user names, "
                f"before other ids of users, for {name}. Received: {column!r}",
            )
    if not asked_columns(schema):
        raise _refused(
            read,
            ("schema", "columns"),
            f"schema.columns must tell something of the user, for {name}: a column or "
            "a history. Received: those of the item alone",
        )


def _refused(read: Read, keys: Keys, text: str) -> ValueError:
    return ValueError(f"{read.origin.where(*keys)}: {text}")
