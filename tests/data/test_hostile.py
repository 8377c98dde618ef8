"""What was once read wrongly, left out or ended in a traceback: masks, numbers, names, rights, forms of files."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.labels import read_labels
from vaekit.data.lines import read_column
from vaekit.data.loading import load
from vaekit.data.modality import MODALITIES
from vaekit.data.number_forms import NumberForm, number_of
from vaekit.data.number_tables import read_numbers
from vaekit.data.paths import resolve_path
from vaekit.data.series.arrays import of_memory
from vaekit.data.series.csv_series import read_csv_series
from vaekit.data.series.grid import as_times
from vaekit.data.series.ts_files import read_ts
from vaekit.data.settings import DataSettings
from vaekit.data.tables.modality import TableSettings
from vaekit.data.tables.reading import read_frame
from vaekit.errors import UserError

MASKED = np.ma.masked_equal(np.array([[1, 2], [999, 4], [5, 6], [7, 9]]), 999)


# -- masks and tensors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", [MASKED, MASKED.astype("f4"), list(MASKED), {"x": MASKED}, {"a": MASKED[:, 0], "b": MASKED[:, 1]}]
)
def test_what_a_mask_hides_is_missing(source: Any) -> None:
    with pytest.raises(UserError, match="is nan; remove or fill in"):
        load(source)


def test_masks_of_tables_series_and_labels_are_gaps() -> None:
    frame = read_frame({"a": MASKED[:, 0], "b": MASKED[:, 1]})
    assert [frame.columns[0].text(i) for i in range(4)] == ["1", "", "5", "7"]
    assert np.isnan(of_memory(MASKED).series[1][0, 0])
    y = np.ma.masked_equal([0, 1, 9, 1], 9)
    read = load((np.eye(4), y), DataSettings(valid=0, test=0)).train.y
    assert read is not None and sorted(read.tolist()) == [-1, 0, 1, 1]
    with pytest.raises(UserError, match="masked array"):
        load(np.ma.masked_array([["a", "b"]], [[True, False]]))


@pytest.mark.parametrize("make", [lambda x: x.to_sparse(), lambda x: x.to_sparse_csr(), torch.Tensor.bfloat16])
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_tensors_of_any_layout_are_read(make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.eye(12, 4)
    assert load(make(x), DataSettings(valid=0, test=0)).train.x.sum() == 4


def test_tensors_without_values_are_refused() -> None:
    for x in (torch.zeros(3, 4, device="meta"), (torch.eye(3), torch.zeros(3, device="meta"))):
        with pytest.raises(UserError, match="meta, which holds no values"):
            load(x)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1_0", "１２", "²", "0x10", "9007199254740993", "1__0", "٣"])
def test_what_python_alone_takes_for_a_number_is_none(text: str, tmp_path: Path) -> None:
    assert number_of(text) is None and NumberForm(decimal=",").read(text) is None
    (tmp_path / "a.csv").write_text(f"a,b\n1,2\n{text},4\n")
    with pytest.raises(UserError, match="row 2, column 'a'"):
        read_numbers(tmp_path / "a.csv")
    (tmp_path / "s.csv").write_text(f"id,time,v\na,0,1\na,1,{text}\n")
    with pytest.raises(UserError, match="row 2, column 'v'"):
        read_csv_series(tmp_path / "s.csv")
    (tmp_path / "a.ts").write_text(f"@classLabel false\n@data\n1,{text}\n")
    with pytest.raises(UserError, match="line 3"):
        read_ts(tmp_path / "a.ts")
    (tmp_path / "a.edges").write_text(f"a b 1\nb c {text}\nsource target weight\n")
    with pytest.raises(UserError, match="texts"):
        of_memory([[text, "2"]])


def test_what_people_write_is_a_number(tmp_path: Path) -> None:
    assert [number_of(t) for t in ("1e5", " 12 ", "−3", "9007199254740992", "0012")] == [1e5, 12, -3, 2.0**53, 12]
    (tmp_path / "a.csv").write_text("a,b\n1e5, 12 \n.5,-1e-3\n")
    assert read_numbers(tmp_path / "a.csv").x.tolist() == [[1e5, 12], [0.5, -1e-3]]


def test_whole_numbers_that_a_float_would_round_are_refused_or_names(tmp_path: Path) -> None:
    ids = [2**53 + i for i in range(1, 41)]
    (tmp_path / "a.csv").write_text("id,v\n" + "".join(f"{n},{n % 7}\n" for n in ids))
    with pytest.raises(UserError, match=r"beyond ±2\^53, which would be rounded"):
        load(tmp_path / "a.csv")
    with pytest.raises(UserError, match="beyond"):
        load({"id": ids, "v": [0.5] * 40})
    frame = read_frame(tmp_path / "a.csv")
    assert len(frame.columns[0].texts) == 40
    kept = TableSettings(types={"id": "categorical"}, test=0, valid=0)
    assert len(MODALITIES["tables"].part.load(tmp_path / "a.csv", kept).info.facts["columns"][0]["levels"]) == 40
    assert len(read_labels({"train": np.array([str(n) for n in ids], object)}, "m").classes) == 40
    assert np.diff(as_times([str(1_700_000_000_000_000_000 + i) for i in range(3)], "t")).tolist() == [1, 1]
    with pytest.raises(UserError, match="too far from the others"):
        as_times(["1", "9" * 400], "t")


# -- columns of one name -----------------------------------------------------------------------------------------------


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    path = tmp_path / "a.csv"
    path.write_text("a,a,text\n1,2,x\n3,4,y\n")
    (tmp_path / "s.csv").write_text("id,time,v,v\na,0,1,2\na,1,1,2\n")
    (tmp_path / "g.csv").write_text("source,target,source\na,b,c\nb,c,d\n")
    table = pyarrow.table([pyarrow.array([1, 2])] * 2, names=["a", "a"])
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    calls: list[Callable[[], Any]] = [
        lambda: read_numbers(path),
        lambda: read_frame(path),
        lambda: read_frame(tmp_path / "a.parquet"),
        lambda: read_column(path, "text", ("text",)),
        lambda: read_csv_series(tmp_path / "s.csv"),
        lambda: read_graphs(tmp_path / "g.csv"),
        lambda: load(pandas.DataFrame(np.eye(3), columns=["a", "a", "b"])),
        lambda: load({1: [1.0, 2.0], "1": [3.0, 4.0]}),
    ]
    for call in calls:
        with pytest.raises(UserError, match="has two columns called"):
            call()


# -- what may not be read ----------------------------------------------------------------------------------------------


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Return a folder, and do without the rights of the system's owner until the test ends."""
    folder = Path(tempfile.mkdtemp())
    owner = hasattr(os, "geteuid") and os.geteuid() == 0
    if owner:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    yield folder
    if owner:
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of files are Unix's")
@pytest.mark.parametrize("kind", ["pictures", "deep", "sound", "music"])
def test_a_folder_that_may_not_be_read_is_named_not_left_out(kind: str, unprivileged: Path) -> None:
    from random import Random

    from attack import sources

    make = {"sound": sources.wav, "music": sources.midi}.get(kind, sources.images)
    for i in range(2):
        for name, data in make(Random(i)).items():
            path = unprivileged / f"class{i}" / ("deep/" if kind == "deep" else "") / Path(name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    closed = unprivileged / "class1" / ("deep" if kind == "deep" else "")
    closed.chmod(0)
    with pytest.raises(UserError, match=f"cannot read .*{closed.name}: Permission denied"):
        if kind == "music":
            MODALITIES["music"].part.load(unprivileged, MODALITIES["music"].part.settings())
        else:
            load(unprivileged)
    closed.chmod(0o700)
    file = next(path for path in sorted(closed.rglob("*")) if path.is_file())
    file.chmod(0)
    with pytest.raises(UserError, match=f"{file.name}.*Permission denied"):
        if kind == "music":
            MODALITIES["music"].part.load(unprivileged, MODALITIES["music"].part.settings())
        else:
            load(unprivileged, DataSettings(size=4) if kind != "sound" else None)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "a" * 300 + ".csv", "\0.npz", "x" * 4000 + ".parquet"])
