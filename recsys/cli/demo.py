"""`recsys demo`: a run of two stages on MovieLens-100K, from its file on."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.refusing import refusing
from recsys.cli.train import stoppable

YAML = """\
# MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, in three files.
# Made by `recsys demo`, which then does what this does:
#
#   recsys train {file}

data:
  files: ratings.parquet
  items: films.parquet  # one row for each, joined by item_id
  users: people.parquet
  user: user_id
  item: item_id
  time: timestamp

schema:
  columns:
  - {kind: categorical, name: user_id}
  - {kind: numeric, name: age, standardize: true}
  - {kind: categorical, name: gender}
  - {kind: categorical, name: occupation}
  - {kind: categorical, name: item_id, belong: item}
  - {kind: multivalue, name: genres, belong: item, length: 6}
  # What a person watched before, in strictly earlier events.
  - kind: history
    name: seen
    of: [item_id]
    length: 20
    user: user_id
    time: timestamp
  labels: [watched]
  groups: {user: user_id}  # for metrics within people

# A film that was watched stands against two of the candidates of the first stage that
# its user never rated.
samples:
  negatives: {label: watched, per_event: 2, by: candidates}

# The last tenth of the events of each person tests, the tenth before chooses the epoch.
split: {by: user_time, valid: 0.1, test: 0.1}

# The first stage chooses films out of all of them.
match:
  model:
    name: youtube_dnn
    dim: 32
    arguments:
      {hidden_units: [256, 64], dropout: 0.2, normalize: true, temperature: 0.1}
  training: {epochs: 8, batch_size: 512, learning_rate: 0.002}
  candidates: {k: 50}

# The second puts them in order.
model:
  name: din
  arguments: {dropout: 0.2}
training: {epochs: 3, learning_rate: 0.002, patience: 1}
evaluation: {metrics: [gauc, auc, log_loss]}  # the first chooses the epoch
"""


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the data and the run's file go.")
    ] = Path("demo"),
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Write MovieLens-100K and a run's file, and train it: match, then rank."""
    with refusing("demo"), stoppable():
        from recsys.runs.running import run

        run(write(folder), runs=runs)


def write(folder: Path) -> Path:
    """Writes the data as parquet, and the run's file.

    Args:
        folder: Where to, made if it is not there.

    Returns:
        The run's file.

    Raises:
        FileExistsError: If the file is there and says something else, as it may have
            been edited.
        OSError: If MovieLens-100K cannot be fetched.
    """
    import pyarrow.parquet as pq

    from recsys.data.movielens import load_movielens_100k
    from recsys.data.writing import whole_file

    file = folder / "demo.yaml"
    text = YAML.replace("{file}", str(file))
    if file.exists() and file.read_text() != text:
        raise FileExistsError(
            f"{file} must not be there, or be as it was made: `recsys train {file}` "
            "trains what it says. Received: a file that was edited"
        )
    try:
        data = load_movielens_100k()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"ratings": data.ratings, "films": data.items, "people": data.users}
    for name, table in tables.items():
        with whole_file(folder / f"{name}.parquet") as part:
            pq.write_table(table, part)
    with whole_file(file) as part:
        part.write_text(text)
    return file
