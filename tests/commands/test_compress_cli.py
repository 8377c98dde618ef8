"""`vaekit compress` and `decompress` as a person runs them: exact files, one sentence a fault, nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from vaekit.commands.main import run as command
from vaekit.errors import UserError
from vaekit.runs.loading import load
from vaekit.runs.train import train
from vaekit.tasks.grey_levels import Layout, to_levels


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    kinds = {
        "binary": {},
        "levels": {"model.likelihood": "discretised-logistic"},
        "real": {"model.likelihood": "gaussian"},
    }
    for name, settings in kinds.items():
        train("vae", "digits", out=root / name, steps=120, set=settings | {"model.hidden": "64"}, pictures=False)
    train("vae", "digits", out=root / "other", steps=20, seed=1, set={"model.hidden": "64"}, pictures=False)
    return {name: root / name for name in (*kinds, "other")}


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        command([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.mark.parametrize("kind", ["binary", "levels"])
def test_the_test_split_round_trips_near_the_elbo(
    kind: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, back = tmp_path / "x.vkz", tmp_path / "x.npz"
    assert call("compress", runs[kind], "test", out, "--json") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["n"] == 174 and found["bytes"] == out.stat().st_size
    assert call("decompress", runs[kind], out, back) == 0
    run = load(runs[kind])
    assert np.array_equal(np.load(back)["x"], np.rint(run.test.x.numpy() * (1 if kind == "binary" else 16)))
    # 174 small images: header and initial bits, some 350 bytes, still show
    assert abs(8 * (found["bytes"] - 350) / found["n"] - found["elbo_bits_per_example"]) < (
        0.1 * found["elbo_bits_per_example"]
    )


ARRAYS = {
    "uint8": lambda x: x.astype(np.uint8),
    "bool": lambda x: x.astype(bool),
    "int64": lambda x: x.astype(np.int64),
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
    "0 and 255": lambda x: (x * 255).astype(np.uint8),
    "no channel": lambda x: x[:, 0].astype(np.uint8),
    "channels last": lambda x: np.moveaxis(x, 1, -1).astype(np.uint8),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_any_array_comes_back_as_it_was(kind: str, runs: dict[str, Path], tmp_path: Path) -> None:
    x = ARRAYS[kind](load(runs["binary"]).test.x.numpy()[:30])
    np.save(tmp_path / "a.npy", x)
    assert call("compress", runs["binary"], tmp_path / "a.npy", tmp_path / "a.vkz") == 0
    assert call("decompress", runs["binary"], tmp_path / "a.vkz", tmp_path / "b.npy") == 0
    back = np.load(tmp_path / "b.npy")
    assert back.dtype == x.dtype and np.array_equal(back, x) and back.shape == x.shape


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_greys_as_fractions_come_back_bit_by_bit(kind: str) -> None:
    greys = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4)).astype(np.uint8)
    for x in ((greys / 255).astype(kind), greys.astype(kind) / np.dtype(kind).type(255), greys):
        level, layout = to_levels(x, (1, 4, 4), 256, "x")
        assert np.array_equal(level, greys)
        back = Layout(**json.loads(json.dumps(asdict(layout)))).restore(level, 256)
        assert back.tobytes() == x.tobytes() and back.dtype == x.dtype
    with pytest.raises(UserError, match="not the 256 grey levels"):
        to_levels((greys / 254).astype(kind), (1, 4, 4), 256, "x")


@pytest.mark.slow
def test_a_file_is_read_on_another_number_of_threads(runs: dict[str, Path], tmp_path: Path) -> None:
    files = []
    for threads in ("1", "2"):
        out = tmp_path / f"{threads}.vkz"
        line = [sys.executable, "-m", "vaekit", "compress", str(runs["levels"]), "test", str(out)]
        subprocess.run(line, check=True, env=os.environ | {"OMP_NUM_THREADS": threads})
        files.append(out)
    assert files[0].read_bytes() == files[1].read_bytes()
    line = [sys.executable, "-m", "vaekit", "decompress", str(runs["levels"]), str(files[0]), str(tmp_path / "x.npy")]
    subprocess.run(line, check=True, env=os.environ | {"OMP_NUM_THREADS": "2"})
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.rint(load(runs["levels"]).test.x.numpy() * 16))


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()[:16]


def fault(data: bytes, kind: str) -> bytes:
    middle = len(data) // 2
    header = struct.unpack_from("<I", data, 10)[0]
    return {
        "empty": b"",
        "cut": data[:-5],
        "cut to the magic": data[:12],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "longer": data + b"\0",
        "not ours": b"PK" + data[2:],
        "newer": sealed(data[:8] + struct.pack("<H", 9) + data[10:-16]),
        "long header": sealed(data[:10] + struct.pack("<I", 1 << 30) + data[14:-16]),
        "bad header": sealed(data[:14] + b"\0" * header + data[14 + header : -16]),
        "words changed": sealed(data[:-60] + b"12345678" + data[-52:-16]),
    }[kind]


FAULTS = {
    "empty": "was not written by",
    "cut": "damaged or cut short",
    "cut to the magic": "cut short",
    "flipped": "damaged or cut short",
    "longer": "damaged or cut short",
    "not ours": "was not written by",
    "newer": "version 9",
    "long header": "header does not fit",
    "bad header": "is damaged",
    "words changed": "does not decode here",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_damaged_file(kind: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "x.vkz", tmp_path / "x.npz"
    source.write_bytes(fault(load(runs["binary"]).compress(load(runs["binary"]).test.x.numpy()[:40]), kind))
    assert call("decompress", runs["binary"], source, out) == 2
    said = capsys.readouterr().err.strip()
    assert FAULTS[kind] in said and "\n" not in said and "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["x.vkz"]


def test_the_wrong_model(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("compress", runs["binary"], "test", tmp_path / "x.vkz")
    capsys.readouterr()
    for other in ("other", "levels"):
        assert call("decompress", runs[other], tmp_path / "x.vkz", tmp_path / "x.npz") == 2
        assert "another model" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


SOURCES = {
    "greys to a binary model": ("binary", np.arange(64, dtype=np.uint8).reshape(1, 8, 8), "values other than 0 and 1"),
    "another shape": ("binary", np.zeros((3, 9, 9), np.uint8), "examples of shape (9, 9)"),
    "NaN": ("levels", np.full((2, 8, 8), np.nan, np.float32), "NaN"),
    "too many levels": ("levels", np.full((2, 8, 8), 17, np.uint8), "17 grey levels"),
    "negative": ("levels", np.full((2, 8, 8), -1, np.int64), "17 grey levels"),
    "between levels": ("levels", np.full((2, 8, 8), 0.51, np.float32), "17 grey levels"),
    "none": ("levels", np.zeros((0, 8, 8), np.uint8), "at least one"),
    "a density": ("real", np.zeros((2, 8, 8), np.uint8), "quantised data"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_wrong_data(kind: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, x, says = SOURCES[kind]
    np.save(tmp_path / "x.npy", x)
    assert call("compress", runs[model], tmp_path / "x.npy", tmp_path / "x.vkz") == 2
    said = capsys.readouterr().err.strip()
    assert says in said and "\n" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]


def test_missing_files_and_folders(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        (("compress", runs["binary"], "nowhere.npy", tmp_path / "x"), "nowhere.npy"),
        (("compress", runs["binary"], "test", tmp_path / "no" / "x"), "does not exist"),
        (("compress", tmp_path, "test", tmp_path / "x"), "not a run folder"),
        (("decompress", runs["binary"], tmp_path / "no.vkz", tmp_path / "x.npz"), "there is no file"),
        (("decompress", runs["binary"], tmp_path / "no.vkz", tmp_path / "x.txt"), ".npz or .npy"),
    ):
        assert call(*words) == 2
        assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_header_is_what_the_format_says(runs: dict[str, Path]) -> None:
    run = load(runs["binary"])
    data = run.compress(run.test.x.numpy()[:10])
    version, length = struct.unpack_from("<HI", data, 8)
    header = json.loads(zlib.decompress(data[14 : 14 + length]))
    assert data[:8] == b"\x89VAEKIT\n" and version == 2
    assert header["count"] == 10 and header["fingerprint"] == run.fingerprint
    assert data[-16:] == hashlib.sha256(data[:-16]).digest()[:16]