@pytest.mark.parametrize("kind", ["array", "tables", "graphs", "text", "molecules", "series", "music"])
def test_names_that_no_file_can_have_are_refused(name: str, kind: str) -> None:
    with pytest.raises(UserError) as refusal:
        if kind == "array":
            load(name)
        else:
            MODALITIES[kind].part.load(name, MODALITIES[kind].part.settings())
    assert "\n" not in str(refusal.value)


def test_folders_devices_and_files_that_vanish_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".csv", ".npz", ".idx"):
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(UserError):
            load(tmp_path / f"folder{suffix}")
    if Path("/dev/zero").exists():
        with pytest.raises(UserError, match="is a device"):
            load("/dev/zero")
    assert resolve_path(tmp_path) == tmp_path
    np.save(tmp_path / "a.npy", np.eye(12))
    data = load(tmp_path / "a.npy", DataSettings(stream="yes"))

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(UserError, match=r"a.npy: Input/output error"):
        data.train.x[:2]


# -- forms of files ----------------------------------------------------------------------------------------------------


def test_forms_of_files_that_no_reader_knows_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(9))
    whole = (tmp_path / "a.npz").read_bytes()
    locked = bytearray(whole)
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        locked[whole.find(mark) + at] |= 1
    cut = whole[: whole.rfind(b"PK\x05\x06")] + b"PK\x05\x06" + b"\xff" * 18
    head = b"\x93NUMPY\x01\x00"
    empty = f"{{'descr': '<f8', 'fortran_order': False, 'shape': (0, {2**40}, {2**40})}}\n".encode()
    files: dict[str, tuple[bytes, str]] = {
        "locked.npz": (bytes(locked), "without a password"),
        "cut.npz": (cut, "damaged NPZ"),
        "token.npy": (head + struct.pack("<H", 9) + b"{'descr'(" + b"\0" * 99, "not a readable array"),
        "type.npy": (
            head + struct.pack("<H", 40) + b"{'descr': 7, 'fortran_order': 0, 'shape': 3}\n",
            "not a readable",
        ),
        "deep.npy": (head + struct.pack("<H", 9000) + b"(" * 9000, "not a readable array"),
        "empty.idx": (b"\0\0\x08\x03" + struct.pack(">III", 0, 2**32 - 1, 2**32 - 1), "its shape is"),
        "empty.npy": (
            head + struct.pack("<H", len(empty)) + empty,
            "not a readable",
        ),
        "axes.idx": (b"\0\0\x08\x41" + struct.pack(">I", 1) * 65 + b"\1", "65 axes"),
        "wide.csv": (b"a,b\n1," + b"1" * 200_000 + b"\n", "not a readable CSV|number"),
    }
    for name, (data, words) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=words):
            load(tmp_path / name)
    (tmp_path / "a.csv").write_text('smiles\n"' + "C" * 200_000 + '"\n')
    with pytest.raises(UserError, match=r"no molecule that data\.longest=120 leaves in"):
        MODALITIES["molecules"].part.load(tmp_path / "a.csv", MODALITIES["molecules"].part.settings())
    with pytest.raises(UserError, match="single value"):
        np.savez(tmp_path / "y.npz", x=np.eye(9), y=np.array(3))
        load(tmp_path / "y.npz")


