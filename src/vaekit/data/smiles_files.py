"""Molecules as people write them down: lines of SMILES files, columns of tables, lists."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.errors import UserError


@dataclass(frozen=True)
class Written:
    """SMILES as found: `rows` of (line or row number, text); `word` says which; `lenient`: bad ones are known of."""

    name: str
    source: str
    rows: Sequence[tuple[int, str]]
    word: str = "line"
    lenient: bool = False

    def place(self, number: int) -> str:
        """Name a row as a person would find it."""
        return f"{self.source}: {self.word} {number}"


def read_smiles(path: Path, *, name: str | None = None, column: str | None = None, lenient: bool = False) -> Written:
    """Read the first word of each line of a .smi or .txt file, or a column of a .csv, each maybe gzipped.

    The column is `column`, else the one called smiles (in any case), else the only one. Empty lines are passed over.

    Raises:
        UserError: the file is not there, not UTF-8, damaged, empty, or has no such column.
    """
    text = _text(path)
    suffixes = [part.lower() for part in path.suffixes]
    if ".csv" in suffixes:
        rows, word = _column(path, text, column), "row"
    else:
        rows = [(n, line.split()[0]) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
        word = "line"
    if not rows:
        raise UserError(f"{path} holds no molecules; give a file with one SMILES a line")
    return Written(name or path.name.split(".")[0], str(path), rows, word, lenient)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path} is cut off or damaged; fetch it again") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from None


def _column(path: Path, text: str, column: str | None) -> list[tuple[int, str]]:
    """Return (row number, value), the first row after the header being 1."""
    table = csv.reader(io.StringIO(text))
    header = next(table, [])
    if column is not None:
        index = next((i for i, name in enumerate(header) if name == column), None)
    else:
        index = next((i for i, name in enumerate(header) if name.strip().lower() == "smiles"), None)
        index = 0 if index is None and len(header) == 1 else index
    if index is None:
        wish = f"'{column}'" if column else "smiles"
        raise UserError(f"{path} has no column {wish}; set data.column to one of {', '.join(header)}")
    rows = []
    for number, row in enumerate(table, start=1):
        if not row:
            continue
        if len(row) <= index:
            raise UserError(f"{path}: row {number} has {len(row)} of {len(header)} columns; complete it")
        rows.append((number, row[index].strip()))
    return rows


def written(source: Any, column: str | None = None) -> Written:
    """Return the SMILES of a path, or of a list of texts in memory.

    Raises:
        UserError: it is neither.

    >>> written(["CCO", "C"]).rows
    [(1, 'CCO'), (2, 'C')]
    """
    if isinstance(source, Written):
        return source
    if isinstance(source, str | Path):
        return read_smiles(Path(source), column=column)
    values = source.tolist() if isinstance(source, np.ndarray) else source
    if isinstance(values, list | tuple) and values and all(isinstance(value, str) for value in values):
        return Written("memory", "memory", list(enumerate(values, start=1)), "molecule")
    raise UserError("molecules in memory are a list of SMILES texts; give a list, a path or a known set")
