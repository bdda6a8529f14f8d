"""A pipeline on disk: readable, whole or absent, and never over something else."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from recsys.data import Bucketed, Categorical, FeaturePipeline, Numeric, storage

DATA = pa.table({"a": ["x", "y", "x", None], "b": [True, False, True, True],
                 "n": [1.0, 0.1, 0.3, 7.7]})  # fmt: skip


def fitted() -> FeaturePipeline:
    columns = [
        Categorical("a"),
        Categorical("b"),
        Numeric("n", standardize=True),
        Bucketed("bucket", source="n", num_buckets=3),
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
    names = ["pipeline.yaml", "vocabulary/a.parquet", "vocabulary/b.parquet"]
    assert sorted(contents(tmp_path / "p")) == names
    words = pq.read_table(tmp_path / "p" / "vocabulary" / "a.parquet").to_pydict()
    assert words == {"value": ["x", "y"], "count": [2, 1]}
    saved = yaml.safe_load((tmp_path / "p" / "pipeline.yaml").read_text())
    assert saved["format"] == "recsys.FeaturePipeline 1"
    assert saved["vocabularies"]["a"] == {"size": 2, "unseen": 1}
    assert saved["schema"]["columns"][0] == {"kind": "categorical", "name": "a"}


def test_saving_again_replaces(tmp_path: Path) -> None:
    path = tmp_path / "p"
    fitted().save(path)
    other = FeaturePipeline([Categorical("n", source="a")]).fit(DATA)
    other.save(path)
    assert FeaturePipeline.load(path).schema == other.schema
    assert sorted(contents(path)) == ["pipeline.yaml", "vocabulary/n.parquet"]
    assert [file.name for file in tmp_path.iterdir()] == ["p"]


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    fitted().save(tmp_path / "p")
    FeaturePipeline.load(tmp_path / "p")


@pytest.mark.parametrize("stranger", ["model.keras", "vocabulary/notes.txt", ".hidden"])
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


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("step", ["write_table", "rename"])
def test_nothing_half_written_stays(
    tmp_path: Path, monkeypatch, step: str, call: int, exists: bool
) -> None:
    if exists:
        fitted().save(tmp_path / "p")
    before = contents(tmp_path)
    owner = {"write_table": storage.pq, "rename": storage.os}[step]
    real, calls = getattr(owner, step), []

    def fail(*args, **options) -> None:
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        if (step, call, exists) == ("rename", 2, False):
            fitted().save(tmp_path / "p")  # a new folder is moved but once
            return
        with pytest.raises(KeyboardInterrupt):
            fitted().save(tmp_path / "p")
    assert contents(tmp_path) == before
    assert len(calls) >= call


def damage_yaml(path: Path) -> None:
    file = path / "pipeline.yaml"
    file.write_text(file.read_text()[:100])


def other_format(path: Path) -> None:
    file = path / "pipeline.yaml"
    file.write_text(file.read_text().replace("FeaturePipeline 1", "FeaturePipeline 9"))


def cut_vocabulary(path: Path) -> None:
    file = path / "vocabulary" / "a.parquet"
    pq.write_table(pq.read_table(file).slice(0, 1), file)


def damage_vocabulary(path: Path) -> None:
    file = path / "vocabulary" / "a.parquet"
    content = bytearray(file.read_bytes())
    content[content.index(b"x")] = ord("z")
    file.write_bytes(content)


DAMAGE = [
    (lambda path: (path / "pipeline.yaml").unlink(), "pipeline.yaml"),
    (lambda path: (path / "vocabulary" / "a.parquet").unlink(), "a.parquet"),
    (lambda path: (path / "pipeline.yaml").write_text("a: ["), "Error"),
    (
        lambda path: (path / "pipeline.yaml").write_text("- 1"),
        "must begin with 'format",
    ),
    (
        lambda path: (path / "pipeline.yaml").write_bytes(b"\xff\xfe"),
        "UnicodeDecodeErr",
    ),
    (other_format, "must begin with 'format: recsys.FeaturePipeline 1'"),
    (damage_yaml, "Error"),
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
