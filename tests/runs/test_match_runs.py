"""Runs of match models: from choices in a file to what users should get."""

import datetime
import json
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from recsys.cli.main import app
from recsys.layers.graph import GRAPH
from recsys.runs import training
from recsys.runs.config import Config
from recsys.runs.finished import Run
from recsys.runs.matching.building import build_match
from recsys.runs.matching.kept import _next, _over
from recsys.runs.matching.queries import queries_of
from recsys.runs.matching.recommending import _text
from recsys.runs.reading import read_config
from recsys.runs.running import Stopped, run
from recsys.runs.samples.engine import embedded
from recsys.runs.samples.split import PARTS
from recsys.runs.shown import as_yaml
from tests.close import close
from tests.runs import planted
from tests.runs.planted_choices import choices, write_choices

QUIET = Console(quiet=True)
K = 10


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The columns of the events, their folder and a run of two seeds."""
    folder = tmp_path_factory.mktemp("choices")
    columns = write_choices(folder)
    entries = choices(folder, training={"seeds": [0, 3]})
    path = folder / "first.yaml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    samples = folder / "samples"  # which stay
    done = run(path, runs=folder / "runs", console=QUIET, samples=samples)
    return columns, folder, done


def rows_by_part(columns):
    """Places of the rows of each part: the purchases, cut in time."""
    buys = np.flatnonzero(columns["action"] == "buy")
    order = np.sort(columns["when"][buys])
    cuts = [order[math.ceil(share * len(buys) - 1e-9)] for share in (0.7, 0.85)]
    part = np.sum([columns["when"][buys] >= cut for cut in cuts], axis=0)
    return [buys[part == place] for place in range(3)]


def ids_of(done, items):
    """Ids by the vocabulary, 1 of what is not in it."""
    words = done.pipeline.vocabulary("what").to_pydict()
    ids = dict(zip(words["value"], words["id"], strict=True))
    return [ids.get(int(item), 1) for item in items]


def history(columns, user, time):
    """The last items of a user before a time, oldest first; of equal time by id."""
    mine = (columns["who"] == user) & (columns["when"] < time)
    return columns["when"][mine], columns["what"][mine]


def past_of(done, columns, user, time):
    when, what = history(columns, user, time)
    ids = np.array(ids_of(done, what), int)
    kinds = done.pipeline.vocabulary("kind").to_pydict()
    kind = dict(zip(kinds["value"], kinds["id"], strict=True))
    of = np.array([kind[f"k{(item - 100) // 16}"] for item in what], int)
    last = np.lexsort((of, ids, when))[-5:]
    pad = [0] * (5 - len(last))
    return [*ids[last], *pad], [*of[last], *pad]


def expected(done, columns, part):
    """Users of a part, with their histories, what they should get, and what not."""
    parts = rows_by_part(columns)
    here, before = parts[part], np.concatenate([[], *parts[:part]]).astype(int)
    found = {}
    for user in np.unique(columns["who"][here]):
        rows = here[columns["who"][here] == user]
        had = {*columns["what"][before[columns["who"][before] == user]]}
        first = rows[np.argmin(columns["when"][rows])]
        mood = columns["mood"][first]
        found[str(user)] = (
            (*past_of(done, columns, user, columns["when"][first]), mood),
            sorted(ids_of(done, {*columns["what"][rows]} - had)),
            sorted(ids_of(done, had)),
        )
    return found


def rows_of(csr):
    return [sorted(ids) for ids in np.split(csr[1], csr[0][1:-1])]


@pytest.mark.parametrize("part", ["valid", "test"])
def test_users_are_asked_about_what_they_do_next(made, part):
    columns, folder, done = made
    asked = queries_of(done.read, done.pipeline, folder / "samples", part)
    wanted = expected(done, columns, PARTS.index(part))
    assert asked.users.to_pylist() == [*wanted]
    table = asked.columns.to_pydict()
    assert table["past_what"] == [past[0] for past, *_ in wanted.values()]
    assert table["past_kind"] == [past[1] for past, *_ in wanted.values()]
    words = done.pipeline.vocabulary("who").to_pydict()
    ids = dict(zip(words["value"], words["id"], strict=True))
    moods = done.pipeline.vocabulary("mood").to_pydict()
    mood = dict(zip(moods["value"], moods["id"], strict=True))
    assert table["mood"] == [mood[past[2]] for past, *_ in wanted.values()]
    assert table["who"] == [ids.get(user, 1) for user in wanted]
    assert rows_of(asked.relevant) == [relevant for _, relevant, _ in wanted.values()]
    assert rows_of(asked.excluded) == [excluded for *_, excluded in wanted.values()]
    here = rows_by_part(columns)[PARTS.index(part)]
    pairs = len({*zip(columns["who"][here], columns["what"][here], strict=True)})
    again = pairs - sum(len(relevant) for _, relevant, _ in wanted.values())
    new = sum(not had for *_, had in wanted.values())
    notes = [
        f"{part}: {again} of {pairs} items that users had are of those that they had "
        "before, which are not recommended again, and not asked for.",
        f"{part}: {new} of {len(wanted)} users have no earlier row.",
    ]
    assert again and asked.notes == (notes if new else notes[:1])
    assert bool(new) == (part == "valid")


def test_what_was_had_last_stands_last(made):
    columns, folder, done = made
    asked = queries_of(done.read, done.pipeline, folder / "samples", "test")
    before = np.concatenate(rows_by_part(columns)[:2])
    offsets, ids = asked.excluded
    for place, user in enumerate(asked.users.to_pylist()):
        rows = before[columns["who"][before] == user]
        latest = {}
        for row in rows:
            item = columns["what"][row]
            latest[item] = max(columns["when"][row], latest.get(item, START_OF_TIME))
        here = ids[offsets[place] : offsets[place + 1]]
        when = dict(zip(ids_of(done, latest), latest.values(), strict=True))
        assert [*map(when.get, here)] == sorted(when.values())


START_OF_TIME = np.datetime64("1970-01-01T00:00:00")


def best_of(scores, excluded, k):
    scores = scores.copy()
    scores[:2] = -np.inf
    scores[excluded] = -np.inf
    order = np.lexsort((np.arange(len(scores)), -scores))[:k]
    return [int(i) for i in order if scores[i] > -np.inf]


def vectors_of(done, users, pasts):
    words = done.pipeline.vocabulary("who").to_pydict()
    ids = dict(zip(words["value"], words["id"], strict=True))
    moods = done.pipeline.vocabulary("mood").to_pydict()
    mood = dict(zip(moods["value"], moods["id"], strict=True))
    columns = {
        "who": np.array([ids.get(user, 1) for user in users], "int32"),
        "past_what": np.array([past[0] for past in pasts], "int32"),
        "past_kind": np.array([past[1] for past in pasts], "int32"),
        "mood": np.array([mood[past[2]] for past in pasts], "int32"),
    }
    return done.model.user_model.predict(columns, verbose=0)


def judged(scores, wanted):
    """Recall and NDCG at K of scores of all items, as means over users."""
    recall, ndcg = [], []
    for row, (_, relevant, excluded) in zip(scores, wanted.values(), strict=True):
        if relevant:
            gains = np.isin(best_of(row, excluded, K), [i for i in relevant if i > 1])
            discount = 1 / np.log2(np.arange(K) + 2)
            best = discount[: len(relevant)].sum()
            recall.append(gains.sum() / len(relevant))
            ndcg.append(gains @ discount[: len(gains)] / best)
    return {f"recall@{K}": np.mean(recall), f"ndcg@{K}": np.mean(ndcg)}


def test_the_metrics_are_those_of_whole_lists_beside_the_most_popular(made):
    columns, _, done = made
    items = done.model.item_matrix()
    train = ids_of(done, columns["what"][rows_by_part(columns)[0]])
    counts = np.bincount(train, minlength=len(items)).astype(float)
    logs = json.loads((done.folder / "epochs.json").read_text())
    best = done.metrics["best_epoch"] - 1
    found = {1: {name: logs[f"val_{name}"][best] for name in done.metrics["test"]}}
    found[2] = done.metrics["test"]
    for part, metrics in found.items():
        wanted = expected(done, columns, part)
        vectors = vectors_of(done, wanted, [past for past, *_ in wanted.values()])
        for name, value in judged(vectors @ items.T, wanted).items():
            close(metrics[name], value, terms=300)
    for name, value in judged([counts] * len(wanted), wanted).items():
        close(done.metrics["baseline"][name], value, terms=300)
    assert done.metrics["test"][f"recall@{K}"] > 0.35
    assert done.metrics["baseline"][f"recall@{K}"] < 0.2  # the planted tastes


def test_the_folder_and_the_report_have_what_they_promise(made):
    columns, folder, done = made
    assert {each.name for each in done.folder.iterdir()} == {
        ".lock", "config.yaml", "epochs.json", "events.parquet", "items.parquet",
        "last.keras", "metrics.json", "model.keras", "pipeline", "report.html",
        "run.json", "seed-3", "seen.parquet", "users.parquet",
    }  # fmt: skip
    logs = json.loads((done.folder / "epochs.json").read_text())
    assert {*logs} == {"loss", f"val_recall@{K}", f"val_ndcg@{K}"}
    line = logs[f"val_recall@{K}"]
    assert done.metrics["monitor"] == f"val_recall@{K}"
    assert done.metrics["best_epoch"] == np.argmax(line) + 1
    page = (done.folder / "report.html").read_text()
    other = json.loads((done.folder / "seed-3" / "metrics.json").read_text())
    both = [each["test"][f"recall@{K}"] for each in (done.metrics, other)]
    assert f"{np.mean(both):.4f} ± {np.std(both, ddof=1):.4f}" in page
    for each in ("most popular", "Had last", "Item, the", "✓", f"ndcg@{K}"):
        assert each in page
    assert "http" not in page
    users = pq.read_table(done.folder / "users.parquet").to_pydict()
    buys = columns["action"] == "buy"
    assert users["who"] == sorted({*columns["who"][buys]})
    assert {str(t) for t in users["when"]} == {f"{when_over(columns)}"}


def when_over(columns):
    last = columns["when"].max().astype(datetime.datetime)
    return last + datetime.timedelta(microseconds=1)


@pytest.mark.parametrize("include_seen", [False, True])
def test_recommended_is_the_best_of_what_was_not_seen(made, include_seen):
    columns, _, done = made
    table = done.recommend(k=4, include_seen=include_seen).to_pydict()
    buys = columns["action"] == "buy"
    users = sorted({*map(str, columns["who"][buys])})
    assert table["user"] == [user for user in users for _ in range(4)]
    assert table["rank"] == [1, 2, 3, 4] * len(users)
    over = np.datetime64(when_over(columns))
    asked = []
    for user in users:
        rows = np.flatnonzero(buys & (columns["who"] == user))
        latest = columns["when"][rows] == columns["when"][rows].max()
        mood = columns["mood"][rows[latest][-1]]
        asked.append((*past_of(done, columns, user, over), mood))
    vectors = vectors_of(done, users, asked)
    items = done.model.item_matrix()
    words = done.pipeline.vocabulary("what")["value"].to_pylist()
    seen_again = 0
    for place, user in enumerate(users):
        had = {*columns["what"][buys & (columns["who"] == user)].tolist()}
        scores = items @ vectors[place]
        excluded = [] if include_seen else [i for i in ids_of(done, had) if i > 1]
        best = best_of(scores, excluded, 4)
        rows = slice(4 * place, 4 * place + 4)
        assert table["item"][rows] == [words[i - 2] for i in best]
        close(np.array(table["score"][rows]), scores[best], terms=100)
        seen_again += len({*table["item"][rows]} & had)
    assert (seen_again > 0) == include_seen
    assert table["title"] == [f"Item, the {item - 100}" for item in table["item"]]


def test_a_user_is_told_on_the_terminal_and_all_in_a_file(made, tmp_path, monkeypatch):
    _, folder, done = made
    monkeypatch.setattr("recsys.runs.matching.recommending.BATCH", 40)
    runs = ["--runs", str(folder / "runs")]
    told = CliRunner().invoke(
        app, ["recommend", "first", "--user", "u7", "--user", "u3", "-k", "2", *runs]
    )
    assert told.exit_code == 0, told.output
    lines = [line.split("│")[1:-1] for line in told.output.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    few = done.recommend(["u7", "u3"], 2).to_pylist()
    wanted = [
        [str(v) if not isinstance(v, float) else f"{v:.4f}" for v in row.values()]
        for row in few
    ]
    assert cells == wanted
    every = done.recommend(k=2).to_pylist()
    mine = [row for user in ("u7", "u3") for row in every if row["user"] == user]
    assert [row["item"] for row in few] == [row["item"] for row in mine] and mine
    for suffix, reader in ((".parquet", pq.read_table), (".csv", pyarrow.csv.read_csv)):
        output = tmp_path / f"all{suffix}"
        asked = ["recommend", "first", "-k", "2", "--output", str(output), *runs]
        assert CliRunner().invoke(app, asked).exit_code == 0
        assert reader(output)["item"].equals(done.recommend(k=2)["item"])


def test_a_user_has_no_more_than_there_are(made):
    columns, _, done = made
    mine = (columns["who"] == "u3") & (columns["action"] == "buy")
    known = {*columns["what"][rows_by_part(columns)[0]].tolist()}
    table = done.recommend(["u3"], 500)
    assert {*table["item"].to_pylist()} == known - {*columns["what"][mine].tolist()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "u3", "--user", "u900", "--user", "x"], "Received: 'u900', 'x'"),
        ([], "--output must name a file for all users"),
        (["--output", "all.txt"], "must end in .parquet or .csv"),
    ],
)
def test_what_cannot_be_recommended(made, arguments, said):
    _, folder, _ = made
    runs = ["--runs", str(folder / "runs")]
    told = CliRunner().invoke(app, ["recommend", "first", *arguments, *runs])
    assert told.exit_code == 2 and said in told.output


def test_users_that_a_gap_made_floating_are_integers():
    assert [_text(user) for user in (7.0, np.float64(8), 7, "7.0", 7.5)] == [
        "7", "8", "7", "7.0", "7.5",
    ]  # fmt: skip


@pytest.mark.parametrize("users", ["u3", []])
def test_users_are_a_list(made, users):
    with pytest.raises(ValueError, match="users must be a list of one id or more"):
        made[2].recommend(users)


def test_a_run_of_tasks_recommends_nothing(tmp_path):
    entries = Config.model_validate(planted.config(tmp_path / "log.csv"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.yaml").write_text(as_yaml(entries))
    (tmp_path / "a" / "run.json").write_text('{"finished": true}')
    with pytest.raises(ValueError, match="a must be a run of a match model.*of lr"):
        Run("a", tmp_path).recommend()


def test_predictions_are_scores_of_users_and_items(made, tmp_path):
    columns, folder, done = made
    raw = {name: columns[name][:50] for name in ("what", "who", "when", "mood")}
    pyarrow.csv.write_csv(pa.table(raw), tmp_path / "raw.csv")
    output = tmp_path / "scores.parquet"
    runs = ["--runs", str(folder / "runs")]
    arguments = ["predict", "first", str(tmp_path / "raw.csv"), "--output", str(output)]
    result = CliRunner().invoke(app, [*arguments, *runs])
    assert result.exit_code == 0, result.output
    table = pq.read_table(output)
    assert table.column_names == ["who", "what", "when", "score"]
    pasts = [
        (*past_of(done, columns, user, time), mood)
        for user, time, mood in zip(raw["who"], raw["when"], raw["mood"], strict=True)
    ]
    vectors = vectors_of(done, raw["who"], pasts)
    ids = np.array(ids_of(done, raw["what"]))
    wanted = np.sum(vectors * done.model.item_matrix()[ids], axis=1)
    close(table["score"].to_numpy(), wanted, terms=100)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["schema.labels=[bought]"], "--set schema.labels.*labels must be left out"),
        (["samples.negatives.label=bought"], "samples.negatives must be left out"),
        (["evaluation.metrics=[auc]"], "evaluation must be left out"),
        (["training.loss=hinge"], "training.loss must be left out"),
        (["split.by=users"], "must not be 'users'"),
        (["training.monitor=val_auc"], "must be one of val_recall@10, val_ndcg@10"),
        (["data.time=null"], "data.time must name .* with histories"),
        (["data.user=null"], "data.user must name"),
        (["data.item=kind", "data.items=[]"], "'kind', .* as a categorical column"),
        (["model.name=ncf"], "ncf computes its score from both"),
        (["model.arguments.hiden=1"], "two_tower has no argument 'hiden'"),
        (["model.name=lr", "model.arguments={}"], "candidates must be left out"),
    ],
)
@pytest.mark.filterwarnings("ignore:ncf does not read:UserWarning")
def test_what_cannot_be_leaves_no_folder(made, settings, said):
    _, folder, _ = made
    path, runs = folder / "first.yaml", folder / "runs"
    if "model.name=ncf" in settings:
        settings = [*settings, "model.arguments={}"]
    before = {each.name for each in runs.iterdir()}
    with pytest.raises(ValueError, match=said):
        run(path, settings=settings, runs=runs, console=QUIET)
    assert {each.name for each in runs.iterdir()} == before


def test_a_run_that_was_stopped_goes_on_to_the_same_digits(made, tmp_path, monkeypatch):
    _, folder, _ = made

    class Dies(training.TrainingProgress):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            self.count = getattr(self, "count", 0) + 1
            if self.count == 22:  # in the second epoch
                raise KeyboardInterrupt

    path = tmp_path / "run.yaml"
    entries = choices(folder, training={"epochs": 2})
    path.write_text(yaml.safe_dump(entries))
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(training, "TrainingProgress", Dies)
        patched.setattr(training, "SAVE_STEPS", 3)
        run(path, name="a", runs=tmp_path, console=QUIET)
    done = run(tmp_path / "a" / "config.yaml", resume=True, console=QUIET)
    whole = run(path, name="b", runs=tmp_path, console=QUIET)
    assert done.metrics["test"] == whole.metrics["test"]
    logs = [json.loads((r.folder / "epochs.json").read_text()) for r in (done, whole)]
    assert logs[0] == logs[1] and len(logs[0]["loss"]) == 2
    assert done.recommend(k=3).equals(whole.recommend(k=3))


def test_weights_of_rows_are_those_of_the_loss(made):
    _, folder, done = made
    read = read_config(folder / "first.yaml", ["schema.sample_weight=paid"])
    model = build_match(read, done.pipeline, folder / "samples")
    assert model.get_layer("score").sample_weight == "sample_weight"
    assert done.model.get_layer("score").sample_weight is None


def test_the_user_of_the_model_is_that_of_the_data(made):
    _, folder, _ = made
    entries = choices(folder, model={"name": "dat", "arguments": {}})
    entries["schema"]["columns"].insert(0, {"kind": "categorical", "name": "action"})
    with pytest.raises(ValueError, match="'who', which data.user names, before other"):
        run(entries, name="dat", runs=folder / "runs", console=QUIET)


def test_a_graph_has_the_pairs_of_the_training_rows(made, tmp_path):
    columns, folder, _ = made
    entries = choices(folder, training={"epochs": 1, "batch_size": 512})
    columns_of = entries["schema"]["columns"]
    entries["schema"] = {"columns": columns_of[:2]}
    entries["model"] = {"name": "lightgcn", "dim": 8}
    done = run(entries, name="graph", runs=tmp_path, console=QUIET)
    train = rows_by_part(columns)[0]
    words = done.pipeline.vocabulary("who").to_pydict()
    ids = dict(zip(words["value"], words["id"], strict=True))
    users = [ids[user] for user in columns["who"][train]]
    wanted = {*zip(users, ids_of(done, columns["what"][train]), strict=True)}
    graph = done.model.get_layer(GRAPH)
    size = graph.num_users
    ends = zip(graph.nodes.numpy(), graph.neighbours.numpy(), strict=True)
    assert {(int(u), int(i) - size) for u, i in ends if u < size} == wanted
    assert not (done.folder / "events.parquet").exists()
    assert len(done.recommend(["u3"], 5)) == 5


@pytest.mark.parametrize(
    "time",
    [
        7,
        0.5,
        Decimal("1.25"),
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999),
    ],
)
def test_the_next_time_is_later_and_of_its_kind(time):
    assert _next(time) > time and type(_next(time)) is type(time)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([5, 9], "int32"),
        pa.array([5.5, 9.25]),
        pa.array([Decimal("5.50"), Decimal("9.25")], pa.decimal128(10, 2)),
        pa.array([5, 9], pa.date32()),
        pa.array([5, 9], pa.timestamp("s")),
        pa.array([5, 9_000_000_001], pa.timestamp("ns")),
        pa.array([5, 9], pa.timestamp("us", "UTC")),
    ],
    ids=lambda times: str(times.type),
)
def test_users_are_asked_when_all_events_are_over(tmp_path, times):
    entries = choices(tmp_path)
    read = read_config(entries)
    table = pa.table({"who": ["a", "b"], "what": [1, 2], "when": times})
    pq.write_table(table, tmp_path / "events.parquet")
    with embedded(tmp_path / "engine") as engine:
        users = engine.connection.read_parquet(tmp_path / "events.parquet")
        made = users.mutate(**_over(read, tmp_path, users, engine))
        over = engine.run(made)["when"].to_pylist()
        dtype = made["when"].type()
        assert engine.run(made.filter(made["when"] > users["when"])).num_rows == 2
    assert over[0] == over[1] and dtype == users["when"].type()


def fake_run(folder, model, recalls, k=10):
    seeds = [*range(len(recalls))]
    for seed, recall in zip(seeds, recalls, strict=True):
        at = folder if not seed else folder / f"seed-{seed}"
        at.mkdir(parents=True)
        found = {"test": {f"recall@{k}": recall}, "parameters": 10, "seconds": 2.0}
        (at / "metrics.json").write_text(json.dumps(found))
    entries = choices(folder, training={"seeds": seeds}, candidates={"k": k})
    entries["data"] = {**entries["data"], "files": ["events.csv"], "items": []}
    entries["model"] = {"name": model}
    (folder / "config.yaml").write_text(as_yaml(Config.model_validate(entries)))
    record = {"finished": True, "data": {"events.csv": "sum"}}
    (folder / "run.json").write_text(json.dumps(record))


def test_match_runs_are_compared_seed_by_seed(tmp_path):
    fake_run(tmp_path / "a", "sasrec", [0.2, 0.3])
    fake_run(tmp_path / "b", "mind", [0.5, 0.4])
    numbers = tmp_path / "numbers.json"
    arguments = ["compare", "a", "b", "--runs", str(tmp_path), "--json", str(numbers)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0 and "users are not resampled" in told.output
    found = json.loads(numbers.read_text())["tasks"]["test users"]["recall@10"]
    close([each["mean"] for each in found], [0.25, 0.45])
    close(found[1]["deviation"], np.std([0.5, 0.4], ddof=1))
    close(found[1]["difference"]["value"], 0.2)
    assert found[1]["p"] is None
    fake_run(tmp_path / "c", "sasrec", [0.2], k=20)
    told = CliRunner().invoke(app, [*arguments[:3], "c", *arguments[3:]])
    assert told.exit_code == 2 and "whose candidates is not that of" in told.output
