"""A pipeline on disk: readable, whole or absent, and never over something else."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from recsys.data import Bucketed, Categorical, FeaturePipeline, Numeric

DATA = pa.table({"a": ["x", "y", "x", None], "b": [True, False, True, True],
                 "n": [1.0, 0.1, 0.3, 7.7]})  # fmt: skip


def fitted() -> FeaturePipeline:
    columns = [
        Categorical("a"),
        Categorical("b"),
        Numeric("n", standardize=True),
        Bucketed("bucket", source="n", num_buckets=3),
        Bucketed("given", source="n", edges=[1, 2]),
    ]
    return FeaturePipeline(columns).fit(DATA)


def contents(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_round_trip(tmp_path: Path) -> None:
    pipeline = fitted()
    pipeline.save(tmp_path / "new" / "pipeline")
    again = FeaturePipeline.load(tmp_path / "new" / "pipeline")
    assert again.schema == pipeline.schema
    assert again.transform(DATA).equals(pipeline.transform(DATA))
    assert again.fields() == pipeline.fields()
    for field, other in zip(again.fields(), pipeline.fields(), strict=True):
        assert (field.counts is None) == (other.counts is None)
        assert field.counts is None or list(field.counts) == list(other.counts)
    with pytest.raises(ValueError, match="as `fit` saw it"):
        again.transform(DATA.set_column(0, "a", [[1, 2, 3, 4]]))


def test_files_are_readable(tmp_path: Path) -> None:
    fitted().save(tmp_path / "p")
    words = ["vocabulary-1/a.parquet", "vocabulary-1/b.parquet"]
    assert sorted(contents(tmp_path / "p")) == [".recsys-lock", "pipeline.yaml", *words]
    words = pq.read_table(tmp_path / "p" / "vocabulary-1" / "a.parquet").to_pydict()
    assert words == {"value": ["x", "y"], "count": [2, 1]}
    saved = yaml.safe_load((tmp_path / "p" / "pipeline.yaml").read_text())
    assert saved["format"] == "recsys.FeaturePipeline 2"
    assert saved["folder"] == "vocabulary-1"
    assert saved["vocabularies"]["a"] == {"size": 2, "unseen": 1}
    assert saved["schema"]["columns"][0] == {"kind": "categorical", "name": "a"}


def test_saving_again_replaces(tmp_path: Path) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    other = FeaturePipeline([Categorical("n", source="a")]).fit(DATA)
    other.save(path)
    assert FeaturePipeline.load(path).schema == other.schema
    names = [".recsys-lock", "pipeline.yaml", "vocabulary-2/n.parquet"]
    assert sorted(contents(path)) == names
    assert [file.name for file in tmp_path.iterdir()] == ["p"]


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    fitted().save(tmp_path / "p")
    FeaturePipeline.load(tmp_path / "p")


@pytest.mark.parametrize(
    "stranger", ["model.keras", "vocabulary-1/notes.txt", ".hidden"]
)
def test_other_files_are_never_lost(tmp_path: Path, stranger: str) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    (path / stranger).write_text("mine")
    before = contents(path)
    with pytest.raises(FileExistsError, match="must not exist, or be a saved pipeline"):
        fitted().save(path)
    assert contents(path) == before


def test_other_folders_and_files_are_never_lost(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "pipeline.yaml").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for name in ("folder", "file"):
        with pytest.raises(FileExistsError):
            fitted().save(tmp_path / name)
    assert contents(tmp_path) == before


def of_format_1(path: Path) -> None:
    """Makes a saved folder what it was before versions."""
    (path / "vocabulary-1").rename(path / "vocabulary")
    saved = yaml.safe_load((path / "pipeline.yaml").read_text())
    saved["format"] = "recsys.FeaturePipeline 1"
    del saved["folder"]
    (path / "pipeline.yaml").write_text(yaml.safe_dump(saved))
    (path / ".recsys-lock").unlink()


def test_folders_of_format_1_are_read_and_replaced(tmp_path: Path) -> None:
    path, pipeline = tmp_path / "p", fitted()
    pipeline.save(path)
    of_format_1(path)
    again = FeaturePipeline.load(path)
    assert again.transform(DATA).equals(pipeline.transform(DATA))
    again.save(path)
    assert not (path / "vocabulary").exists()
    assert FeaturePipeline.load(path).transform(DATA).equals(pipeline.transform(DATA))


STEPS = [(pq, "write_table"), (os, "fsync"), (os, "replace")]


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
def test_nothing_half_written_stays(
    tmp_path: Path, monkeypatch, owner, step: str, call: int, exists: bool
) -> None:
    if exists:
        fitted().save(tmp_path / "p")
    before = contents(tmp_path)
    real, calls = getattr(owner, step), []

    def fail(*args, **options) -> None:
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        if (step, call) == ("replace", 2):
            fitted().save(tmp_path / "p")  # one file is replaced
            return
        with pytest.raises(KeyboardInterrupt):
            fitted().save(tmp_path / "p")
    assert contents(tmp_path) == before
    assert len(calls) >= call


KILLED = """
import os, sys
import pyarrow as pa, pyarrow.parquet as pq
from recsys.data import Categorical, FeaturePipeline
owner, step, call, path = sys.argv[1:]
pipeline = FeaturePipeline([Categorical("a"), Categorical("b", source="a")])
pipeline.fit({"a": ["z", "z", "w"]})
owner, calls = {"os": os, "pq": pq}[owner], []
real = getattr(owner, step)
def kill(*args, **options):
    calls.append(args)
    if len(calls) == int(call):
        os._exit(9)
    return real(*args, **options)
