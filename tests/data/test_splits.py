"""Splits by contents: an example keeps its split whatever is added, and equal examples are in one."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.data import DataSet, DataSettings, load
from vaekit.data.digest import Keys, digest, frame_keys, row_keys, text_keys
from vaekit.data.graphs.modality import GraphData, GraphSettings
from vaekit.data.molecules.modality import Molecules, MoleculeSettings
from vaekit.data.music.modality import Music, MusicSettings
from vaekit.data.music.piano_roll import Piece
from vaekit.data.series.modality import Series, SeriesSettings
from vaekit.data.shares import Shares
from vaekit.data.splits import MOST_HELD_OUT, Splits, deal
from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.data.tables.reading import read_frame
from vaekit.data.text.modality import Text, TextSettings
from vaekit.errors import UserError

SPLITS = ("train", "valid", "test")


def some_keys(n: int) -> Keys:
    return text_keys(str(i) for i in range(n))


def parts(splits: Splits) -> list[set[int]]:
    return [set(splits[i].tolist()) for i in range(3)]


# --- the rule ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("valid", "test"), [(0.1, 0.1), (7, 0.2), (0, 0), (0.3, 11), (0, 0.5), (3, 5)])
@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_every_example_has_one_split_of_about_the_size_asked_for(valid: float, test: float, seed: int) -> None:
    n, settings = 2000, DataSettings(valid=valid, test=test, seed=seed)
    splits = deal(some_keys(n), "it", settings)
    assert sorted(np.concatenate([splits[i] for i in range(3)]).tolist()) == list(range(n))
    for share, chosen in ((valid, splits.valid), (test, splits.test)):
        error = 4 * math.sqrt(n * share * (1 - share)) if share < 1 else 0
        assert abs(len(chosen) - (share if share >= 1 else n * share)) <= error
    assert parts(splits) == parts(deal(some_keys(n), "it", settings))
    if test:
        assert parts(deal(some_keys(n), "it", DataSettings(valid=valid, test=test, seed=seed + 1))) != parts(splits)


def test_the_splits_of_two_seeds_have_nothing_to_do_with_each_other() -> None:
    n = 20_000
    first, other = (set(deal(some_keys(n), "it", DataSettings(seed=seed)).test.tolist()) for seed in (0, 1))
    assert abs(len(first & other) - n * 0.01) < 5 * math.sqrt(n * 0.01)


def test_neither_order_nor_further_examples_move_any() -> None:
    keys = some_keys(1500)
    before = parts(deal(keys[:1000], "it", DataSettings()))
    after = parts(deal(keys, "it", DataSettings()))
    assert all(old == {i for i in new if i < 1000} for old, new in zip(before, after))
    backwards = parts(deal(keys[:1000][::-1], "it", DataSettings()))
    assert [{999 - i for i in one} for one in backwards] == before


def test_settled_shares_hold_though_the_number_of_examples_passes_the_bound() -> None:
    keys, settings = some_keys(120_000), DataSettings(valid=0, test=0.1)
    few = deal(keys[:50_000], "it", settings)
    assert few.shares.test == 0.1 and deal(keys, "it", settings).shares.test == 0.025
    assert len(deal(keys, "it", settings).test) <= MOST_HELD_OUT
    again = deal(keys, "it", settings.dealt_as(few.shares))
    assert {i for i in again.test.tolist() if i < 50_000} == set(few.test.tolist())
    # a split drawn anew keeps of the old test examples some, and takes none that was trained on
    assert set(deal(keys, "it", settings).test.tolist()) & set(few.train.tolist()) == set()


def test_no_split_is_empty_where_an_example_is_left_to_train_on() -> None:
    for n in range(1, 40):
        for seed in range(25):
            splits = deal(some_keys(n), "it", DataSettings(seed=seed))
            assert len(splits.train) == 1 or (len(splits.train) and len(splits.test) and len(splits.valid))
            assert len(splits.train) > 1 or n < 6
            alone = deal(some_keys(n), "it", DataSettings(seed=seed, test=0))
            assert not len(alone.test) and len(alone.train) and len(alone.valid) >= (n > 1)


def test_a_small_split_that_was_settled_stays_as_examples_come() -> None:
    keys = some_keys(300)
    for seed in range(50):
        settings = DataSettings(seed=seed)
        few = deal(keys[:12], "it", settings)
        more = deal(keys, "it", settings.dealt_as(few.shares))
        assert all(old == {i for i in new if i < 12} for old, new in zip(parts(few), parts(more)))


def test_equal_examples_are_together_unless_they_are_to_be_apart() -> None:
    keys = np.repeat(some_keys(300), 5)
    with pytest.warns(UserWarning, match=r"it has 1,500 examples, 300 different ones, .* data.repeats=apart"):
        splits = deal(keys, "it", DataSettings())
    for i in range(3):
        own = set(keys[splits[i]].tolist())
        assert len(splits[i]) == 5 * len(own)
    settings = DataSettings(repeats="apart")
    apart = deal(keys, "it", settings)
    assert 100 < len(apart.test) < 200 and set(keys[apart.test]) & set(keys[apart.train])
    longer = deal(np.append(keys, keys), "it", settings)  # repeats are counted from the first
    assert parts(apart)[2] == {i for i in longer.test.tolist() if i < 1500}


def test_examples_that_are_all_alike_train() -> None:
    same = np.full(50, 7, np.uint64)
    for seed in range(20):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            splits = deal(same, "it", DataSettings(seed=seed))
        assert [len(splits[i]) for i in range(3)] == [50, 0, 0]


def test_a_wish_that_leaves_none_is_refused() -> None:
    for settings in (DataSettings(valid=20, test=10), DataSettings(valid=0.5, test=0.5), DataSettings(test=40)):
        with pytest.raises(UserError, match=r"it has 30 examples and valid=.* leaving none to train on; lower them"):
            deal(some_keys(30), "it", settings)


def test_a_limit_takes_of_the_training_examples_alone() -> None:
    whole, few = (deal(some_keys(500), "it", DataSettings(limit=limit)) for limit in (None, 60))
    fewer = deal(some_keys(500), "it", DataSettings(limit=30))
    assert parts(few)[1:] == parts(whole)[1:] and parts(fewer)[0] < parts(few)[0] < parts(whole)[0]
    assert len(few.train) == 60
    # which ones has nothing to do with the order in which the splits were cut off
    assert abs(np.mean(np.argsort(np.argsort(whole.train))) - np.mean(np.searchsorted(whole.train, few.train))) < 60


def test_runs_without_a_record_of_contents_are_dealt_out_by_position() -> None:
    settings = DataSettings(seed=3, limit=50).dealt_as(Shares("positions"))
    splits = deal(np.zeros(100, np.uint64), "it", settings)
    order = np.random.default_rng(3).permutation(100)
    expected = [order[20:70], order[10:20], order[:10]]
    assert [sorted(part.tolist()) for part in expected] == [splits[i].tolist() for i in range(3)]


# --- keys ----------------------------------------------------------------------------------------------------------


def test_keys_are_the_same_on_every_machine() -> None:
    rows = np.array([[0, 1, 255], [0.5, -0.0, -2]])
    assert [hex(key) for key in row_keys(rows)] == ROWS
    assert [hex(key) for key in text_keys(["", "to be", "né"])] == TEXTS
    table = read_frame({"age": [1.0, 2.5, None], "who": ["a", "007", "7"]})
    assert [hex(key) for key in frame_keys(table)] == TABLE
    assert digest(row_keys(rows)) == DIGEST
    assert deal(some_keys(40), "it", DataSettings()).test.tolist() == TEST


ROWS = ["0xe36c2df0ba9825ea", "0x8d154399db748e77"]
TEXTS = ["0xb4b2797457a0a6e4", "0xa25f5f85f486d74f", "0xe311b5eb7f5ada26"]
TABLE = ["0xabc4bb95e45a41e7", "0xcad530ee03c1402b", "0x7e59b688129a70d8"]
DIGEST = "c03e38b96259a6da88984e4b88716a1c"
TEST = [9, 10, 36]


@pytest.mark.parametrize("values", [np.arange(60).reshape(20, 3), np.arange(60).reshape(20, 3) / 7 - 3])
def test_a_row_of_numbers_has_one_key_in_every_form(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "x.npz", x=values.astype(np.float32))
    lines = ["a,b,c", *(",".join(repr(float(np.float32(v))) for v in row) for row in values)]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    forms = [values.astype(np.float32), values.astype(">f8"), values.tolist(), values.reshape(20, 1, 3)]
    files = [tmp_path / name for name in ("x.npy", "x.npz", "x.csv")]
    found = {load(form, DataSettings()).contents.digest for form in [values, *forms, *files]}  # type: ignore[union-attr]
    assert len(found) == 1
    assert load(tmp_path / "x.npy", DataSettings(stream="yes")).contents.digest in found  # type: ignore[union-attr]


def test_rows_have_different_keys_whatever_is_beside_them() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(0, 256, (500, 4)), rng.normal(size=(500, 4)), rng.integers(-9, 300, (500, 4))])
    keys = row_keys(x)
    assert len(set(keys.tolist())) == len(np.unique(x.astype(np.float32), axis=0))
    assert (np.concatenate([row_keys(row[None]) for row in x]) == keys).all()


def test_a_table_has_one_digest_in_every_form(tmp_path: Path) -> None:
    pandas, parquet = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"n": [1, 2, 30], "x": [0.1, -2.5, 1e-7], "who": ["ann", "bob, jr", "007"], "gap": [1.5, None, 3.0]}
    frame = pandas.DataFrame(columns)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame[["who", "gap", "x", "n"]].to_csv(tmp_path / "turned.csv", index=False)
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    sources = [columns, frame, *(tmp_path / name for name in ("t.csv", "turned.csv", "t.parquet"))]
    assert len({digest(frame_keys(read_frame(source))) for source in sources}) == 1
    other = [columns | {"who": ["ann", "bob, jr", "7"]}, {**columns, "gap": [1.5, 0.0, 3.0]}]
    other.append({"m" if name == "n" else name: column for name, column in columns.items()})
    assert len({digest(frame_keys(read_frame(source))) for source in [columns, *other]}) == 4


# --- every kind of data --------------------------------------------------------------------------------------------

RNG = np.random.default_rng(1)
WORDS = ["sea", "king", "night", "crown", "storm"]


def pictures(folder: Path, n: int) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(n):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 4), np.uint8)).save(folder / f"{i:03}.png")
    return folder


def graph(i: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(i)
    return [(a, b) for a in range(8) for b in range(a) if rng.random() < 0.4] or [(0, 1)]


def several(n: int) -> dict[str, Any]:
    edges = [np.array(graph(i)) + 8 * i for i in range(n)]
    return {"sizes": np.full(n, 8), "edges": np.concatenate(edges)}


def lines(n: int) -> list[str]:
    return [f"the {WORDS[i % 5]} of {i}" for i in range(n)]


def alcohols(n: int) -> list[str]:
    return ["C" * (i + 1) + "O" for i in range(n)]


def piece(i: int) -> Piece:
    return Piece(f"piece {i}", np.random.default_rng(i).integers(50, 70, (1, 16)))


def rows_of(data: DataSet) -> list[list[Any]]:
    """Return each split's examples, in a form that does not depend on the other examples."""
    return [[tuple(np.asarray(row).ravel().tolist()) for row in getattr(data, split).x[:]] for split in SPLITS]


