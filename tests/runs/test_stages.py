"""Runs of two stages: a match model chooses items, another model ranks them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from recsys.cli.main import app
from recsys.runs import training
from recsys.runs.matching.items import Items
from recsys.runs.page import Grid, Lists
from recsys.runs.reading import read_config
from recsys.runs.running import Stopped, run
from recsys.runs.samples.split import PARTS
from recsys.runs.samples.write import write_samples
from recsys.runs.stages.first import first_stage
from recsys.runs.stages.hard import Candidates
from recsys.runs.stages.lists import recommended
from recsys.runs.stages.ranker import Ranker
from tests.close import close
from tests.runs.planted_choices import FOUND, two_stages, write_choices

QUIET = Console(quiet=True)
K = FOUND


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    columns = write_choices(folder)
    path = folder / "two.yaml"
    path.write_text(yaml.safe_dump(two_stages(folder), sort_keys=False))
    return columns, path, run(path, runs=folder / "runs", console=QUIET)


def test_both_stages_split_the_same_events(made, tmp_path):
    _, path, _ = made
    read = read_config(path)
    write_samples(read.config, path.parent, tmp_path / "second")
    write_samples(first_stage(read).config, path.parent, tmp_path / "first")
    views = 0
    for part in PARTS:
        names = ["who", "what", "when"]
        first = pq.read_table(tmp_path / "first" / f"{part}.parquet", columns=names)
        second = pq.read_table(tmp_path / "second" / f"{part}.parquet")
        second = second.filter(pc.equal(second["bought"], 1.0)).select(names)
        bought, events = first.to_pylist(), second.to_pylist()
        there = [row for row in events if row in bought]
        assert bought == there
        views += len(events) - len(there)
    assert views > 100  # which are no choices


def ranked_by_hand(done, table, user):
    """Candidates of a user, scored as rows of their own."""
    mine = table.filter(pc.equal(table["user"], user))
    users = pq.read_table(done.match.folder / "users.parquet")
    items = pq.read_table(done.match.folder / "items.parquet")
    own = users.filter(pc.equal(users["who"], user)).to_pylist()[0]
    kinds = dict(
        zip(*(items[name].to_pylist() for name in ("what", "kind")), strict=True)
    )
    rows = [{**own, "what": i, "kind": kinds[i]} for i in mine["item"].to_pylist()]
    rows = pa.Table.from_pylist(rows).cast(
        pa.schema([(n, users.schema.field(n).type) for n in own])
        .append(items.schema.field("what"))
        .append(items.schema.field("kind"))
    )
    columns = done.pipeline.transform(rows, events=done.events)
    scores = done.model.predict(columns, verbose=0)[:, 0]
    best = np.argsort(-scores, kind="stable")
    return [mine["item"][int(i)].as_py() for i in best], scores[best]


def test_the_second_stage_ranks_the_candidates_of_the_first(made, monkeypatch):
    _, _, done = made
    monkeypatch.setattr("recsys.runs.stages.ranker.ROWS", 5 * K)
    monkeypatch.setattr("recsys.runs.matching.recommending.BATCH", 100)
    candidates = done.match.recommend(k=K)
    table = done.recommend(k=K)
    moved = 0
    for user in ("u3", "u10", "u11", "u149"):
        items, scores = ranked_by_hand(done, candidates, user)
        mine = table.filter(pc.equal(table["user"], user))
        assert mine["item"].to_pylist() == items
        assert mine["rank"].to_pylist() == [*range(1, K + 1)]
        close(mine["score"].to_numpy(), scores, terms=300)
        matched = candidates.filter(pc.equal(candidates["user"], user))
        moved += matched["item"].to_pylist() != items
    assert moved
    few = done.recommend(["u3"], k=4)
    assert few["item"].to_pylist() == ranked_by_hand(done, candidates, "u3")[0][:4]
    assert few["title"].to_pylist() == [f"Item, the {i.as_py() - 100}" for i in few[2]]


def test_lists_are_judged_by_what_users_chose_later(made, tmp_path, monkeypatch):
    _, _, done = made
    read = read_config(done.folder / "config.yaml")
    first = first_stage(read)
    write_samples(first.config, Path(), tmp_path / "samples")
    monkeypatch.setattr("recsys.runs.stages.lists.places.LISTS", str(tmp_path / "new"))
    blocks = recommended(read, done.folder, first, tmp_path / "samples")
    (grid,) = [block for block in blocks if isinstance(block, Grid)]
    lists = [block for block in blocks if isinstance(block, Lists)]
    assert grid.header == ["", "two_tower", "then din"]
    (train, valid, test) = (
        pq.read_table(tmp_path / "samples" / f"{part}.parquet").to_pylist()
        for part in PARTS
    )
    had, wanted = {}, {}
    for row in (*train, *valid):
        had.setdefault(row["who"], set()).add(row["what"])
    for row in test:
        if row["what"] not in had.get(row["who"], ()):
            wanted.setdefault(row["who"], set()).add(row["what"])
    shown = {each.title.removeprefix("User "): each for each in lists}
    most = sorted(map(len, wanted.values()))[-3:]
    assert min(len(wanted[user]) for user in shown) >= most[0] - 1
    for user, each in shown.items():
        for name in each.lists["Recommended"]:
            item = int(name.removesuffix(" ✓").rpartition(" ")[2]) + 100
            assert (item in wanted[user]) == name.endswith("✓")
            assert item not in had.get(user, ())
    page = (done.folder / "report.html").read_text()
    for _, *cells in grid.rows:
        assert all(f"{cell}</td>" in page for cell in cells)
    values = {name: [float(cell) for cell in cells] for name, *cells in grid.rows}
    assert values["recall@10"][0] > 0.3  # the planted tastes

    monkeypatch.setattr("recsys.runs.stages.lists.MOST_USERS", 40)
    fewer = recommended(read, done.folder, first, tmp_path / "samples")
    assert "40 of " in fewer[1].text
    again = [block for block in fewer if isinstance(block, Lists)]
    assert again == lists


def test_recall_and_ndcg_are_those_of_the_lists(made, tmp_path, monkeypatch):
    _, _, done = made
    first = first_stage(read_config(done.folder / "config.yaml"))
    write_samples(first.config, Path(), tmp_path / "samples")
    had, wanted = {}, {}
    for part in PARTS:
        for row in pq.read_table(tmp_path / "samples" / f"{part}.parquet").to_pylist():
            if part != "test":
                had.setdefault(row["who"], set()).add(row["what"])
            elif row["what"] not in had.get(row["who"], ()):
                wanted.setdefault(row["who"], set()).add(row["what"])
    kept = []
    order = Ranker.order

    def judged(self, users, events, ids):
        found = order(self, users, events, ids)
        kept.append((users["who"].to_pylist(), ids, found[0]))
        return found

    monkeypatch.setattr(Ranker, "order", judged)
    again = tmp_path / "again.json"
    monkeypatch.setattr("recsys.runs.stages.lists.places.LISTS", str(again))
    recommended(done.read, done.folder, first, tmp_path / "samples")
    ((users, matched, ranked),) = kept
    words = done.match.pipeline.vocabulary("what")["value"].to_pylist()
    found = json.loads((done.folder / "lists.json").read_text())
    assert found == json.loads(again.read_text())
    for stage, lists in (("match", matched), ("ranked", ranked)):
        shares, gains = [], []
        for user, row in zip(users, lists, strict=True):
            if want := wanted.get(user):
                hits = np.array([words[i - 2] in want for i in row[:10]])
                discount = 1 / np.log2(np.arange(10) + 2)
                shares.append(hits.sum() / len(want))
                gains.append(hits @ discount / discount[: len(want)].sum())
        close(found["recall@10"][stage], np.mean(shares), terms=300)
        close(found["ndcg@10"][stage], np.mean(gains), terms=300)


def test_hard_negatives_are_candidates_that_their_user_did_not_choose(
    made, tmp_path, monkeypatch
):
    _, _, done = made
    settings = ["samples.negatives.by=candidates", "samples.negatives.per_event=3"]
    read = read_config(done.folder / "config.yaml", settings)
    first = first_stage(read)
    write_samples(first.config, Path(), tmp_path / "first")
    hard = Candidates(first, done.match.folder, tmp_path / "first")
    monkeypatch.setattr("recsys.runs.stages.hard.BLOCK", 500)
    found = {}
    for name in ("once", "again"):
        write_samples(read.config, Path(), tmp_path / name, hard)
        parts = [pq.read_table(tmp_path / name / f"{part}.parquet") for part in PARTS]
        found[name] = pa.concat_tables(parts).to_pylist()
    assert found["once"] == found["again"]
    rows = found["once"]
    chosen = {}
    for row in rows:
        if row["bought"]:
            chosen.setdefault(row["who"], set()).add(row["what"])
    words = done.match.pipeline.vocabulary("what")["value"].to_pylist()
    model, drawn = done.match.model, 0
    for start in range(0, len(rows), 97):  # some of the events
        event = rows[start]
        if not event["bought"]:
            continue
        own = {name: event[name] for name in ("who", "when", "mood")}
        asked = pa.Table.from_pylist([own]).cast(
            pq.read_schema(done.match.folder / "users.parquet")
            .remove_metadata()
            .empty_table()
            .select([*own])
            .schema
        )
        columns = done.match.pipeline.transform(
            asked, events=done.events, columns=["who", "mood", "past"]
        )
        vector = model.user_model.predict(columns, verbose=0)[0]
        scores = model.item_matrix()[2:] @ vector
        order = [words[i] for i in np.argsort(-scores, kind="stable")]
        best = [item for item in order if item not in chosen[event["who"]]][:K]
        mine = [row["what"] for row in rows[start + 1 : start + 4]]
        assert len({*mine}) == 3 and {*mine} <= {*best}
        assert [row["bought"] for row in rows[start + 1 : start + 4]] == [0.0] * 3
        drawn += mine != best[:3]
    assert drawn > 2  # at random


def test_the_folder_has_one_of_the_first_stage(made):
    _, _, done = made
    assert done.match.folder == done.folder / "match"
    assert (done.folder.parent / "latest").resolve() == done.folder.resolve()
    assert not (done.folder / "latest").exists()
    for folder in (done.folder, done.match.folder):
        assert json.loads((folder / "run.json").read_text())["finished"]
        assert not {"samples", "state"} & {each.name for each in folder.iterdir()}
    page = (done.folder / "report.html").read_text()
    assert "Match, then rank" in page and "Had last" in page and "http" not in page


@pytest.mark.parametrize("stage", ["match", "rank"])
def test_a_run_that_was_stopped_goes_on_to_the_same_digits(
    made, tmp_path, monkeypatch, stage
):
    _, path, whole = made

    class Dies(training.TrainingProgress):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if (self.model.name == "din") == (stage == "rank"):
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(training, "TrainingProgress", Dies)
        run(path, name="a", runs=tmp_path, console=QUIET)
    done = run(tmp_path / "a" / "config.yaml", resume=True, console=QUIET)
    assert done.metrics["test"] == whole.metrics["test"]
    assert done.match.metrics["test"] == whole.match.metrics["test"]
    assert done.recommend(k=3).equals(whole.recommend(k=3))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["match.model.name=lr"], "--set match.model.name=lr: .* must be a match mod"),
        (["match.model.name=two_towr"], "--set match.model.name.*two_tower"),
        (["model.name=two_tower"], "--set model.name=two_tower: model must be one tha"),
        (["match=null"], "line 35: samples.positives must be left out for din"),
        (["match.candidates.k=0"], "match.candidates.k must be greater"),
        (["match.training.loss=hinge"], "--set match.training.loss=hinge: .*left out"),
        (
            ["match=null", "samples.positives={}", "samples.negatives.by=candidates"],
            "--set samples.negatives.by=candidates: .*without a section match",
        ),
        (["candidates.k=5"], "candidates must be left out for din"),
        (["samples.positives.action=sell"], "positives must leave rows .* in train"),
        (
            ["samples.positives.acton=buy"],
            "samples.positives: .*'acton'.*nearest: action",
        ),
    ],
)
def test_what_cannot_be_leaves_no_folder(made, settings, said):
    _, path, done = made
    runs = done.folder.parent
    before = {each.name for each in runs.iterdir()}
    with pytest.raises(ValueError, match=said):
        run(path, settings=settings, runs=runs, console=QUIET)
    assert {each.name for each in runs.iterdir()} == before


def test_items_are_ranked_by_a_rate_or_a_number(made):
    _, path, _ = made
    entries = yaml.safe_load(path.read_text())
    label = {
        "name": "kind_of",
        "source": "what",
        "belong": "multiclass",
        "num_classes": 3,
    }
    entries["schema"]["labels"] = [label]
    entries["samples"].pop("negatives")
    with pytest.raises(ValueError, match="the first label must be one to rank"):
        first_stage(read_config(entries))


def test_no_more_than_the_candidates(made):
    _, path, done = made
    runs = ["--runs", str(done.folder.parent)]
    told = CliRunner().invoke(app, ["recommend", "two", "--user", "u3", *runs])
    assert told.exit_code == 0 and told.output.count("u3") == 10
    told = CliRunner().invoke(app, ["recommend", "two", "--user=u3", "-k", "13", *runs])
    assert told.exit_code == 2 and "at most match.candidates.k, 12" in told.output


def test_rows_to_be_evaluated_need_labels_of_their_own(made):
    _, path, done = made
    runs = ["--runs", str(done.folder.parent)]
    told = CliRunner().invoke(
        app, ["evaluate", "two", str(path.parent / "events.csv")] + runs
    )
    assert told.exit_code == 2
    assert "must have a column 'bought'" in told.output
    assert "those of the run are of samples.negatives" in told.output


def test_several_seeds_of_the_second_stage_are_told_of(made, tmp_path):
    _, path, _ = made
    settings = ["training.seeds=[0, 1]", "training.epochs=1", "match.training.epochs=1"]
    done = run(path, runs=tmp_path, console=QUIET, settings=settings)
    assert (done.folder / "seed-1" / "metrics.json").is_file()
    assert " ± " in (done.folder / "report.html").read_text()


def test_a_kill_while_rows_are_removed_is_gone_on_from(made, tmp_path, monkeypatch):
    _, path, whole = made
    removed = shutil.rmtree

    def dies(folder, *args, **options):
        if Path(folder).name == ".gone" and Path(folder).is_dir():
            next(Path(folder).glob("*.parquet")).unlink()
            raise KeyboardInterrupt
        removed(folder, *args, **options)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr("recsys.runs.running.shutil.rmtree", dies)
        run(path, name="a", runs=tmp_path, console=QUIET)
    done = run(tmp_path / "a" / "config.yaml", resume=True, console=QUIET)
    assert done.metrics["test"] == whole.metrics["test"]
    for folder in (done.folder, done.match.folder):
        assert not {".gone", "samples"} & {each.name for each in folder.iterdir()}


def test_hard_negatives_were_there_at_the_time(made, tmp_path):
    """Of items that are known by vectors before anybody chooses them."""
    columns, path, done = made
    read = read_config(done.folder / "config.yaml", ["samples.negatives.by=candidates"])
    first = first_stage(read)
    write_samples(first.config, Path(), tmp_path / "first")
    hard = Candidates(first, done.match.folder, tmp_path / "first")
    late = {int(i) for i in np.unique(columns["what"])[::7]}  # as if they came last
    there = hard._places_of

    def later(items):
        known = [i for i in items.to_pylist() if i not in late]
        return there(pa.chunked_array([pa.array(known, items.type)]))

    hard._places_of = later
    write_samples(read.config, Path(), tmp_path / "second", hard)
    drawn = 0
    for part in PARTS:
        rows = pq.read_table(tmp_path / "second" / f"{part}.parquet").to_pylist()
        mine = [row["what"] for row in rows if not row["bought"]]
        assert mine and not {*mine} & late
        drawn += len(mine)
        assert len(mine) == 2 * (len(rows) - len(mine))
    assert drawn > 1000


def test_items_without_a_row_are_not_ranked(made, tmp_path):
    _, _, done = made
    items = Items.of(
        done.match.read, done.match.pipeline, done.match.folder / "items.parquet"
    )
    table = pq.read_table(done.match.folder / "items.parquet")
    left_out = items.values[5].as_py()
    pq.write_table(table.filter(pc.not_equal(table["what"], left_out)), tmp_path / "i")
    ranker = Ranker(done.read, done.folder, items, tmp_path / "i")
    users = pq.read_table(done.match.folder / "users.parquet").slice(0, 2)
    ids, scores = ranker.order(users, done.events, np.array([[7, 8, -1], [9, 7, 10]]))
    assert {*ids[0]} == {8, -1} and {*ids[1]} == {9, 10, -1}
    assert (ids[:, -1] == -1).all() and np.isfinite(scores).sum() == 3