def test_sparse_matrices_that_lie_are_refused(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "a.npz", sparse.random(9, 4, 0.5, format="csr"))
    with np.load(tmp_path / "a.npz") as held:
        arrays = dict(held)
    for change in (
        {"indices": arrays["indices"] + 99},
        {"shape": np.array([10**6, 10**9])},
        {"format": np.array(b"x")},
    ):
        np.savez(tmp_path / "b.npz", **{**arrays, **change})
        with pytest.raises(UserError, match=r"b\.npz (is not a readable sparse matrix|would take)"):
            load(tmp_path / "b.npz")


EDGES = np.array([(i, i + 1) for i in range(9)])
ADJACENCY = np.ones((4, 5, 5)) - np.eye(5)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"edges": EDGES, "nodes": np.array(np.nan)}, "nodes: row 0 is not a number"),
        ({"edges": EDGES, "nodes": np.array([])}, "nodes says how many"),
        ({"edges": EDGES, "nodes": np.array("10")}, "not whole numbers"),
        ({"edges": EDGES, "nodes": np.array(-3)}, "at least 1"),
        ({"edges": EDGES, "sizes": np.array([1e300])}, "not whole numbers"),
        ({"edges": EDGES, "labels": np.array(3)}, "labels have shape"),
        ({"edges": EDGES, "features": np.full((10, 2), "a")}, "features have type"),
        ({"edges": EDGES, "features": np.full((10, 2), 1e300)}, "is inf"),
        (
            {"edges": EDGES, "feature_rows": np.arange(3), "feature_cols": np.arange(3), "feature_shape": 3},
            "feature_shape",
        ),
        (
            {"edges": EDGES, "feature_rows": np.nan, "feature_cols": np.arange(3), "feature_shape": [10, 3]},
            "feature_rows: row 0 is not a number",
        ),
        ({"adjacency": ADJACENCY, "mask": np.ones(7)}, "mask has type"),
        ({"adjacency": ADJACENCY, "mask": np.full((4, 5), "x")}, "mask has type"),
        ({"adjacency": ADJACENCY, "mask": np.full((4, 5), 2)}, "give 0 or 1"),
        ({"adjacency": ADJACENCY, "features": np.ones((4, 3, 2))}, "features have shape"),
        ({"edges": EDGES.astype("V8")}, "not whole numbers"),
    ],
)
def test_arrays_of_graphs_that_do_not_fit_are_refused(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=words):
        read_graphs(tmp_path / "a.npz")