def line_numbers(data: DataSet) -> list[list[Any]]:
    return [next(iter(getattr(data, split).origin.columns.values())).tolist() for split in SPLITS]


def graph_rows(data: DataSet) -> list[list[Any]]:
    return [[str(x[i].edges.tolist()) for i in range(len(x))] for x in (getattr(data, s).x for s in SPLITS)]


def links(data: DataSet) -> list[list[Any]]:
    def pairs(edges: Any) -> list[Any]:
        return [tuple(sorted(pair)) for pair in edges.tolist()]

    held: list[Any] = [data.valid.x, data.test.x]
    return [pairs(data.train.x.edges), *(pairs(x.asked[x.answers]) for x in held)]  # type: ignore[attr-defined]


X = RNG.normal(size=(80, 3)).astype(np.float32)
KINDS: dict[str, tuple[Callable[[int, Path], DataSet], Callable[[DataSet], list[list[Any]]]]] = {
    "array": (lambda n, _: load(X[:n], DataSettings()), rows_of),
    "greys": (lambda n, _: load((X[:n] * 20 + 99).astype(np.uint8), DataSettings()), rows_of),
    "labelled": (lambda n, _: load((X[:n], np.arange(n) % 3), DataSettings()), rows_of),
    "pictures": (lambda n, f: load(pictures(f / "p", n), DataSettings()), rows_of),
    "pictures on disk": (lambda n, f: load(pictures(f / "p", n), DataSettings(stream="yes")), rows_of),
    "array on disk": (lambda n, f: load(saved(f, X[:n]), DataSettings(stream="yes")), rows_of),
    "table": (lambda n, _: Tables().load({"i": list(range(n)), "x": X[:n, 0]}, TableSettings()), line_numbers),
    "text": (lambda n, _: Text().load(lines(n), TextSettings(least=1)), line_numbers),
    "molecules": (lambda n, _: Molecules().load(alcohols(n), MoleculeSettings()), line_numbers),
    "series": (lambda n, _: Series().load([row.tolist() for row in X[:n]], SeriesSettings()), rows_of),
    "music": (lambda n, _: Music().load([piece(i) for i in range(n)], MusicSettings(bars=1, transpose=0)), rows_of),
    "graphs": (lambda n, _: GraphData().load(several(n), GraphSettings()), graph_rows),
    "links": (lambda n, _: GraphData().load({"edges": ring(n)}, GraphSettings()), links),
}


