"""Known sets: found where they may lie, fetched and checked, or refused with every place that was tried."""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from vaekit.data import DATASETS, available, load
from vaekit.data.download import Remote, cache_folder, fetch, find_known, local_file, obtain, places
from vaekit.data.files import read_bytes
from vaekit.errors import UserError

CONTENT = b"\0\0\x08\x01\0\0\0\x05hello"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        if self.path == "/cut/a.gz":  # promises more than it sends
            data = gzip.compress(CONTENT)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:-5])
            return
        super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    root = tmp_path / "www"
    root.mkdir()
    (root / "a.gz").write_bytes(gzip.compress(CONTENT))
    (root / "wrong").mkdir()
    (root / "wrong" / "a.gz").write_bytes(gzip.compress(b"something else"))
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/"
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("vaekit.data.download.SYSTEM", (tmp_path / "system",))


def test_fetched_once_into_the_cache(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = (Remote("a.gz", MD5, (server,)),)
    folder = obtain("some", files)
    assert folder == tmp_path / "cache" / "vaekit" / "some"
    assert [path.name for path in folder.iterdir()] == ["a.gz"]
    assert gzip.decompress((folder / "a.gz").read_bytes()) == CONTENT
    assert capsys.readouterr().out == ""  # progress goes to standard error
    assert obtain("some", (Remote("a.gz", MD5, ()),)) == folder  # no mirror needed any more


def test_the_next_mirror_is_tried(server: str) -> None:
    assert fetch(
        Remote("a.gz", MD5, (server + "none/", server + "wrong/", server + "cut/", server)), cache_folder(), "some"
    )


@pytest.mark.parametrize(
    ("path", "words"), [("none/", "File not found"), ("wrong/", "not the published ones"), ("cut/", "cut off after")]
)
def test_a_bad_answer_leaves_nothing_behind(server: str, path: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        obtain("some", (Remote("a.gz", MD5, (server + path,)),))
    for place in places("some"):
        assert str(place) in str(caught.value)
    assert server + path in str(caught.value) and "VAEKIT_DATA" in str(caught.value)
    assert list((cache_folder() / "some").iterdir()) == []


def test_an_unreachable_mirror_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="refused"):
        obtain("some", (Remote("a.gz", MD5, ("http://127.0.0.1:9/",)),))


def test_search_order_and_unpacked_files(tmp_path: Path) -> None:
    files = (Remote("a-idx1-ubyte.gz", MD5, ()),)
    for base, name in (("system", "a-idx1-ubyte.gz"), ("cache/vaekit", "a.idx1-ubyte"), ("given", "a-idx1-ubyte")):
        folder = tmp_path / base / "some"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT)
        assert find_known("some", files) == folder == obtain("some", files)


def test_changed_contents_are_refused_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "given" / "some"
    folder.mkdir(parents=True)
    for bad in (gzip.compress(b"other"), gzip.compress(CONTENT)[:-4]):
        (folder / "a.gz").write_bytes(bad)
        with pytest.raises(UserError, match=r"a\.gz is not the published file"):
            obtain("some", (Remote("a.gz", MD5, ()),))


def test_the_checksum_that_gzip_keeps_stands_for_the_md5(tmp_path: Path) -> None:
    folder = tmp_path / "given" / "some"
    folder.mkdir(parents=True)
    packed, crc = gzip.compress(CONTENT), zlib.crc32(CONTENT)
    for good in (packed, CONTENT):  # unpacked files have no checksum: md5
        (folder / "a.gz").write_bytes(good)
        assert obtain("some", (Remote("a.gz", MD5, (), crc),)) == folder
    for bad in (gzip.compress(b"other"), packed[:-4], b"other", b"", packed[:5]):
        (folder / "a.gz").write_bytes(bad)
        with pytest.raises(UserError, match=r"a\.gz is not the published file"):
            obtain("some", (Remote("a.gz", MD5, (), crc),))
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    (folder / "a.gz").write_bytes(damaged)
    with pytest.raises(UserError, match="damaged gzip file"):  # by whoever reads it
        read_bytes(obtain("some", (Remote("a.gz", MD5, (), crc),)) / "a.gz")


@pytest.mark.parametrize("name", [entry.name for entry in DATASETS if entry.facts.get("files")])
def test_checksums_and_md5s_are_of_the_same_contents(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    files = DATASETS[name].facts["files"]
    folder = find_known(name, files, DATASETS[name].facts.get("folder"))
    if folder is None or not any(file.crc for file in files):
        pytest.skip(f"{name} is not on this machine, or has no checksums")
    for file in files:
        path = local_file(folder, file.name)
        assert path is not None
        contents = read_bytes(path)
        assert (hashlib.md5(contents).hexdigest(), zlib.crc32(contents)) == (file.md5, file.crc)


def test_the_registry_lists_sets_and_where_they_are(tmp_path: Path) -> None:
    assert {"digits", "mnist", "fashion-mnist"} <= set(DATASETS.names)
    for entry in DATASETS:
        assert entry.summary and entry.reference and entry.facts["licence"] and entry.facts["size"]
    assert available(DATASETS["digits"]) == "bundled with scikit-learn"
    assert available(DATASETS["mnist"]) is None
    folder = tmp_path / "given" / "mnist"
    folder.mkdir(parents=True)
    for file in DATASETS["mnist"].facts["files"]:
        (folder / file.name).touch()
    assert available(DATASETS["mnist"]) == str(folder)


def test_known_sets_are_listed_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, vaekit.data.settings; from vaekit.data.datasets import DATASETS as sets; len(sets)"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fashion_mnist_from_the_system_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit.data.download.SYSTEM", (Path("/usr/share/datasets"),))
    if available(DATASETS["fashion-mnist"]) is None:
        pytest.skip("the system package is not installed")
    data = load("fashion-mnist")
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (55_000, 5_000, 10_000)
    assert data.info.shape == (1, 28, 28) and data.info.n_classes == 10
    assert data.test.y is not None and (np.bincount(data.test.y.numpy()) == 1000).all()
