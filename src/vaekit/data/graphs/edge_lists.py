"""Lists of edges: two nodes a line, maybe under a header, maybe with a weight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vaekit.data.csv_files import check_names, split_line
from vaekit.data.files import read_text
from vaekit.data.graphs.graph_arrays import from_array
from vaekit.data.graphs.raw_graphs import RawGraphs, check_edges, strong
from vaekit.data.number_forms import number_of
from vaekit.errors import UserError

SOURCES = ("source", "src", "from", "node1", "node_1", "id1", "id_1", "fromnodeid", "from_id", "start", "head", "u")
TARGETS = (
    "target",
    "tgt",
    "dst",
    "dest",
    "to",
    "node2",
    "node_2",
    "id2",
    "id_2",
    "tonodeid",
    "to_id",
    "end",
    "tail",
    "v",
)
WEIGHTS = ("weight", "weights", "w", "value", "strength", "count", "score")
NO_NODE = ("", "nan", "none", "null")
WEIGHT = re.compile(r"'weight': ([^,}]+)")
NUMBER = re.compile(r"-?[0-9]+")
FEW_NODES, MOST_GAPS = 1000, 10
"""Nodes numbered from 0 up to here, or to so many times as many as there are, are numbered by their place."""
COMMENT = re.compile(r"(?:^|\s)(?:#|//|%).*")
Row = tuple[int, list[str]]


def read_edge_list(path: Path, threshold: float | None = None) -> RawGraphs:
    """Read a list of edges, nodes being numbers or names, or a square of numbers, which is an adjacency.

    Cells are parted by blanks, commas, semicolons or tabs, and # begins a comment. A first line of names of columns
    (source, target, weight) is a header. A third column of numbers holds weights: of those see `raw_graphs.strong`.

    Raises:
        UserError: a line names no two nodes, or an edge is not valid; the line is named.
    """
    rows = list(_rows(path))
    if not rows:
        raise UserError(f"{path} holds no edges; write two nodes a line")
    width = len(rows[0][1])
    odd = next((row for row in rows if len(row[1]) != width or width < 2), None)
    if odd is not None:
        first = f", the first {width}" if width > 1 else ""
        raise UserError(
            f"{path}: line {odd[0]} has {len(odd[1])} columns{first}; write two nodes, and maybe a weight, a line"
        )
    matrix = _matrix([words for _, words in rows])
    if matrix is not None:
        names, values = matrix
        return replace(from_array(values, path.stem, str(path), threshold), names=names)
    header = rows[0][1] if _is_header(rows) else None
    if header and len(rows) == 1:
        raise UserError(f"{path} holds a header and no edges; write two nodes a line")
    return from_rows(rows[1:] if header else rows, header, path.stem, str(path), threshold)


def _matrix(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Return the nodes' names, if any, and the adjacency (N, N), if that is what a file holds.

    It is square, of four nodes at least, maybe with names above and before it. UserError: it is not of numbers.
    """
    head, wide = rows[0], len(rows[0])
    names: Sequence[str] = ()
    before = list(head[1:]) == [row[0] for row in rows[1:]] and (head[0] == "" or number_of(head[1]) is None)
    if wide == len(rows) and wide > 4 and before:
        names, rows = head[1:], [row[1:] for row in rows[1:]]
    elif wide == len(rows) - 1 and wide > 3 and not any(number_of(name) is not None for name in head):
        names, rows = head, rows[1:]
    elif wide != len(rows) or wide < 4:
        return None
    values = [[number_of(word) for word in row] for row in rows]
    if any(value is None for row in values for value in row):
        return None
    return tuple(names), np.array(values, dtype=np.float64)


def _rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        text, _, facts = COMMENT.sub("", line).strip().partition(" {")  # networkx writes an edge's facts as a dict
        if text:
            mark = next((mark for mark in ",;\t" if mark in text), None)
            words = text.split() if mark is None else [cell.strip() for cell in split_line(text, mark)]
            weight = WEIGHT.search(facts)
            yield number, words if weight is None else [*words, weight[1]]


