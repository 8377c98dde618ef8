"""Files that are either whole or absent: write beside the target, flush to disk, then rename over it."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it replaces `path`, on an error it is removed.

    The temporary name keeps the suffix, since many writers choose their format by it. An OSError names `path`.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as part:
    ...     _ = part.write_text("whole")
    >>> [(p.name, p.read_text()) for p in folder.iterdir()]
    [('a.txt', 'whole')]
    """
    path = Path(path)
    part = _beside(path)
    try:
        part.touch()
        mode = part.stat().st_mode  # some writers make private files; these get the folder's usual rights
        part.unlink()
        yield part
        part.chmod(mode)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        if error.filename not in (None, str(part), part):
            raise
        raise type(error)(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):  # what went wrong is told already
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder beside `path`, which must not exist or be empty; on a clean exit it becomes `path`."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.mkdir()
    try:
        yield part
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return the temporary name of a file; the start of its own is enough, since names have a greatest length."""
    return path.with_name(f".{path.stem[:40]}.{os.getpid()}.part{path.suffix[-40:]}")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise an OSError if no file can be written at `path`, by a try beside it."""
    path = Path(path)
    part = _beside(path)
    path.exists()  # its name may be too long
    try:
        part.write_bytes(b"0")
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files in `folder` and below that killed processes left there."""
    for part in Path(folder).rglob(".*.part*"):
        named = re.fullmatch(r"\..+\.(\d+)\.part(\.[^.]*)?", part.name)
        if named and not _alive(int(named[1])):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write `text` (UTF-8) to `path`, whole or not at all.

    What a file's name has that is no UTF-8 is written as JSON does, \udcff.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(data)


def finite(value: Any) -> Any:
    """Return a JSON value with null for each number that is not finite, which JSON has no word for.

    What such a number was stands beside it, by its name, under "not_finite".

    >>> finite({"elbo": float("-inf"), "kl": [1.0, float("nan")], "n": 3})
    {'elbo': None, 'kl': [1.0, None], 'n': 3, 'not_finite': {'elbo': '-inf', 'kl': 'nan'}}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if not isinstance(value, Mapping):
        return value
    out = {key: finite(v) for key, v in value.items()}
    lost = {key: str(bad) for key, v in value.items() if (bad := _not_finite(v)) is not None}
    return out | ({"not_finite": lost} if lost else {})


def _not_finite(value: Any) -> float | None:
    """Return a number that is not finite: the value itself, or the first in a list."""
    if isinstance(value, list | tuple):
        return next((bad for v in value if (bad := _not_finite(v)) is not None), None)
    return value if isinstance(value, float) and not math.isfinite(value) else None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all; what is not finite as `finite` says."""
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
