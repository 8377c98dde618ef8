"""Where data sets lie on disk, and fetching those that are nowhere."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaekit.atomic import replacing, write_text
from vaekit.data.fetching import download
from vaekit.errors import UserError

SYSTEM = (Path("/usr/share/datasets"), Path("/usr/share"))
GZIP = b"\x1f\x8b"
SLACK = 1 << 20
"""Bytes that a packed file may be longer than its contents."""


@dataclass(frozen=True)
class Remote:
    """A file of a known set: its name, the digest of its *unpacked* contents, and where it can be fetched from.

    `sha256` is theirs, or "" where the set cannot be had here to compute it: then `md5` is what its publishers give.
    `most` bounds the contents' bytes. A mirror is a folder if it ends in a slash, else the address of the file itself.
    """

    name: str
    mirrors: tuple[str, ...]
    sha256: str = ""
    md5: str = ""
    most: int = 1 << 30

    @property
    def digest(self) -> tuple[str, str]:
        """The kind of the digest, and the digest."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5)


def user_folders() -> list[Path]:
    """Return the folders of `$VAEKIT_DATA` (colon-separated), each holding a folder a set."""
    return [Path(part).expanduser() for part in os.environ.get("VAEKIT_DATA", "").split(os.pathsep) if part]


def cache_folder() -> Path:
    """Return the user's cache, `$XDG_CACHE_HOME/vaekit` or `~/.cache/vaekit`."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "vaekit"


def kept(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays kept in the NPZ `path`; where it is missing or damaged, make and keep them if possible."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        arrays = make()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            np.savez_compressed(part, **arrays)  # type: ignore[arg-type]
    return arrays


def places(name: str, folder: str | None = None) -> list[Path]:
    """Return the folders a set is looked for in, first to last: its own, or one that it shares with others."""
    names = (name,) if folder is None else (name, folder)
    return [base / each for base in (*user_folders(), cache_folder(), *SYSTEM) for each in names]


def local_file(folder: Path, name: str) -> Path | None:
    """Return `name` in `folder`, packed or not, with MNIST's dot in place of the dash if so, or None."""
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    for candidate in (plain, plain + ".gz", dotted, dotted + ".gz"):
        with suppress(OSError):  # a folder that may not be entered
            if (folder / candidate).is_file():
                return folder / candidate
    return None


def find_known(name: str, files: tuple[Remote, ...], folder: str | None = None) -> Path | None:
    """Return the first place that holds every file of a set, or None; `folder` is one it may share with others."""
    for place in places(name, folder):
        if all(local_file(place, file.name) is not None for file in files):
            return place
    return None


def obtain(name: str, files: tuple[Remote, ...], folder: str | None = None) -> Path:
    """Return a folder that holds every file of a set with its published contents; fetch what is missing.

    Raises `UserError` that lists every place tried, or names the file whose contents differ from the published ones.
    """
    home = find_known(name, files, folder) or cache_folder() / name
    for file in files:
        path = local_file(home, file.name) or fetch(file, home, name, folder)
        if not is_published(path, file):
            raise UserError(
                f"{path} is not the published file of {name} ({' '.join(file.digest)} unpacked); delete it to have it "
                f"fetched again, or give its folder as a path to use it as it is"
            )
    return home


def is_published(path: Path, file: Remote) -> bool:
    """Whether a file has its published contents; what was found is kept in the cache until the file changes."""
    kind, digest = file.digest
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from None
    state = f"{kind} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {path.resolve()}"
    note = cache_folder() / "checked" / hashlib.sha256(os.fsencode(state)).hexdigest()
    with suppress(OSError):
        return note.read_text(encoding="ascii") == digest
    found = contents_digest(path, kind, file.most)
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, found)
    return found == digest


def contents_digest(path: Path, kind: str, most: int) -> str:
    """Return the digest of a file's contents, unpacked where it is gzipped; what is wrong where there is none.

    All members of a gzip file are its contents. No more than `most` bytes are unpacked.
    """
    made, count = hashlib.new(kind, usedforsecurity=False), 0
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                count += len(chunk)
                if count > most:
                    return "too long"
                made.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "damaged"
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from None
    return made.hexdigest()


def fetch(file: Remote, folder: Path, name: str, shared: str | None = None) -> Path:
    """Fetch one file from the first mirror that has it, check it, and only then put it in `folder`.

    What came of a connection that broke is kept beside it, as NAME.part, and gone on from.
    """
    tried = []
    for mirror in file.mirrors:
        url = mirror + file.name if mirror.endswith("/") else mirror
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _fetched(url, file, folder)
        except (UserError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            tried.append(f"{url} ({reason})")
    asked = f"tried {'; '.join(tried)}" if tried else "and no server is known to have it in this form"
    on_disk = ", ".join(str(place) for place in places(name, shared))
    raise UserError(
        f"the data set {name} was not found: looked in {on_disk}; {asked}. Put {file.name} and the "
        f"set's other files into a folder {shared or name}/ and name that folder's parent in VAEKIT_DATA"
        f"{', or connect and try again' if tried else ''}"
    )


def _fetched(url: str, file: Remote, folder: Path) -> Path:
    part, kind = folder / f"{file.name}.part", file.digest[0]
    resumed = download(url, part, file.most + SLACK)
    if contents_digest(part, kind, file.most) != file.digest[1] and resumed:
        part.unlink()  # its beginning may be another server's file
        download(url, part, file.most + SLACK)
    if contents_digest(part, kind, file.most) != file.digest[1]:
        part.unlink()
        raise UserError("its contents are not the published ones")
    part.replace(folder / file.name)
    return folder / file.name