setattr(owner, step, kill)
pipeline.save(path)
"""


@pytest.mark.parametrize(
    ("owner", "step", "call"),
    [
        ("pq", "write_table", 2),
        ("os", "fsync", 4),
        ("os", "fsync", 5),
    ],
)
def test_a_killed_writer_leaves_one_whole_pipeline(
    tmp_path: Path, owner: str, step: str, call: int
) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    arguments = [owner, step, str(call), str(path)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments])
    assert killed.returncode == 9
    names = FeaturePipeline.load(path).schema.columns
    assert len(names) == (2 if (step, call) == ("fsync", 5) else 5)
    fitted().save(path)
    assert {name.partition("/")[0] for name in contents(path)} == {
        ".recsys-lock",
        "pipeline.yaml",
        yaml.safe_load((path / "pipeline.yaml").read_text())["folder"],
    }


STREAMS = """
import os, signal
from recsys.data import Categorical, FeaturePipeline
rows = {"a": [1, 2, 3]}
pipeline = FeaturePipeline([Categorical("a")]).fit(rows)
batches = pipeline.dataset(rows, 2, streaming=True)
assert len([*batches]) == 2
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_copies_of_killed_processes_are_removed_by_the_next(tmp_path: Path) -> None:
    """And nothing of others, or of those that live."""
    mine = tmp_path / "recsys-mine"
    fitted().save(mine)  # has a lock, too
    kept = contents(mine)

    def copies() -> set[Path]:
        return {*tmp_path.glob("recsys-*")} - {mine}

    killed = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", STREAMS], env=killed).returncode == -9
    left = copies()
    assert left
    living = STREAMS.replace("os.kill(os.getpid(), signal.SIGKILL)", "input()")
    run = [sys.executable, "-c", living]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(run, env=killed, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        before = copies()
        assert before and not before & left
        subprocess.run(run, env=killed, input="\n", text=True, check=True)
        assert copies() >= before
        process.communicate("\n")
    assert contents(mine) == kept and not copies()


def test_writers_take_turns_and_readers_see_one_of_them(tmp_path: Path) -> None:
    one, other = fitted(), FeaturePipeline([Categorical("n", source="a")]).fit(DATA)
    one.save(tmp_path / "p")

    def use(number: int) -> int:
        if number % 2:
            (one, other)[number // 2 % 2].save(tmp_path / "p")
        return len(FeaturePipeline.load(tmp_path / "p").schema.columns)

    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(use, range(64))]
    assert {*found} == {1, 5}
    assert len([*(tmp_path / "p").iterdir()]) == 3


def damage_yaml(path: Path) -> None:
    file = path / "pipeline.yaml"
    file.write_text(file.read_text()[:100])


def other_format(path: Path) -> None:
    file = path / "pipeline.yaml"
    file.write_text(file.read_text().replace("FeaturePipeline 2", "FeaturePipeline 9"))


def cut_vocabulary(path: Path) -> None:
    file = path / "vocabulary-1" / "a.parquet"
    pq.write_table(pq.read_table(file).slice(0, 1), file)


def damage_vocabulary(path: Path) -> None:
    file = path / "vocabulary-1" / "a.parquet"
    content = bytearray(file.read_bytes())
    content[content.index(b"x")] = ord("z")
    file.write_bytes(content)


def append(path: Path, text: str) -> None:
    with (path / "pipeline.yaml").open("a") as file:
        file.write(text)


DAMAGE = [
    (lambda path: (path / "pipeline.yaml").unlink(), "pipeline.yaml"),
    (lambda path: (path / "vocabulary-1" / "a.parquet").unlink(), "a.parquet"),
    (lambda path: (path / "pipeline.yaml").write_text("a: ["), "Error"),
    (
        lambda path: (path / "pipeline.yaml").write_text("- 1"),
        "must begin with 'format",
    ),
    (
        lambda path: (path / "pipeline.yaml").write_bytes(b"\xff\xfe"),
        "UnicodeDecodeErr",
    ),
    (
        other_format,
        "a newer deep-rec-kit wrote it, in format 9; this one reads formats up to 2",
    ),
    (damage_yaml, "Error"),
    (lambda path: append(path, "statistics: {}\n"), "key 'statistics' stands twice"),
    (lambda path: append(path, "more: 1\n"), "must have no keys but"),
    (cut_vocabulary, "the vocabulary of 'a' must have 2 rows"),
    (damage_vocabulary, "CRC checksum"),
]


@pytest.mark.parametrize(("harm", "text"), DAMAGE)
def test_damage_is_one_clear_error(tmp_path: Path, harm, text: str) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    harm(path)
    with pytest.raises(ValueError) as error:
        FeaturePipeline.load(path)
    assert f"{path} must be a folder that FeaturePipeline.save wrote" in str(
        error.value
    )
    assert text in str(error.value)


def test_no_folder() -> None:
    with pytest.raises(ValueError, match="nowhere must be a folder that"):
        FeaturePipeline.load("nowhere")


def change(path: Path, *keys: str | int, value: Any) -> None:
    file = path / "pipeline.yaml"
    saved = yaml.safe_load(file.read_text())
    entry = saved
    for key in keys[:-1]:
        entry = entry[key]
    if value is None:
        del entry[keys[-1]]
    else:
        entry[keys[-1]] = value
    file.write_text(yaml.safe_dump(saved))


@pytest.mark.parametrize("name", ["../../train", "../../../train", "/tmp/train", "c"])
def test_names_that_are_not_of_the_schema_reach_no_file(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    pq.write_table(pa.table({"value": ["x"], "count": [1]}), tmp_path / "train.parquet")
    before = contents(tmp_path)
    change(path, "vocabularies", name, value={"size": 1, "unseen": 0})
    with pytest.raises(ValueError, match=r"vocabularies must be those of \['a', 'b'\]"):
        FeaturePipeline.load(path)
    with pytest.raises(FileExistsError):
        fitted().save(path)
    assert (
        contents(tmp_path).items()
        >= {
            file: content for file, content in before.items() if "yaml" not in file
        }.items()
    )


TAMPERED = [
    (("vocabularies", "b"), None, "vocabularies must be those of ['a', 'b']"),
    (("vocabularies", "a", "unseen"), -1, "unseen of 'a' must be"),
    (("vocabularies", "a", "unseen"), 1.5, "unseen of 'a' must be"),
    (("families", "a"), "number", "family of 'a' must be"),
    (("families", "a"), "integer", "type of vocabulary 'a' must be"),
    (("families", "a"), None, "families must be"),
    (("families", "n"), "integer", "families must be"),
    (("statistics", "n", "mean"), float("nan"), "mean of 'n' must be"),
    (("statistics", "n", "mean"), "1", "mean of 'n' must be"),
    (("statistics", "n", "mean"), 2**70, "mean of 'n' must be"),
    (("statistics", "n", "mean"), 10**400, "mean of 'n' must be"),
    (("statistics", "n", "std"), -1.0, "std of 'n' must be"),
    (("statistics", "bucket", "edges"), [1.0, 2**70], "edges of 'bucket' must be"),
    (("statistics", "n", "std"), None, "statistics must be"),
    (("statistics", "n"), None, "statistics must be"),
    (("statistics", "a"), {"mean": 1.0, "std": 1.0}, "statistics must be"),
    (("statistics", "bucket", "edges"), [2.0, 1.0], "edges of 'bucket' must be"),
    (("statistics", "bucket", "edges"), [1.0, 1.0], "edges of 'bucket' must be"),
    (("statistics", "bucket", "edges"), [0.0, float("inf")], "edges of 'bucket' must"),
    (("statistics", "bucket", "edges"), "01", "edges of 'bucket' must be"),
    (("statistics", "bucket", "edges"), [], "edges of 'bucket' must be"),
    (("statistics", "given", "edges"), [1.0, 3.0], "edges of 'given' must be"),
    (("schema", "columns", 0, "name"), "../a", "a non-empty string without '/'"),
    (("format",), "recsys.FeaturePipeline 0", "must begin with 'format: recsys.Feat"),
    (("folder",), "../vocabulary-1", "folder must be 'vocabulary-' and a number"),
    (("format",), "something else", "must begin with 'format: recsys.FeaturePipe"),
]


@pytest.mark.parametrize(("keys", "value", "text"), TAMPERED)
def test_what_fit_cannot_have_learned_is_refused(
    tmp_path: Path, keys: tuple[str, ...], value: Any, text: str
) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    FeaturePipeline.load(path)
    change(path, *keys, value=value)
    with pytest.raises(ValueError) as error:
        FeaturePipeline.load(path)
    assert f"{path} must be a folder that FeaturePipeline.save wrote" in str(
        error.value
    )
    assert text in str(error.value) and "Received: ValueError" in str(error.value)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"value": [1, 2], "count": [2, 1]}, "type of vocabulary 'a' must be"),
        ({"value": ["x", "x"], "count": [2, 1]}, "values of vocabulary 'a' must be"),
        ({"value": ["x", None], "count": [2, 1]}, "values of vocabulary 'a' must be"),
        ({"value": ["x", "y"], "count": [2, 0]}, "counts of vocabulary 'a' must be"),
        ({"value": ["x", "y"], "count": [2, None]}, "counts of vocabulary 'a' must be"),
        ({"value": ["x", "y"], "count": ["2", "1"]}, "counts of vocabulary 'a' must"),
    ],
)
def test_vocabularies_that_fit_cannot_have_counted_are_refused(
    tmp_path: Path, words: dict[str, Any], text: str
) -> None:
    fitted().save(tmp_path / "p")
    file = next((tmp_path / "p").rglob("a.parquet"))
    pq.write_table(pa.table(words), file)
    with pytest.raises(ValueError, match=text):
        FeaturePipeline.load(tmp_path / "p")


