"""Where data sets lie on disk, and fetching those that are nowhere."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaekit.atomic import replacing
from vaekit.errors import UserError

SYSTEM = (Path("/usr/share/datasets"), Path("/usr/share"))
TIMEOUT = 30.0
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Remote:
    """A file of a known set: its name, the md5 of its *unpacked* contents, and where it can be fetched from.

    A mirror is a folder if it ends in a slash, else the address of the file itself. `crc`: the contents' CRC-32, which
    gzip keeps, so that a file on disk need not be unpacked for the check alone.
    """

    name: str
    md5: str
    mirrors: tuple[str, ...]
    crc: int | None = None


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
        if not _is_published(path, file):
            raise UserError(
                f"{path} is not the published file of {name} (md5 {file.md5} unpacked); delete it to have it fetched "
                f"again, or give its folder as a path to use it as it is"
            )
    return home


def _is_published(path: Path, file: Remote) -> bool:
    """Whether a file has its published contents: by the checksum in a gzip file's end where that is known, else md5.

    Unpacking holds the contents against that checksum, so whoever reads the file next does the rest.
    """
    if file.crc is not None:
        with suppress(OSError), path.open("rb") as stream:  # what cannot be read is told about below
            if stream.read(2) == GZIP and stream.seek(-8, os.SEEK_END):
                return int.from_bytes(stream.read(4), "little") == file.crc
    return _contents_md5(path) == file.md5


def _contents_md5(path: Path) -> str:
    """Return the md5 of a file's contents, unpacked where it is gzipped; 'damaged' where it cannot be unpacked."""
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "damaged"
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from None


def fetch(file: Remote, folder: Path, name: str, shared: str | None = None) -> Path:
    """Fetch one file from the first mirror that has it, check it, and only then put it in `folder`."""
    tried = []
    for mirror in file.mirrors:
        url = mirror + file.name if mirror.endswith("/") else mirror
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / file.name) as part:
                _download(url, part)
                if _contents_md5(part) != file.md5:
                    raise UserError("its contents are not the published ones")
            return folder / file.name
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


def _download(url: str, part: Path) -> None:
    """Stream `url` into `part`, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    bar = {"description": url.rsplit("/", 1)[-1], "console": console, "disable": not console.is_terminal}
    request = urllib.request.Request(url, headers={"User-Agent": "vaekit"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        length = int(answer.headers.get("Content-Length") or 0)
        with part.open("wb") as out, wrap_file(answer, length, transient=True, **bar) as stream:
            shutil.copyfileobj(stream, out)
    got = part.stat().st_size
    if length and got != length:
        raise UserError(f"cut off after {got:,} of {length:,} bytes")
