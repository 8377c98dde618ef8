"""Contents of files, plain or gzipped, as bytes and as text."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

from vaekit.data.limits import check_size, most_of
from vaekit.errors import UserError

BLOCK = 1 << 20
GZIP = b"\x1f\x8b"
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
"""A character beyond ASCII as UTF-8 writes it."""


def read_bytes(path: Path, text: bool = False) -> bytes:
    """Return a file's contents, unpacked where it is gzipped (by its first bytes, not by its name).

    `text`: what is read is text, which takes more memory than its bytes (see `vaekit.data.limits`).

    Raises:
        UserError: the file is not there, cannot be read, is damaged or becomes too large.
    """
    try:
        with path.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
                raise UserError(f"{path} is a device, not a file; give a file")
            check_size(facts.st_size, path)
            data = stream.read()
    except (OSError, ValueError) as error:
        raise UserError(unreadable(path, error)) from None
    if data[:2] != GZIP:
        if path.suffix == ".gz":
            raise UserError(f"{path} is named .gz but is not gzip; rename it or fetch it again")
        return data
    return _unpacked(data, path, text)


def unreadable(path: Path, error: OSError | ValueError) -> str:
    """Return the sentence for a path that cannot be read."""
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"cannot read {shown(path)}: {why}; check the path and its permissions"


def in_short(error: Exception) -> str:
    """Return what an error of another library says, in one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def shown(path: Path) -> str:
    """Return a path as it is said in a sentence, the middle of a long one left out."""
    text = str(path).replace("\0", "\\0")
    return text if len(text) < 300 else f"{text[:120]}…{text[-40:]}"


def _unpacked(data: bytes, path: Path, text: bool) -> bytes:
    """Return what a gzip file's members hold, stopping where it becomes more than is allowed."""
    most, size = most_of(len(data), text), 0
    parts: list[bytes] = []
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while part := stream.read(BLOCK):
                parts.append(part)
                size += len(part)
                if size > most:
                    check_size(size, path, len(data), text)  # says which bound it is
    except EOFError:
        raise UserError(f"{path} is a damaged gzip file (it is cut off); fetch it again") from None
    except (OSError, zlib.error) as error:
        later = str(error).startswith("Not a gzipped")  # as the first member is
        why = "what follows its end is no gzip" if later else in_short(error)
        raise UserError(f"{path} is a damaged gzip file ({why}); fetch it again") from None
    return b"".join(parts)


def paths_below(folder: Path, deep: bool = True) -> Iterator[Path]:
    """Yield the files of a folder and of those in it, in order; folders whose names begin with a dot are left out.

    Raises:
        UserError: names a folder that cannot be read, which is never left out.
    """

    def refuse(error: OSError) -> None:
        raise UserError(unreadable(Path(error.filename or folder), error))

    for where, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep else []
        yield from (Path(where, name) for name in sorted(names))


def size_of(path: Path) -> int:
    """Return a file's size; a UserError where it cannot be read."""
    try:
        return path.stat().st_size
    except (OSError, ValueError) as error:
        raise UserError(unreadable(path, error)) from None


def in_folder(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted; a UserError where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(unreadable(folder, error)) from None


def read_text(path: Path) -> str:
    """Return a file's text, without a byte order mark, unpacked where it is gzipped.

    It is UTF-8, or what `encoding_of` finds it to be.

    Raises:
        UserError: the file cannot be read, or its encoding cannot be found; the line is named.
    """
    data = read_bytes(path, text=True)
    return data.decode(encoding_of(data, path))


def encoding_of(data: bytes, path: Path) -> str:
    """Return the codec of a text: that of its byte order mark, UTF-8, UTF-16 without a mark, or Windows' cp1252.

    cp1252 holds all the letters of Latin-1. What is not UTF-8 is said in a warning that names file, line and codec.

    Raises:
        UserError: the bytes are none of these, or UTF-8 that is damaged in places; the line is named.
    """
    found = next((name for mark, name in MARKS if data.startswith(mark)), None) or _unmarked_utf16(data)
    if found is None or found == "utf-8-sig":
        line = _not_utf8(data)
        if line is None:
            return "utf-8-sig"
        said, found = f"line {line} is not UTF-8 text", None if found else _single_bytes(data)
        if found is None and b"\0" in data:
            raise UserError(f"{path} is not a file of text: line {line} has bytes of other data; give text in UTF-8")
        if found is None:
            raise UserError(f"{path}: {said}; correct it, or save the file as UTF-8")
    else:
        said = "this is not UTF-8 text"
        try:
            data.decode(found)
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not readable as {found} ({error.reason}); save it as UTF-8") from None
    warnings.warn(f"{path}: {said}, and is read as {found}; save it as UTF-8 if letters are wrong", stacklevel=4)
    return found


def _not_utf8(data: bytes) -> int | None:
    """Return the first line that is not UTF-8, or None; in blocks, so that no second copy of a large file is made."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        try:
            text = decoder.decode(block, final=start + BLOCK >= len(data))
        except UnicodeDecodeError as error:
            return line + error.object.count(b"\n", 0, error.start)
        if "\0" in text:
            return line + text.count("\n", 0, text.index("\0"))
        line += text.count("\n")
    return None


def _unmarked_utf16(data: bytes) -> str | None:
    """Return which UTF-16 a text without a mark is in, if it is: every second byte of Latin letters is 0."""
    even, odd = data[0:4096:2].count(0), data[1:4096:2].count(0)
    if max(even, odd) < 0.4 * len(data[1:4096:2]) or min(even, odd) > 0:
        return None
    return "utf-16-le" if odd else "utf-16-be" if even else None


def _single_bytes(data: bytes) -> str | None:
    """Return cp1252 if that is what a text is in; None where it is bytes, or UTF-8 but for a few characters."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    letters = len(UTF8_LETTER.findall(data))
    damaged = letters > 0 and letters >= data.decode("utf-8", errors="replace").count("\ufffd")
    return None if damaged or "\0" in text else "cp1252"


def writable(path: str | Path) -> Path:
    """Return a path that a file can be written to; a UserError where its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} in; make it first")
    return path
