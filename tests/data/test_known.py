"""Known sets: found where they may lie, fetched and checked, or refused with every place that was tried."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vaekit.data import DATASETS, available, download, fetching, load
from vaekit.data.download import Remote, cache_folder, fetch, find_known, local_file, obtain, places
from vaekit.data.files import read_bytes
from vaekit.errors import UserError

CONTENT = b"\0\0\x08\x01\0\0\0\x05hello"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED = gzip.compress(CONTENT, mtime=0)


def remote(*mirrors: str, **more: Any) -> Remote:
    return Remote("a.gz", mirrors, more.pop("sha256", SHA256), **more)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and answers badly where it is asked to. `asked` keeps the ranges that were asked for."""

    asked: ClassVar[list[str | None]] = []

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        ranged = self.headers.get("Range")
        self.asked.append(ranged)
        start = int(ranged.removeprefix("bytes=").removesuffix("-")) if ranged else 0
        if kind == "cut":  # promises more than it sends
            self.answer(200, PACKED[:-5], len(PACKED))
        elif kind == "resumes" and start >= len(PACKED):
            self.send_error(416)
        elif kind == "resumes":
            self.answer(206 if ranged else 200, PACKED[start:], len(PACKED) - start, start if ranged else None)
        elif kind == "whole":  # knows no ranges
            self.answer(200, PACKED, len(PACKED))
        elif kind == "other":  # another place than was asked for
            self.answer(206, PACKED, len(PACKED), 0)
        elif kind == "words":
            self.answer(200, PACKED, "abc")
        elif kind == "minus":
            self.answer(200, PACKED, -5)
        elif kind == "huge":
            self.answer(200, PACKED, 10**15)
        elif kind == "endless":
            self.answer(200, b"", None)
            with suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 16))
        elif kind == "drip":
            self.answer(200, b"", 10**4)
            with suppress(OSError):
                for _ in range(200):
                    self.wfile.write(b"x")
                    time.sleep(0.02)
        elif kind == "stall":
            self.answer(200, PACKED[:5], len(PACKED))
            time.sleep(1.5)
        else:
            super().do_GET()

    def answer(self, code: int, data: bytes, length: Any, start: int | None = None) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(PACKED) - 1}/{len(PACKED)}")
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)
            self.wfile.flush()


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
    folder = obtain("some", (remote(server),))
    assert folder == tmp_path / "cache" / "vaekit" / "some"
    assert [path.name for path in folder.iterdir()] == ["a.gz"]
    assert gzip.decompress((folder / "a.gz").read_bytes()) == CONTENT
    assert capsys.readouterr().out == ""  # progress goes to standard error
    assert obtain("some", (remote(),)) == folder  # no mirror needed any more


def test_the_next_mirror_is_tried(server: str) -> None:
    mirrors = [server + kind for kind in ("none/", "wrong/", "cut/", "words/", "huge/", "")]
    assert fetch(remote(*mirrors), cache_folder(), "some")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none/", "File not found"),
        ("wrong/", "not the published ones"),
        ("words/", "says that the file's length is 'abc', which is no number of bytes"),
        ("minus/", "says that the file's length is '-5', which is no number of bytes"),
        ("huge/", r"says 1,000,000,000,000,000 bytes, and the file has [\d,]+ at most"),
        ("endless/", r"sends more than the [\d,]+ bytes"),
        ("drip/", "bytes in .* s, too few to wait for"),
        ("stall/", "timed out"),
    ],
)
def test_a_bad_answer_is_one_sentence_and_nothing_is_taken_for_the_set(
    server: str, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", 0.5)
    monkeypatch.setattr(fetching, "WINDOW", 0.3)
    monkeypatch.setattr(download, "SLACK", 1 << 20)
    with pytest.raises(UserError, match=words) as caught:
        obtain("some", (remote(server + path, most=1 << 10),))
    for place in places("some"):
        assert str(place) in str(caught.value)
    assert server + path in str(caught.value) and "VAEKIT_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)
    left = [file for file in (cache_folder() / "some").iterdir() if file.name != "a.gz.part"]
    assert left == [] and sum(file.stat().st_size for file in (cache_folder() / "some").iterdir()) < 3 << 20


def test_what_was_cut_off_is_gone_on_from(server: str) -> None:
    part = cache_folder() / "some" / "a.gz.part"
    with pytest.raises(UserError, match=f"cut off after {len(PACKED) - 5} of {len(PACKED)} bytes; what came is kept"):
        obtain("some", (remote(server + "cut/"),))
    assert part.read_bytes() == PACKED[:-5]
    Quiet.asked.clear()
    assert obtain("some", (remote(server + "resumes/"),)) == part.parent
    assert Quiet.asked == [f"bytes={len(PACKED) - 5}-"] and not part.exists()


@pytest.mark.parametrize("kind", ["whole", "other"])
def test_a_server_that_knows_no_ranges_sends_it_again(server: str, kind: str) -> None:
    part = cache_folder() / "some" / "a.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"what came before")
    assert (obtain("some", (remote(f"{server}{kind}/"),)) / "a.gz").read_bytes() == PACKED


@pytest.mark.parametrize("before", [b"of another server", PACKED, PACKED + b"and more"], ids=["other", "all", "more"])
def test_a_beginning_that_is_not_this_files_is_thrown_away(server: str, before: bytes) -> None:
    part = cache_folder() / "some" / "a.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(before)
    assert (obtain("some", (remote(server + "resumes/"),)) / "a.gz").read_bytes() == PACKED
    assert not part.exists()


def test_two_that_fetch_at_once_do_not_write_into_one_another(server: str) -> None:
    fcntl = pytest.importorskip("fcntl")
    part = cache_folder() / "some" / "a.gz.part"
    part.parent.mkdir(parents=True)
    with part.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another process is fetching a\.gz\.part now"):
            obtain("some", (remote(server),))
    assert obtain("some", (remote(server),))


def test_an_unreachable_mirror_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="refused"):
        obtain("some", (remote("http://127.0.0.1:9/"),))