LONG = ["a" * 300, "a" * 299 + "b", "ü" * 130, "b" * 247]


def test_names_longer_than_those_of_files(tmp_path: Path) -> None:
    data = {name: [f"{place}", "x"] for place, name in enumerate(LONG)}
    pipeline = FeaturePipeline([Categorical(name) for name in LONG]).fit(data)
    for _ in range(2):
        pipeline.save(tmp_path / "p")
        again = FeaturePipeline.load(tmp_path / "p")
        assert again.transform(data).equals(pipeline.transform(data))
    names = {Path(name).stem for name in contents(tmp_path / "p")}
    assert LONG[-1] in names and len(names) == 6


@pytest.mark.parametrize("name", ["vocabulary-3/users.parquet", "vocabulary-3"])
def test_what_looks_left_of_a_writer_is_kept(tmp_path: Path, name: str) -> None:
    file = tmp_path / "p" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="must not exist, or be a saved pipeline"):
        fitted().save(tmp_path / "p")
    assert contents(tmp_path) == before


def test_a_file_in_place_of_a_version_is_kept(tmp_path: Path) -> None:
    fitted().save(tmp_path / "p")
    (tmp_path / "p" / "vocabulary-9").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="must not exist, or be a saved pipeline"):
        fitted().save(tmp_path / "p")
    assert contents(tmp_path) == before


def test_a_folder_is_no_address(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = fitted()
    pipeline.save("s3:p")
    assert FeaturePipeline.load("s3:p").transform(DATA).equals(pipeline.transform(DATA))
