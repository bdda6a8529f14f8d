"""One interface to exact and approximate search."""

import copy
import pickle
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recsys.retrieval.search import top_k
from recsys.serving.exact_index import ExactIndex
from recsys.serving.faiss_index import FaissIndex
from recsys.serving.index import index_recall, load_index
from tests.close import close

rng = np.random.default_rng(0)
ITEMS = rng.standard_normal((3000, 8)).astype("float32")
USERS = rng.standard_normal((40, 8)).astype("float32")
INTERESTS = rng.standard_normal((40, 3, 8)).astype("float32")
MASK = rng.random((40, 3)) < 0.7
SEEN = [rng.choice(np.arange(2, 3000), n % 30, replace=False) for n in range(40)]


def exhaustive(items, **options):
    return FaissIndex(items, factory="Flat", **options)


@pytest.fixture(params=[ExactIndex, exhaustive])
def build(request):
    if request.param is exhaustive:
        pytest.importorskip("faiss")
    return request.param


@pytest.mark.parametrize("users", [USERS, INTERESTS], ids=["vectors", "interests"])
def test_search_is_that_of_top_k(build, users):
    offsets = np.cumsum([0, *map(len, SEEN)])
    mask = MASK if users.ndim == 3 else None
    wanted = top_k(
        users, ITEMS, 20, interest_mask=mask, exclude=(offsets, np.concatenate(SEEN))
    )
    found = build(ITEMS).search(users, 20, interest_mask=mask, exclude=SEEN)
    np.testing.assert_array_equal(found[0], wanted[0])
    close(found[1], wanted[1], terms=100)
    assert (found[0][~MASK.any(axis=1)] == -1).all() or mask is None


def test_items_can_be_added_saved_and_loaded(build, tmp_path):
    index = build(ITEMS[:2000])
    assert index.add(ITEMS[2000:]).tolist() == [*range(2000, 3000)]
    assert len(index) == 3000
    wanted = build(ITEMS).search(USERS, 10)
    np.testing.assert_array_equal(index.search(USERS, 10)[0], wanted[0])
    index.save(tmp_path / "items.index")
    loaded = load_index(tmp_path / "items.index")
    assert type(loaded) is type(index) and len(loaded) == 3000
    for mine, theirs in zip(loaded.search(USERS, 10), wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    loaded.add(ITEMS[:1])
    assert len(loaded) == 3001


def test_threads_share_an_index(build):
    index = build(ITEMS)
    wanted = [index.search(USERS[i:], 10, exclude=SEEN[i:]) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(
            lambda i: index.search(USERS[i:], 10, exclude=SEEN[i:]), range(40)
        )
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_threads_add_to_an_index_that_others_search(build):
    index, far = build(ITEMS[:1000]), np.full((1, 8), -100, "float32")
    ones, wanted = np.ones((1, 8), "float32"), build(ITEMS[:1000])
    wanted = wanted.search(ones, 5)
    with ThreadPoolExecutor(8) as pool:
        added = pool.map(lambda _: index.add(far).item(), range(100))
        found = pool.map(lambda _: index.search(ones, 5), range(100))
        assert sorted(added) == [*range(1000, 1100)]
        for mine in found:
            np.testing.assert_array_equal(mine, wanted)


def test_a_copy_is_an_index_of_its_own(build, tmp_path):
    index = build(ITEMS)
    for copied in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        copied.add(ITEMS[:3])
        assert len(copied) == len(index) + 3
        np.testing.assert_array_equal(
            copied.search(USERS, 5)[1].max(), index.search(USERS, 5)[1].max()
        )
    path = tmp_path / "index"
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda _: index.save(path), range(16))] == [None] * 16
    assert [each.name for each in tmp_path.iterdir()] == ["index"]


def test_fewer_items_than_asked(build):
    ids, scores = build(ITEMS[:5]).search(USERS, 4, exclude=[[2]] * 40)
    assert (np.sort(ids, axis=1) == [-1, -1, 3, 4]).all()
    assert (scores[:, 2:] == -np.inf).all()


def test_an_inverted_file_misses_less_the_more_it_looks_at():
    pytest.importorskip("faiss")
    exact, index = ExactIndex(ITEMS), FaissIndex(ITEMS, parameters="nprobe=1")
    few = index_recall(index, exact, USERS, 50)
    index.set_parameters("nprobe=20")
    more = index_recall(index, exact, USERS, 50)
    index.set_parameters("nprobe=10000")
    assert few < more < index_recall(index, exact, USERS, 50) == 1.0
    assert 0 < index_recall(FaissIndex(ITEMS), exact, USERS, 50) < 1
    new = index.add(20 * USERS[:1])  # placed without training
    assert index.search(USERS[:1], 1)[0].tolist() == [new.tolist()]


def test_refuses():
    pytest.importorskip("faiss")
    index = exhaustive(ITEMS)
    with pytest.raises(ValueError, match="more than 2 reserved"):
        exhaustive(ITEMS[:2])
    with pytest.raises(ValueError, match="must be finite"):
        exhaustive(ITEMS * np.nan)
    with pytest.raises(ValueError, match=r"shape \(rows, 8\)"):
        index.add(ITEMS[:, :3])
    with pytest.raises(ValueError, match="dim 8"):
        index.search(USERS[:, :3], 2)
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        index.search(USERS, 0)
    with pytest.raises(ValueError, match="k must be an integer.*k=1.5"):
        index.search(USERS, 1.5)
    with pytest.raises(ValueError, match="41 offsets rise.*1 ids"):
        index.search(USERS, 1, exclude=[[1]])
    for wrong in (-1, len(ITEMS)):  # that would be an item of the next user
        with pytest.raises(ValueError, match=f"Excluded ids must be.*{wrong} to"):
            index.search(USERS, 1, exclude=[[wrong]] * len(USERS))