def test_search_order_and_unpacked_files(tmp_path: Path) -> None:
    files = (Remote("a-idx1-ubyte.gz", (), SHA256),)
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
            obtain("some", (remote(),))


def test_two_members_with_the_right_checksum_at_the_end_are_not_the_set(tmp_path: Path) -> None:
    """The forgery that was found: gzip's last checksum is of its last member alone."""
    folder = tmp_path / "given" / "some"
    folder.mkdir(parents=True)
    forged = gzip.compress(b"\0" * 9) + gzip.compress(CONTENT)
    assert int.from_bytes(forged[-8:-4], "little") == zlib.crc32(CONTENT)
    (folder / "a.gz").write_bytes(forged)
    with pytest.raises(UserError, match=r"a\.gz is not the published file of some \(sha256 "):
        obtain("some", (remote(),))


def test_a_packed_file_is_unpacked_no_further_than_the_set_is_long(tmp_path: Path) -> None:
    folder = tmp_path / "given" / "some"
    folder.mkdir(parents=True)
    (folder / "a.gz").write_bytes(gzip.compress(bytes(300 << 20), 1))
    began = time.process_time()
    with pytest.raises(UserError, match="is not the published file"):
        obtain("some", (remote(most=len(CONTENT)),))
    assert time.process_time() - began < 0.2  # 300 MiB take over a second


def test_a_file_is_checked_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = tmp_path / "given" / "some", []
    folder.mkdir(parents=True)
    (folder / "a.gz").write_bytes(gzip.compress(CONTENT))
    true = download.contents_digest
    monkeypatch.setattr(download, "contents_digest", lambda *given: read.append(given) or true(*given))
    for _ in range(3):
        obtain("some", (remote(),))
    assert len(read) == 1
    os.utime(folder / "a.gz", (1, 1))
    obtain("some", (remote(),))
    assert len(read) == 2
    stat = (folder / "a.gz").stat()
    (folder / "a.gz").write_bytes(gzip.compress(CONTENT[::-1]))
    os.utime(folder / "a.gz", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # and its old time back
    with pytest.raises(UserError, match="is not the published file"):
        obtain("some", (remote(),))
    with pytest.raises(UserError, match="is not the published file"):  # what is wrong is kept too
        obtain("some", (remote(),))


def test_without_a_cache_to_write_the_file_is_checked_each_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    folder = tmp_path / "given" / "some"
    folder.mkdir(parents=True)
    (folder / "a.gz").write_bytes(gzip.compress(CONTENT))
    assert obtain("some", (remote(),)) == folder


@pytest.mark.parametrize("name", [entry.name for entry in DATASETS if entry.facts.get("files")])
def test_digests_and_lengths_are_of_the_contents(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    files = DATASETS[name].facts["files"]
    assert all(file.sha256 or file.md5 for file in files)
    folder = find_known(name, files, DATASETS[name].facts.get("folder"))
    if folder is None:
        pytest.skip(f"{name} is not on this machine")
    for file in files:
        path = local_file(folder, file.name)
        assert path is not None
        contents = read_bytes(path)
        assert hashlib.new(file.digest[0], contents).hexdigest() == file.digest[1] and len(contents) <= file.most
        assert file.most in (len(contents), 1 << 30)


def test_servers_without_encryption_are_asked_last() -> None:
    for entry in DATASETS:
        for file in entry.facts.get("files", ()):
            secure = [mirror.startswith("https:") for mirror in file.mirrors]
            assert secure == sorted(secure, reverse=True) and (not secure or secure[0])


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
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (56_942, 3_058, 10_000)
    assert data.info.shape == (1, 28, 28) and data.info.n_classes == 10
    assert data.test.y is not None and (np.bincount(data.test.y.numpy()) == 1000).all()
