"""What commands print: results on standard output, words for a person on standard error."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import floor, log10
from pathlib import Path
from typing import Any

from vaekit.atomic import finite

SPELLED = {"±": "+-", "×": "x", "−": "-", "–": "-", "→": "->", "≥": ">=", "≤": "<=", "’": "'", "√": "sqrt", "²": "^2"}
"""What stands for letters that an encoding lacks."""


def print_json(value: Any) -> None:
    """Print one JSON object on one line of standard output; what is not finite as `atomic.finite` says."""
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(finite(value), allow_nan=False)
    print(text, flush=True)


def note(text: str) -> None:
    """Say something on standard error; that nobody reads it any more ends nothing."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def prepare_streams() -> None:
    """Give closed standard streams somewhere to go, and letters that a stream's encoding lacks a spelling."""
    codecs.register_error("spelled", spelled)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:  # closed before the command began
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spelled")


def spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """Spell a letter that an encoding lacks, as a handler of encoding errors does.

    >>> codecs.register_error("spelled", spelled)
    >>> "β-VAE, 3 ± 1, naïve, 日".encode("ascii", "spelled")
    b'beta-VAE, 3 +- 1, naive, ?'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter, after = error.object[error.start], error.start + 1
    if "\udc80" <= letter <= "\udcff":  # a byte of a file's name, as Python keeps what is no UTF-8
        return bytes([ord(letter) - 0xDC00]), after
    kind, _, name = unicodedata.name(letter, "").partition(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL") and " " not in name:
        return name.lower() if kind == "GREEK SMALL" else name.title(), after
    parts = unicodedata.normalize("NFKD", letter)
    plain = all(part.isascii() or unicodedata.combining(part) for part in parts)
    return SPELLED.get(letter, "".join(filter(str.isascii, parts)) if plain else "?"), after


def columns_of_terminal() -> int:
    """Return how many letters a line of standard output has room for; more than any line where it is no terminal."""
    return shutil.get_terminal_size((10_000, 24)).columns


def bold(text: str) -> str:
    """Return a title in bold where standard output is a terminal that takes it."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[1m{text}\x1b[0m"


def moves() -> bool:
    """Return whether standard error is a terminal on which a line can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


LEAST = 24
"""Letters that the last column of a table has at least."""


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "", widths: Sequence[int] = ()
) -> None:
    """Print columns, padded; the last one is wrapped within the terminal's width. Of an empty header nothing is said.

    `widths` are those of the columns where several tables are to stand under one another.
    """
    every = [header, *rows] if any(header) else rows
    widths = widths or widths_of(every)
    start = len(indent) + sum(width + 2 for width in widths)
    below = columns_of_terminal() - start < LEAST  # then the last column has lines of its own
    start = len(indent) + 4 if below else start
    for row in every:
        lines = textwrap.wrap(row[-1], max(LEAST, columns_of_terminal() - start - 1)) or [""]
        first = "" if below else lines.pop(0)
        line = indent + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), first]).rstrip()
        print(bold(line) if row is header else line)
        for rest in lines:
            print(" " * start + rest)


def widths_of(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column but the last."""
    return [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []


def number(value: float | None, stderr: float | None = None) -> str:
    """Return a number with its error for a table.

    >>> number(-94.123456, 0.02), number(None), number(17.0)
    ('-94.123 ± 0.020', '-', '17')
    """
    if value is None:
        return "-"
    if stderr is None or stderr == 0:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
    digits = max(0, 1 - floor(log10(abs(stderr)))) if stderr < 10 else 0
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def describe(entry: Mapping[str, Any]) -> str:
    """Return a metric's value with its error or interval."""
    if entry.get("interval"):
        low, high = entry["interval"]
        return f"{number(entry['value'])} [{number(low)}, {number(high)}]"
    return number(entry["value"], entry.get("stderr"))