@pytest.mark.parametrize("words", ["nope=3", "nprobe", 3, "quantizer=1"])
def test_words_that_faiss_does_not_know_are_refused(words):
    pytest.importorskip("faiss")
    wanted = "must be in the words of faiss, .*Received: {}={!r}"
    with pytest.raises(ValueError, match="factory " + wanted.format("factory", words)):
        FaissIndex(ITEMS, factory=words)
    with pytest.raises(
        ValueError, match="meters " + wanted.format("parameters", words)
    ):
        FaissIndex(ITEMS, parameters=words)


@pytest.mark.parametrize("factory", ["IVF100,PQ4", "IVF4,PQ4x8", "PCA16,Flat", "OPQ3"])
def test_a_factory_that_needs_more_items_is_refused(factory):
    pytest.importorskip("faiss")
    wanted = f"factory must .* fit the items .*Received: factory='{factory}'"
    with pytest.raises(ValueError, match=wanted):
        FaissIndex(ITEMS[:50], factory=factory)


@pytest.mark.parametrize("path", [None, 3, ""])
def test_what_is_no_path_is_refused(path):
    for call in (load_index, ExactIndex([[1.0]]).save):
        with pytest.raises(ValueError, match=f"path must be a path.*: path={path!r}"):
            call(path)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"deep-rec-kit\[ann\]"):
        FaissIndex(ITEMS)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path, index = tmp_path / "items.index", ExactIndex([[1.0], [2.0], [3.0]])
    index.save(path)
    before = path.read_bytes()

    def half(file, **_):
        file.write(b"PK")
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="full"):
        index.save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["items.index"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ExactIndex(3), "Vectors must have shape"),
        (lambda: ExactIndex("x"), "items must be an array of numbers.*dtype <U1"),
        (lambda: ExactIndex([[1.0], [1.0, 2.0]]), "items must be one array"),
        (lambda: ExactIndex([[np.nan]]), "Vectors must be finite"),
        (lambda: ExactIndex([[1.0]], -1), "reserved must be an integer of at least 0"),
        (lambda: ExactIndex([[1.0]]).add([[1.0, 2.0]]), r"Vectors.*\(rows, 1\)"),
        (lambda: ExactIndex([[1.0]]).add(None), "items must be an array of numbers"),
        (
            lambda: ExactIndex([[1.0]]).search({}, 1),
            "users must be an array",
        ),
        (lambda: ExactIndex([[1.0]]).search([[1.0]], True), "k must be an integer"),
    ],
)
def test_an_index_refuses_what_are_no_vectors(call, error):
    with pytest.raises(ValueError, match=error):
        call()


def test_a_file_of_another_kind_is_not_replaced(build, tmp_path):
    index = build(ITEMS[:50])
    model = tmp_path / "model.keras"
    with zipfile.ZipFile(model, "w") as file:
        file.writestr("config.json", "{}")
    log = tmp_path / "log.parquet"
    log.write_bytes(b"PAR1")
    arrays, cut = tmp_path / "arrays.npz", tmp_path / "cut"
    np.savez(arrays, reserved=2, mine=np.ones(3))
    index.save(cut)
    cut.write_bytes(cut.read_bytes()[:-9])
    twins = [tmp_path / f"{place}.npz" for place in range(4)]
    np.savez(twins[0], items=np.arange(5), reserved=np.arange(3))
    np.savez(twins[1], items=np.ones((5, 2), "float32"), reserved=np.arange(3))
    np.savez(twins[2], items=np.ones((5, 2)), reserved=2)
    np.savez(twins[3], faiss=np.ones((5, 2), "uint8"), reserved=2)
    for path in (model, log, arrays, cut, *twins):
        before = path.read_bytes()
        with pytest.raises(FileExistsError, match=f"{path} must be a new file, or"):
            index.save(path)
        assert path.read_bytes() == before
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")
    assert len(load_index(tmp_path / "index")) == 50


def test_a_file_of_another_kind_is_no_index(tmp_path):
    (tmp_path / "text.npz").write_text("no index")
    for name, found in (("text.npz", "another file"), ("none.npz", "no file")):
        with pytest.raises(ValueError, match=f"{name} must be .* Received: {found}"):
            load_index(tmp_path / name)
    with pytest.raises(ValueError, match="Received: a folder"):
        load_index(tmp_path)
    with pytest.raises(FileExistsError, match="must not be a folder"):
        ExactIndex([[1.0]]).save(tmp_path)


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_a_damaged_file_is_no_index(kind, tmp_path):
    vectors, path = np.random.default_rng(0).normal(size=(50, 8)), tmp_path / "index"
    if kind == "faiss":
        pytest.importorskip("faiss")
    index = ExactIndex(vectors) if kind == "exact" else FaissIndex(vectors)
    index.save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", vectors)
    np.savez(tmp_path / "bytes.npz", reserved=1, faiss=np.zeros(9, "uint8"))
    (tmp_path / "flipped").write_bytes(
        whole[:500] + bytes([whole[500] ^ 255]) + whole[501:]
    )
    (tmp_path / "cut").write_bytes(whole[:-300])
    (tmp_path / "first").write_bytes(b"X" + whole[1:])
    np.savez(tmp_path / "text.npz", reserved="x", items=vectors)
    names = ["other.npz", "flipped", "cut", "first", "text.npz"]
    names += ["bytes.npz"] * (kind == "faiss")
    for name in names:
        with pytest.raises(ValueError, match=f"{name} must be a (whole )?file that"):
            load_index(tmp_path / name)
