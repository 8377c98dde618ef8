"""Files that promise or become more than there is: refused by their headers, before memory is taken, unless allowed."""

from __future__ import annotations

import gzip
import io
import struct
import time
import tracemalloc
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vaekit.data import disk, limits
from vaekit.data.files import read_bytes
from vaekit.data.folders import open_image
from vaekit.data.graphs import graph_objects
from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.limits import large_allowed
from vaekit.data.loading import load
from vaekit.data.modality import MODALITIES
from vaekit.data.settings import DataSettings
from vaekit.data.tables import reading
from vaekit.data.tables.reading import read_frame
from vaekit.errors import UserError

MB = 1 << 20


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    body = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    body += b" " * (117 - len(body)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def zipped(name: str, part: bytes, times: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as out:
        out.write(npy_header((times * len(part) // 8, 1)))
        for _ in range(times):
            out.write(part)
    return stream.getvalue()


def midi(delta: bytes) -> bytes:
    track = b"\x00\x90\x3c\x50" + delta + b"\x80\x3c\x00" + b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 1, 1, 1) + b"MTrk" + struct.pack(">I", len(track)) + track


def wav(rate: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"\1\2" * 100)
    data = bytearray(stream.getvalue())
    data[24:28] = struct.pack("<I", rate)
    return bytes(data)


def arrays(**held: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **held)
    return stream.getvalue()


def picture(side: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "png")
    return stream.getvalue()


def parquet(rows: int) -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(rows, np.int8)), pyarrow.array(["x"]))
    parquet.write_table(pyarrow.table({"a": column, "b": column}), stream)
    return stream.getvalue()


ZEROS = b"\0" * MB
EDGES = np.array([(i, i + 1) for i in range(9)])
BOMBS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a.npy": (lambda: npy_header((2**32, 2**13)), "array", "its header says"),
    "lying.npz": (lambda: arrays(x=np.arange(3)).replace(b"(3,)", b"(9,)"), "array", "damaged NPZ|its header says"),
    "a.npz": (lambda: zipped("x.npy", ZEROS, 12), "array", "more than 100 times that; .*--allow-large"),
    "a.idx.gz": (lambda: gzip.compress(b"\0\0\x08\x01" + ZEROS * 12), "array", "--allow-large"),
    "a.csv.gz": (lambda: gzip.compress(b"1,1,1,1\n" * (MB // 2)), "array", "more than 20 times"),
    "a.txt.gz": (lambda: gzip.compress(b"one\n" * MB), "text", "more than 20 times"),
    "sizes.npz": (lambda: arrays(edges=EDGES, sizes=[10**12]), "graphs", "would become 32.0 TB"),
    "nodes.npz": (lambda: arrays(edges=EDGES, nodes=10**12), "graphs", "would become 32.0 TB"),
    "many.npz": (lambda: arrays(edges=EDGES, sizes=[2**62, 2**62]), "graphs", "--allow-large"),
    "a.mid": (lambda: midi(b"\xff\xff\xff\x7f"), "music", "67,108,864 bars, more than 10,000"),
    "a.wav": (lambda: wav(2**32 - 1), "array", "4,294,967,295 samples a second, more than 384,000"),
    "a.smi": (lambda: ("C" * 10**5 + "\nCCO\nCC\nCN\n").encode(), "molecules", ""),
    "a.parquet": (lambda: parquet(MB), "tables", "more than 100 times"),
    "ragged.ts": (lambda: b"@classLabel false\n@data\n" + b"1:" * 20_000 + b"1," * 20_000 + b"1\n", "series", "GB"),
}


def read(path: Path, kind: str, **settings: Any) -> Any:
    if kind == "array":
        return load(path, DataSettings(**settings))
    modality = MODALITIES[kind].part
    return modality.load(path, modality.settings(**settings))


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_a_sentence_before_memory_is_taken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREE", 8 * MB)  # smaller bombs, sooner made
    monkeypatch.setattr(limits, "FREE_TEXT", 2 * MB)
    make, kind, words = BOMBS[name]
    path = tmp_path / name
    path.write_bytes(make())
    tracemalloc.start()
    start = time.process_time()
    try:
        if words:
            with pytest.raises(UserError, match=words) as refusal:
                read(path, kind)
            assert len(str(refusal.value)) < 500
        else:
            read(path, kind)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 5
    assert peak < limits.FREE + 10 * path.stat().st_size + 64 * MB


def test_pictures_are_refused_by_what_they_would_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE", 8 * MB)
    data = picture(600)
    for i in range(12):
        (tmp_path / f"{i:02d}.png").write_bytes(data)
    for stream in ("auto", "yes"):
        with pytest.raises(UserError, match=r"would become 13.0 MB in memory, more than 100 times"):
            load(tmp_path, DataSettings(stream=stream))
    assert load(tmp_path, DataSettings(size=8)).info.shape == (3, 8, 8)
    opened: list[Path] = []
    monkeypatch.setattr(disk, "open_image", lambda path, size: opened.append(path) or open_image(path, size))
    monkeypatch.setattr(limits, "FREE", 2 * MB)
    with pytest.raises(UserError, match=r"would become 4.3 MB in memory, more than 100 times"):
        load(tmp_path)  # three times as much, but the first picture's size is enough to refuse it
    assert len(set(opened)) == 1


def test_what_is_meant_is_read_where_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE", 1000)
    np.savez_compressed(tmp_path / "a.npz", x=np.tile([[0.0, 1.0]], (5000, 1)))
    with pytest.raises(UserError, match="--allow-large"):
        load(tmp_path / "a.npz")
    assert (
        load(tmp_path / "a.npz", DataSettings(allow_large=True, repeats="apart", test=0, valid=0)).info.n_train == 5000
    )
    with pytest.raises(UserError, match="--allow-large"):  # the setting held for that reading alone
        load(tmp_path / "a.npz")


def test_half_of_the_memory_is_the_most_and_the_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((200, 10)))
    monkeypatch.setattr(limits, "memory", lambda: 20_000)
    with pytest.raises(UserError, match=r"more than half of the 20.0 kB there is; .*data.stream=yes"):
        load(tmp_path / "a.npy")
    assert load(tmp_path / "a.npy", DataSettings(allow_large=True)).info.shape == (10,)
    assert load(tmp_path / "a.npy", DataSettings(stream="yes", allow_large=True)).info.n_train == 200


def test_memory_is_what_this_process_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    whole = limits.memory()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (12345, -1))
    assert limits.memory() == 12345 and whole is not None and whole > 12345


def test_gzip_members_and_what_follows_them(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one") + gzip.compress(b"two") + b"\0\0")
    assert read_bytes(tmp_path / "a.gz") == b"onetwo"
    for data, words in ((gzip.compress(b"one" * 99)[:-9], "cut off|damaged"), (gzip.compress(b"one") + b"x", "follow")):
        (tmp_path / "a.gz").write_bytes(data)
        with pytest.raises(UserError, match=words):
            read_bytes(tmp_path / "a.gz")


def test_edges_of_large_ids_are_of_names(tmp_path: Path) -> None:
    rows = [(1, 99_999_999_999), (0, 2**70), (99_999_999_999, 2**70), (0, 1)]
    (tmp_path / "a.edges").write_text("\n".join(f"{a} {b}" for a, b in rows))
    with pytest.warns(UserWarning, match="taken as names"):
        found = read_graphs(tmp_path / "a.edges")
    assert found.sizes.tolist() == [4] and set(found.names) == {"0", "1", "99999999999", str(2**70)}
    (tmp_path / "b.edges").write_text("0 5\n2 3\n")
    assert read_graphs(tmp_path / "b.edges").sizes.tolist() == [6]  # few gaps: numbered by their place


def test_gzip_files_of_many_members_are_read_in_linear_time(tmp_path: Path) -> None:
    def seconds(members: int) -> float:
        (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 90) * members)
        start = time.process_time()
        assert read_bytes(tmp_path / "a.gz") == b"x" * 90 * members
        return time.process_time() - start

    seconds(1)
    # Each member was once cut off the front of all that follow, which were copied each time.
    assert seconds(60_000) < 120 * seconds(1000) + 0.5


def test_a_long_gml_file_is_refused_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_objects, "MOST_GML", 1000)
    nodes = "".join(f"node [ id {i} ]\n" for i in range(100))
    (tmp_path / "a.gml").write_text(f"graph [\n{nodes}edge [ source 0 target 1 ]\n]")
    with pytest.raises(UserError, match=r"letters, more than 1,000; .* --allow-large"):
        read_graphs(tmp_path / "a.gml")
    with large_allowed():
        assert read_graphs(tmp_path / "a.gml").sizes.tolist() == [100]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_of_very_many_columns_are_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WIDEST", 500)
    frame = pd.DataFrame({f"c{i}": [0.5, 1.5, i] for i in range(501)})
    path = tmp_path / f"a.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    with pytest.raises(UserError, match=r"has 501 columns, more than 500; .* --allow-large"):
        read_frame(path)
    with large_allowed():
        assert len(read_frame(path).columns) == 501


def test_wide_tables_are_read_in_linear_time(tmp_path: Path) -> None:
    def seconds(width: int) -> float:
        rows = np.random.default_rng(0).normal(size=(4, width)).round(3).astype(str)
        header = ",".join(f"column{i}" for i in range(width))
        (tmp_path / "a.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]))
        start = time.process_time()
        frame = MODALITIES["tables"].part.load(tmp_path / "a.csv", MODALITIES["tables"].part.settings(test=0, valid=0))
        assert len(frame.info.facts["columns"]) == width
        return time.process_time() - start

    assert seconds(4000) < 6 * seconds(1000) + 0.5
