"""Lines of text: from files and lists, one example a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.csv_files import check_names, rows_of
from vaekit.data.files import read_text
from vaekit.data.origin import Origin
from vaekit.data.python_objects import texts_of
from vaekit.errors import UserError, few


@dataclass(frozen=True)
class Lines:
    """The lines of a source that are not empty, as (number from 1, text), and how many were empty.

    `word` says what a line is called there; `lenient`: some are known to be invalid, and are left out silently.
    """

    name: str
    source: str
    rows: Sequence[tuple[int, str]]
    empty: int = 0
    word: str = "line"
    lenient: bool = False

    def place(self, number: int) -> str:
        """Name a line as a person would find it."""
        return f"{self.source}: {self.word} {number}"

    def origin(self, numbers: Sequence[int], left_out: Sequence[tuple[int, str]] = ()) -> Origin:
        """Say which line each example comes from (and which part of it, where lines were split), and what was left out.

        That is the lines given with a reason, and empty ones.
        """
        filled = {number for number, _ in self.rows}
        empty = [number for number in range(1, len(filled) + self.empty + 1) if number not in filled]
        lost = sorted([*left_out, *((number, "empty") for number in empty)])
        columns = {"row" if self.word == "row" else "line": np.array(numbers, np.int64)}
        if len(set(numbers)) < len(numbers):
            met: Counter[int] = Counter()
            columns["part"] = np.array([met.update((number,)) or met[number] for number in numbers], np.int64)
        return Origin(columns, tuple(lost))


def lines_of(source: Any) -> Lines:
    """Return the lines of a text file (maybe gzipped), or of a list of texts; ends of lines are cut off.

    Raises:
        UserError: it is neither, cannot be read, is not UTF-8, or holds no text.

    >>> lines = lines_of(["To be,", "", "or not to be"])
    >>> lines.rows, lines.empty, lines.place(3)
    ([(1, 'To be,'), (3, 'or not to be')], 1, 'memory: text 3')
    """
    if isinstance(source, Lines):
        return source
    if isinstance(source, str | Path):
        return read_lines(Path(source).expanduser())
    values = texts_of(source)
    if values is None:
        raise UserError(f"cannot read text from {type(source).__name__}; give a file of lines or a list of texts")
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise UserError(f"text {number} of the list is {_short(value)}, not a text; give a list of texts")
    return _filled("memory", "memory", values, "text")


def _short(value: object) -> str:
    return " ".join(repr(value).split())[:60]


def read_lines(path: Path, name: str | None = None) -> Lines:
    """Read the lines of a text file in UTF-8, maybe gzipped.

    Raises:
        UserError: the file is not there, damaged, not UTF-8 (the line is named) or holds no text.
    """
    return _filled(name or path.name.split(".")[0], str(path), read_text(path).removesuffix("\n").split("\n"), "line")


def _filled(name: str, source: str, texts: list[str], word: str) -> Lines:
    rows = [(n, text.rstrip()) for n, text in enumerate(texts, start=1)]
    filled = [(n, text) for n, text in rows if text]
    if not filled:
        raise UserError(f"{source} holds no text; give at least a few lines")
    return Lines(name, source, filled, len(rows) - len(filled), word)


def read_column(path: Path, column: str | None, known: Sequence[str]) -> list[tuple[int, str]]:
    """Return (row number, text) of a column of a CSV file, the first row after the header being 1.

    The column is `column`, else the first of the `known` names (in any case), else the only one.

    Raises:
        UserError: the file cannot be read, or has no such column.
    """
    table = rows_of(path)
    first, header, _ = next(table, (1, [], ","))
    check_names([name.strip() for name in header if name.strip()], path)
    names = [name.strip().lower() if column is None else name.strip() for name in header]
    index = next((names.index(name) for name in (known if column is None else (column,)) if name in names), None)
    if index is None and column is None and len(header) == 1:
        index = 0
    if index is None:
        wanted = f"'{column}'" if column else known[0]
        raise UserError(f"{path} has no column {wanted}; set data.column to one of {few(header)}")
    rows = []
    for line, row, _ in table:
        if len(row) <= index:
            raise UserError(f"{path}: row {line - first} has {len(row)} of {len(header)} columns; complete it")
        rows.append((line - first, row[index].strip()))
    return rows
