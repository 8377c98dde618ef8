"""Contents of files, plain or gzipped, as bytes and as text."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from vaekit.errors import UserError


def read_bytes(path: Path) -> bytes:
    """Return a file's contents, unpacked where it is gzipped (by its first bytes, not by its name).

    Raises:
        UserError: the file is not there, cannot be read, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path and its permissions") from None
    if data[:2] != b"\x1f\x8b":
        if path.suffix == ".gz":
            raise UserError(f"{path} is named .gz but is not gzip; rename it or fetch it again")
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}); fetch it again") from None


def read_text(path: Path) -> str:
    """Return a file's text, UTF-8 with or without a byte order mark, unpacked where it is gzipped.

    Raises:
        UserError: the file cannot be read, or is not UTF-8; the line is named.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line} is not UTF-8 text (byte {data[error.start]:#04x}); save the file as UTF-8"
        ) from None


def writable(path: str | Path) -> Path:
    """Return a path that a file can be written to; a UserError where its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} in; make it first")
    return path
