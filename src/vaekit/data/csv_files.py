"""CSV files: every one is read and written here, as cells of text."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise, takewhile
from pathlib import Path
from typing import Any

from vaekit.atomic import write_bytes
from vaekit.data.files import encoding_of, read_bytes, writable
from vaekit.data.number_forms import any_number, number_of
from vaekit.errors import UserError

MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "<na>", "nat", "?")
"""Cells that stand for a missing value, in any case."""
LABEL_COLUMNS = ("label", "class")
DELIMITERS = ",;\t|"
LOOKED_AT = 50
"""Lines by which a file's delimiter is found."""
csv.field_size_limit(2**31 - 1)  # the module's own limit, 131,072, refuses long texts, and wide lines of another mark


def delimiter_of(lines: Sequence[str]) -> str:
    """Return what separates the cells of a file's first lines: what parts them all alike, or else their header.

    >>> delimiter_of(["age;weight;city"]), delimiter_of(["a;b", "1,5;2,5", "3,5;4,5"])
    (';', ';')
    """
    for mark in "\t;,|":
        rows = list(csv.reader(lines, delimiter=mark))
        widths = {len(row) for row in (rows[:-1] if len(rows) > 2 else rows) if row}  # the last may be cut off
        if len(widths) == 1 and widths != {1}:
            return mark
    header = lines[0] if lines else ""
    return max(DELIMITERS, key=header.count) if any(mark in header for mark in DELIMITERS) else ","


def rows_of(path: Path, delimiter: str | None = None) -> Iterator[tuple[int, list[str], str]]:
    """Yield (line number, cells, delimiter), the header first if there is one; empty lines are left out.

    The `delimiter` is that of the first lines, if it is not given. Lines above the table that begin with # are
    comments, the last of them its header where it has as many cells; `sep=;` names the delimiter, as Excel writes it.

    Raises:
        UserError: the file cannot be read, is not text or has unbalanced quotes.
    """
    data = read_bytes(path, text=True)
    try:
        yield from _rows(data, path, delimiter)
    except csv.Error as error:
        raise UserError(f"{path} is not a readable CSV ({error}); check its quotes") from None


def _rows(data: bytes, path: Path, delimiter: str | None) -> Iterator[tuple[int, list[str], str]]:
    stream = io.TextIOWrapper(io.BytesIO(data), encoding_of(data, path), newline="")
    first = list(islice(stream, LOOKED_AT))
    above = list(takewhile(lambda line: line.startswith(("#", "sep=")), first))
    named = next((line.strip()[4:] for line in above if line.startswith("sep=") and len(line.strip()) == 5), None)
    lines = first[len(above) :]
    mark = delimiter or named or delimiter_of(lines or above)
    header = above[-1].lstrip("# ") if above and above[-1].startswith("#") else ""
    if header and (not lines or header.count(mark) == lines[0].count(mark)):
        lines.insert(0, header)
    spaced = any(f'{mark} "' in line for line in lines)
    reader = csv.reader(chain(lines, stream), delimiter=mark, strict=True, skipinitialspace=spaced)
    skipped = len(first) - len(lines)
    for row in reader:
        if row:
            yield reader.line_num + skipped, row, mark


def header_is_data(header: Sequence[str], columns: Sequence[Container[str]]) -> bool:
    """Whether the first line of a file holds data, by its numbers, which names of columns seldom are.

    They are data if each text beside them is met again in its column, or if they are not whole and in no order. Numbers
    that count the columns are names. `columns` hold the different cells of the other lines.

    >>> header_is_data(["5,1", "setosa"], [{"4,9"}, {"setosa"}]), header_is_data(["2019", "2020", "2021"], [()] * 3)
    (True, False)
    """
    read = [any_number(name) for name in header]
    numbers = [number for number in read if number is not None]
    if not numbers or counts_columns(header):
        return False
    whole = all(number % 1 == 0 for number in numbers)
    if not whole and len(numbers) > 1 and numbers != sorted(numbers):
        return True
    return all(
        number is not None or name in column or (name.lower() in MISSING and (name or not whole))
        for name, number, column in zip(header, read, columns)
    )


def counts_columns(header: Sequence[str]) -> bool:
    """Whether the first line of a file counts its columns: 0, 1, 2, … or years, or eight numbers that rise.

    >>> counts_columns(["", "0", "1", "2"]), counts_columns(["1", "2"])
    (True, False)
    >>> counts_columns(["sample", *(f"{400 + i / 2}" for i in range(9))])
    True
    """
    numbers = [number for name in header if (number := number_of(name)) is not None]
    if len(numbers) > 7 and all(before < after for before, after in pairwise(numbers)):
        return True
    start = int(numbers[0]) if len(numbers) > 2 and numbers[0] % 1 == 0 else -1
    return numbers == list(range(start, start + len(numbers))) and (start in (0, 1) or 1900 <= start <= 2100)


def check_names(names: Sequence[str], source: object) -> None:
    """Raise a UserError where a name of a column comes twice."""
    seen: set[str] = set()
    twice = next((name for name in names if name in seen or seen.add(name)), None)
    if twice is not None:
        raise UserError(f"{source} has two columns called '{twice}'; give each its own name")


def column_names(count: int) -> list[str]:
    """Return the names of columns that have none: c1, c2, …"""
    return [f"c{i + 1}" for i in range(count)]


def split_line(line: str, delimiter: str) -> list[str]:
    """Return a line's cells.

    >>> split_line('"Leeds, UK", York', ",")
    ['Leeds, UK', 'York']
    """
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise UserError(f"a line cannot be cut into cells ({error}); check its quotes") from None


def write_csv(path: Path, header: Sequence[str] | None, rows: Iterable[Sequence[Any]], delimiter: str = ",") -> None:
    """Write rows, under a header if one is given, gzipped where the name ends in .gz; whole or not at all.

    None is an empty cell.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    data = text.getvalue().encode(errors="surrogateescape")  # names of files as they are, UTF-8 or not
    write_bytes(writable(path), gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)


def label_columns(wanted: str, header: Sequence[str], source: str | Path) -> list[str]:
    """Return the columns of labels that a setting names: one or several with commas, "none", or "auto".

    "auto" is a column called label or class. Raises UserError for a name that the header does not have.

    >>> label_columns("status, amount", ["amount", "status", "x"], "a.csv"), label_columns("auto", ["Class", "x"], "")
    (['status', 'amount'], ['Class'])
    """
    if wanted == "none":
        return []
    if wanted == "auto":
        return [name for name in header if name.lower() in LABEL_COLUMNS][:1]
    names = [wanted] if wanted in header else [name.strip() for name in wanted.split(",")]
    absent = next((name for name in names if name not in header), None)
    if absent is not None:
        near = difflib.get_close_matches(absent, header, n=1)
        hint = f"did you mean '{near[0]}'? Name" if near else "name"
        raise UserError(f"data.label names '{absent}', and {source} has no such column; {hint} some, or none")
    return names
