"""What a run is made from: one YAML file, section by section."""

import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Files = Annotated[
    list[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Number = int | Annotated[float, Field(allow_inf_nan=False)]


def _moment(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError as error:
        raise PydanticCustomError(
            "moment",
            "must be a number, a date (2024-12-31), or a timestamp (2024-12-31 "
            "18:00:00), without quotes",
        ) from error


Moment = Annotated[
    Number | datetime.datetime | datetime.date | None, WrapValidator(_moment)
]


def begun(moment: Any) -> Any:
    """Returns the midnight that begins a date, and any other moment itself."""
    if type(moment) is datetime.date:
        return datetime.datetime.combine(moment, datetime.time())
    return moment


def _once(values: list[int]) -> list[int]:
    if len({*values}) < len(values):
        raise PydanticCustomError("twice", "must have each number once")
    return values


class Section(BaseModel):
    """Keys that are not known are refused, and values are never cast."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Data(Section):
    """Where the events are, and who did what when in them."""

    files: Annotated[Files, Field(min_length=1)]
    """The events: files, folders or patterns, all CSV (also .tsv, .gz) or all parquet.
    Names are as seen from the folder of this file."""
    items: Files = []
    """Files of items, one row for each, joined by the column that `item` names."""
    users: Files = []
    """Files of users, one row for each, joined by the column that `user` names."""
    user: str | None = None
    """Raw column of the user."""
    item: str | None = None
    """Raw column of the item."""
    time: str | None = None
    """Raw column of the time: a number, a date or a timestamp."""
    engine: Literal["duckdb", "spark"] = "duckdb"
    """What makes the rows, the same ones: DuckDB inside the process, or a local Spark
    with its usual settings (extra `spark`, and Java), which has no nanoseconds."""


class Negatives(Section):
    """Rows of items that a user did not choose; all events are then positives."""

    label: str
    """The label to make: 1 for events, 0 for what is drawn."""
    per_event: Count = 4
    """Drawn for each event, with its user and time."""
    by: Literal["uniform", "popularity", "candidates"] = "uniform"
    """How: each item alike, or by its events in the training part, where of a split by
    `time` items are drawn from their first part on; or, in a run of two stages, out of
    the candidates that the first has for the user at that time: hard ones."""


class Samples(Section):
    """From events to the rows that train and test."""

    where: dict[str, Any] = {}
    """Which events become rows: raw column -> the value it has, or a list of values.
    Histories may hold the others too."""
    positives: dict[str, Any] = {}
    """Of a match model: which rows are the choices that it learns from, like `where`,
    but of rows that are split already."""
    labels: dict[str, str] = {}
    """Labels by a rule: name -> "column >= number", also <, <=, >, == and !=."""
    min_user_events: Count = 1
    """Users of less events are left out, again and again until none is left
    (the k-core)."""
    min_item_events: Count = 1
    """Items of less events are left out, likewise."""
    negatives: Negatives | None = None
    """Negatives for events that are all positive."""
    seed: int = 0
    """Seed of what is drawn."""


class Split(Section):
    """What trains, what chooses the epoch, and what tests."""

    by: Literal["time", "user_time", "leave_one_out", "ratio", "users", "files"] = (
        "time"
    )
    """`time`: one cut for all; `user_time`: a cut for each user; `leave_one_out`: the
    last event of each user tests, the one before chooses; `ratio`: rows at random;
    `users`: users at random; `files`: what `valid_files` and `test_files` name."""
    valid: Share = 0.1
    """Share of the rows (of the users) that choose the epoch."""
    test: Share = 0.1
    """Share of the rows (of the users) that test."""
    gap: Annotated[float, Field(ge=0)] = 0
    """Of `time`: what is left out before each cut, in seconds, or in the unit of a time
    that is a number; for labels that become known late."""
    valid_from: Moment = None
    """Of `time`: when the rows begin that choose the epoch; in place of `valid`."""
    test_from: Moment = None
    """Of `time`: when the rows begin that test; in place of `test`."""
    until: Moment = None
    """Of `time`: events from then on are left out before anything else is done, as if
    the run were made at that time; none is of all events."""
    valid_files: Files = []
    """Of `files`: the files that choose the epoch; `data.files` trains."""
    test_files: Files = []
    """Of `files`: the files that test."""
    seed: int = 0
    """Of `ratio` and `users`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.valid_from is None) != (self.test_from is None):
            raise PydanticCustomError(
                "split", "must have valid_from and test_from, or neither"
            )
        given = [self.valid_from, self.test_from, self.until]
        times: list[Any] = [begun(each) for each in given if each is not None]
        try:
            in_order = all(one < other for one, other in pairwise(times))
        except TypeError as error:
            raise PydanticCustomError(
                "split", "must have valid_from, test_from and until of one type"
            ) from error
        if not in_order:
            raise PydanticCustomError(
                "split", "must have valid_from before test_from, and that before until"
            )
        return self


class Model(Section):
    """Which model, and how it is built."""

    name: str
    """Its name, see `recsys models`."""
    dim: Count | dict[str, Count] = 16
    """Width of the embeddings: a number, or one for each column that owns a table."""
    arguments: dict[str, Any] = {}
    """Further arguments, see `recsys models NAME`."""


class Schedule(Section):
    """A learning rate that changes with the steps."""

    by: Literal["cosine", "exponential", "linear"]
    """How it falls from `learning_rate`."""
    end: Annotated[float, Field(ge=0)] = 0
    """Learning rate of the last step of all epochs."""


class Training(Section):
    """How it is trained."""

    epochs: Count = 10
    """Most epochs."""
    batch_size: Count = 1024
    """Rows of a batch."""
    optimizer: str | dict[str, str] = "adam"
    """One for all weights, or by what their names begin with, such as
    `{embedding: adagrad, default: adam}`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Of all optimizers; none is the default of each."""
    schedule: Schedule | None = None
    """How the learning rate changes; none is not at all."""
    loss: str | dict[str, str] | None = None
    """One for all tasks, or by task; none is that of the kind of label."""
    monitor: str | None = None
    """Metric of the validation rows that chooses the epoch, such as `val_auc`; none is
    the first of `evaluation.metrics`."""
    patience: Annotated[int, Field(ge=0)] = 2
    """Epochs without a better one after which training ends."""
    keep_negatives: Annotated[float, Field(gt=0, le=1)] = 1
    """Share of the training rows of label 0 that are kept; the logit is shifted by its
    logarithm in use, so that predictions are rates of all rows."""
    seeds: Annotated[list[int], Field(min_length=1), AfterValidator(_once)] = [0]
    """A model is trained for each; the first is the run's own."""


class Evaluation(Section):
    """What is told of the test rows."""

    metrics: list[str] = []
    """Names as in `recsys.metrics`, the most important first; none are those of the
    kind of label."""
    group: str | None = None
    """Key of `schema.groups`, for metrics within users or queries; none: the first."""
    resamples: Annotated[int, Field(ge=0)] = 200
    """Of the bootstrap, behind the intervals."""


class Candidates(Section):
    """What is told of the lists of a match model."""

    k: Count = 50
    """Where lists are cut: `recall@k` and `ndcg@k` of the whole catalogue. Of the first
    of two stages this is also how many the second one puts in order."""


class Match(Section):
    """The first of two stages: a match model, whose candidates the other one ranks."""

    model: Model
    training: Training = Training()
    candidates: Candidates = Candidates(k=100)


class Range(Section):
    """Numbers from one end to another, both included."""

    low: Number
    """The least. Whole ends, and no step or a whole one, are of whole numbers."""
    high: Number
    """The most."""
    log: bool = False
    """Whether each size is as likely as ten times it."""
    step: Number | None = None
    """From one number to the next; none is 1 of whole numbers, and any of others."""

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole ones."""
        given = [self.low, self.high, 1 if self.step is None else self.step]
        return all(isinstance(each, int) for each in given)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise PydanticCustomError("range", "must have low below high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise PydanticCustomError(
                "range", "must have low above 0 and no step, as log is true"
            )
        if self.step is not None:
            low, high = Decimal(str(self.low)), Decimal(str(self.high))
            if self.step <= 0 or (high - low) % Decimal(str(self.step)):
                raise PydanticCustomError(
                    "range", "must have a step that leads from low to high"
                )
        return self


def _told(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """What is wrong with an entry of a space, in one sentence."""
    try:
        entry = check(value)
    except ValidationError as error:
        found = [each["msg"] for each in error.errors() if each["type"] == "range"]
        wanted = (
            "must be a list of choices, or a mapping of low and high, which are "
            "numbers, and of log (true or false) or step"
        )
        raise PydanticCustomError("space", [*found, wanted][0]) from error
    if isinstance(entry, list) and len({*map(repr, entry)}) < max(2, len(entry)):
        raise PydanticCustomError("space", "must have two different choices or more")
    return entry


class Tuning(Section):
    """What `recsys tune` looks for; other commands do not read it."""

    trials: Count = 20
    """How many values are tried, those of earlier calls included."""
    space: dict[str, Annotated[list[Any] | Range, WrapValidator(_told)]] = {}
    """What is tried: a key of `model` or `training` -> a list of choices, or a range as
    in `training.learning_rate: {low: 0.001, high: 0.1, log: true}`. YAML takes 1.0e-3
    for a number, but not 1e-3."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of what is tried."""
    pruning: bool = True
    """Whether a trial ends early whose best epoch so far is below the median of what
    others had at this epoch."""


class Tracking(Section):
    """Where the numbers of training go beside the run's folder (extra `track`)."""

    tensorboard: bool = False
    """Whether the folder has logs for `tensorboard --logdir`."""
    mlflow: str | None = None
    """Name of an experiment of MLflow, which `MLFLOW_TRACKING_URI` says where to find;
    none is not at all."""


class Config(Section):
    """A run: `recsys train FILE` makes a folder of it."""

    data: Data
    declared: Annotated[dict[str, Any], Field(alias="schema")]
    """Columns, labels and groups as in `recsys.data.Schema`."""
    samples: Samples = Samples()
    split: Split = Split()
    match: Match | None = None
    """A match model that chooses the items which `model` then puts in order."""
    model: Model
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    candidates: Candidates = Candidates()
    tuning: Tuning = Tuning()
    tracking: Tracking = Tracking()

    def plain(self) -> dict[str, Any]:
        """Returns it as a YAML file has it, with all defaults."""
        return self.model_dump(by_alias=True)