def ring(n: int) -> np.ndarray:
    """A ring of 80 nodes without its last edges."""
    i = np.arange(80)
    return np.stack([i, (i + 1) % 80], 1)[np.r_[79, : n - 1]]


def saved(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_every_kind_keep_their_split_as_others_come(kind: str, tmp_path: Path) -> None:
    make, told = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what tables say of their columns
        before = told(make(60, tmp_path))
        after = told(make(80, tmp_path))
    assert sum(map(len, before)) == 60 and sum(map(len, after)) == 80 and all(map(len, before))
    for old, new in zip(before, after):
        assert set(old) <= set(new)


@pytest.mark.parametrize("kind", KINDS)
def test_what_every_kind_holds_is_known_again(kind: str, tmp_path: Path) -> None:
    make = KINDS[kind][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        first, again, more = make(60, tmp_path).contents, make(60, tmp_path).contents, make(61, tmp_path).contents
    assert first is not None and again is not None and more is not None
    if "pictures" not in kind:  # there the folder had 61 by then
        assert first == again and first.count == 60
    assert first.difference(more) is not None and first.shares.test == more.shares.test


def test_pictures_in_memory_and_on_disk_are_split_alike_wherever_they_lie(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 40)
    shutil.copytree(folder, tmp_path / "elsewhere")
    whole = load(folder)
    for source, stream in ((folder, "yes"), (tmp_path / "elsewhere", "no"), (tmp_path / "elsewhere", "yes")):
        data = load(source, DataSettings(stream=stream))  # type: ignore[arg-type]
        assert rows_of(data)[1:] == rows_of(whole)[1:] and data.contents == whole.contents


def test_what_was_hashed_of_large_files_is_kept_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit.data import disk_keys

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(disk_keys, "KEEP_ABOVE", 0)
    monkeypatch.setattr(disk_keys, "BLOCK", 100)
    path, settings = saved(tmp_path, X), DataSettings(stream="yes")
    whole = load(path, DataSettings()).contents
    assert load(path, settings).contents == whole
    monkeypatch.setattr(disk_keys, "row_keys", lambda x: pytest.fail("the file was read again"))
    assert load(path, settings).contents == whole
    monkeypatch.setattr(disk_keys, "row_keys", row_keys)
    saved(tmp_path, X[:, ::-1])
    assert load(path, settings).contents != whole


def test_the_training_part_of_a_split_is_said_to_lack_what_was_held_out() -> None:
    """Splits go by contents: split again, it holds out next to nothing, and by another seed as much as ever."""
    keys = text_keys([str(i) for i in range(5000)])
    train = keys[deal(keys, "a list", DataSettings(test=0)).train]
    with pytest.warns(UserWarning, match=r"data.valid=0.1 holds out 0 examples where 4\d\d are .* set data.seed"):
        deal(train, "a list", DataSettings(test=0))
    for made in (deal(train, "a list", DataSettings(test=0, seed=1)), deal(keys[:40], "a list", DataSettings())):
        assert len(made.valid) > 0
