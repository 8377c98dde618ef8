"""Lines of text: from files and lists, one example a line."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.errors import UserError


@dataclass(frozen=True)
class Lines:
    """Lines that hold something, as (line number from 1, text), and how many held nothing."""

    name: str
    source: str
    rows: list[tuple[int, str]]
    empty: int = 0
    word: str = "line"

    def place(self, number: int) -> str:
        """Name a line as a person would find it."""
        return f"{self.source}: {self.word} {number}"


def lines_of(source: Any) -> Lines:
    """Return the lines of a text file (maybe gzipped), or of a list of texts; ends of lines are cut off.

    Raises:
        UserError: it is neither, cannot be read, is not UTF-8, or holds no text.

    >>> lines_of(["To be,", "", "or not to be"])
    Lines(name='memory', source='memory', rows=[(1, 'To be,'), (3, 'or not to be')], empty=1, word='text')
    """
    if isinstance(source, Lines):
        return source
    if isinstance(source, str | Path):
        return read_lines(Path(source).expanduser())
    values = source.tolist() if isinstance(source, np.ndarray) or hasattr(source, "tolist") else source
    if not isinstance(values, list | tuple):
        raise UserError(f"cannot read text from {type(source).__name__}; give a file of lines or a list of texts")
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise UserError(f"text {number} of the list is {value!r}, not a text; give a list of texts")
    return _kept("memory", "memory", list(values), "text")


def read_lines(path: Path, name: str | None = None) -> Lines:
    """Read the lines of a text file in UTF-8, maybe gzipped.

    Raises:
        UserError: the file is not there, damaged, not UTF-8 (the line is named) or holds no text.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path} is cut off or damaged; fetch or pack it again") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line} is not UTF-8 text (byte {data[error.start]:#04x}); save the file as UTF-8"
        ) from None
    return _kept(name or path.name.split(".")[0], str(path), text.split("\n"), "line", last_is_end=True)


def _kept(name: str, source: str, texts: list[str], word: str, last_is_end: bool = False) -> Lines:
    rows = [(n, text.rstrip()) for n, text in enumerate(texts, start=1)]
    filled = [(n, text) for n, text in rows if text]
    if not filled:
        raise UserError(f"{source} holds no text; give at least a few lines")
    empty = len(rows) - len(filled) - (last_is_end and not texts[-1])
    return Lines(name, source, filled, empty, word)
