"""SMILES from lines of files, columns of tables and lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vaekit.data.files import read_text
from vaekit.data.lines import Lines, read_column
from vaekit.errors import UserError

WORD = re.compile(r"[\s,;]")


def read_smiles(path: Path, *, name: str | None = None, column: str | None = None, lenient: bool = False) -> Lines:
    """Read the first word of each line of a .smi or .txt file, or a column of a .csv, each maybe gzipped.

    A first line that begins with the word smiles is a header. The column is `column`, else the one called smiles (in
    any case), else the only one. Empty lines are left out.

    Raises:
        UserError: the file is not there, not UTF-8, damaged, empty, or has no such column.
    """
    if ".csv" in [suffix.lower() for suffix in path.suffixes]:
        rows, word = read_column(path, column, ("smiles",)), "row"
    else:
        lines = enumerate(read_text(path).splitlines(), start=1)
        rows, word = [(n, WORD.split(line.strip())[0]) for n, line in lines if line.strip()], "line"
        rows = rows[1:] if rows and rows[0][1].lower() == "smiles" else rows
    if not rows:
        raise UserError(f"{path} holds no molecules; give a file with one SMILES a line")
    return Lines(name or path.name.split(".")[0], str(path), rows, word=word, lenient=lenient)


def smiles_lines(source: Any, column: str | None = None) -> Lines:
    """Return the SMILES of a path, or of a list of texts in memory.

    Raises:
        UserError: it is neither.

    >>> smiles_lines(["CCO", "C"]).rows
    [(1, 'CCO'), (2, 'C')]
    """
    if isinstance(source, Lines):
        return source
    if isinstance(source, str | Path):
        return read_smiles(Path(source), column=column)
    values = source.tolist() if hasattr(source, "tolist") else source
    if isinstance(values, list | tuple) and values and all(isinstance(value, str) for value in values):
        return Lines("memory", "memory", list(enumerate(values, start=1)), word="molecule")
    raise UserError("molecules in memory are a list of SMILES texts; give a list, a path or a known set")