def _is_header(rows: Sequence[Row]) -> bool:
    first, others = rows[0][1], [words for _, words in rows[1:]]
    lowered = [word.lower() for word in first]
    if {*SOURCES} & {*lowered} and {*TARGETS} & {*lowered}:
        return True
    columns = range(2) if len(first) == 2 else range(2, len(first))
    numeric = [all(number_of(words[i]) is not None for words in others) for i in columns]
    if len(first) == 2:  # numbers under names
        return bool(others) and all(numeric) and not any(number_of(word) is not None for word in first)
    return bool(others) and any(fits and number_of(first[i]) is None for i, fits in zip(columns, numeric))


def from_rows(
    rows: Sequence[Row], header: Sequence[str] | None, name: str, source: str, threshold: float | None = None
) -> RawGraphs:
    """Read edges that are (number of the line, cells), the columns being found by the header's names."""
    names = [word.lower() for word in header or ()]
    check_names([name for name in names if name], source)
    i, j, weight = _places(rows, names)
    unused = [header[c] if header else f"{c + 1}" for c in range(len(rows[0][1])) if c not in (i, j, weight)]
    notes = (f"the columns {', '.join(unused)} are not used",) if unused else ()
    if bad := next((row for row in rows if {row[1][i].lower(), row[1][j].lower()} & {*NO_NODE}), None):
        raise UserError(f"{source}: line {bad[0]} names no node ({bad[1][i]}, {bad[1][j]}); leave it out")
    words = [words[k] for _, words in rows for k in (i, j)]
    edges, nodes, total = _numbered(words)
    if "0" in nodes and _are_numbers(words):
        notes = ("the nodes' numbers have gaps, and are taken as names", *notes)
    if weight is not None:
        keep, said = strong(_weights(rows, weight, source), threshold)
        rows, edges, notes = [row for row, kept in zip(rows, keep) if kept], edges[keep], (*said, *notes)
    checked = check_edges(edges, np.array([total]), source, lambda row: f"{source}: line {rows[row][0]}")
    return RawGraphs(name, source, np.array([total]), checked, names=nodes, notes=notes)


def _places(rows: Sequence[Row], names: Sequence[str]) -> tuple[int, int, int | None]:
    """Return the columns of the two nodes and of the weight."""
    i = next((names.index(name) for name in SOURCES if name in names), 0)
    j = next((names.index(name) for name in TARGETS if name in names), 1)
    if names:
        return i, j, next((names.index(name) for name in WEIGHTS if name in names), None)
    numeric = len(rows[0][1]) > 2 and all(number_of(words[2]) is not None for _, words in rows)
    return 0, 1, 2 if numeric else None


def _weights(rows: Sequence[Row], column: int, source: str) -> np.ndarray:
    values = [number_of(words[column]) for _, words in rows]
    for (line, words), value in zip(rows, values):
        if value is None or value != value:
            raise UserError(f"{source}: line {line}: the weight '{words[column]}' is not a number; correct it")
    return np.array(values, dtype=np.float64)


def _are_numbers(words: Sequence[str]) -> bool:
    return all(NUMBER.fullmatch(word) for word in words)


def _numbered(words: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Return edges (E, 2) of nodes numbered from 0, the nodes' names if they have any, and how many there are.

    Numbers from 0 or 1 with few gaps are the nodes' own, those that are not listed being nodes without an edge; others
    are names.
    """
    if _are_numbers(words) and max(map(len, words)) < 19:
        numbers = np.array([int(word) for word in words], np.int64)
        low, high, different = int(numbers.min()), int(numbers.max()), np.unique(numbers)
        if low < 0 or (low == 0 and high < max(FEW_NODES, MOST_GAPS * len(different))):
            return numbers.reshape(-1, 2), (), max(high + 1, 1)
        if low == 1 and 2 * len(different) > high:
            return (numbers - 1).reshape(-1, 2), tuple(str(n) for n in range(1, high + 1)), high
        names = tuple(str(n) for n in different.tolist())
        return np.searchsorted(different, numbers).reshape(-1, 2), names, len(names)
    names = tuple(dict.fromkeys(words))
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[word] for word in words], np.int64).reshape(-1, 2), names, len(names)