def test_features_of_padded_graphs_follow_the_mask(tmp_path: Path) -> None:
    mask = np.array([[1, 0, 1, 1, 1]] * 4)
    features = np.arange(4 * 5 * 2).reshape(4, 5, 2)
    adjacency = ADJACENCY * mask[:, :, None] * mask[:, None, :]
    found = read_graphs({"adjacency": adjacency, "mask": mask, "features": features})
    assert found.features is not None and found.features.tolist() == features[mask.astype(bool)].tolist()


def test_numbers_too_large_for_32_bits_are_named() -> None:
    tables, series = MODALITIES["tables"].part, MODALITIES["series"].part
    with pytest.raises(UserError, match=r"column 'a': '1e\+300' is too large for 32 bits"):
        tables.load({"a": [*range(40), 1e300], "b": [0.5] * 41}, TableSettings(types={"a": "count"}))
    with pytest.raises(UserError, match="too large for 32 bits"):
        series.load([[1.0, 2.0], [1e39, 3.0]], series.settings())  # +inf would mark the end


@pytest.mark.parametrize("scale", [1e158, 1e307], ids=str)
@pytest.mark.parametrize("kind", ["real", "whole", "long tail", "signed"])
def test_columns_of_numbers_too_large_for_32_bits_are_named(kind: str, scale: float) -> None:
    x = np.random.default_rng(0).uniform(0.1, 17, 80)
    column = {
        "real": x,
        "whole": np.round(x),
        "long tail": np.exp(x - 16),
        "signed": np.round(x) * (-1.0) ** np.arange(80),
    }
    with pytest.raises(UserError, match=r"column 'a'.*too large for 32 bits"):
        MODALITIES["tables"].part.load({"a": column[kind] * scale, "b": x}, TableSettings())


def test_an_npz_of_entries_in_folders_or_of_text_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"text")
        archive.writestr("more/", b"")
    with pytest.raises(UserError, match="not a readable array"):
        load(tmp_path / "a.npz")
