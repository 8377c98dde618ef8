"""Where examples come from, as a person finds them: files, rows, lines; and which were left out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Place = str | int
"""A file's name, the number of a line or row, a label of a data frame's index."""


@dataclass(frozen=True)
class Origin:
    """`columns` name each of N examples: `file`, `row`, `line`, …, each (N,); `left_out` has (place, reason) of others.

    Rows of arrays are counted from 0, rows of tables and lines from 1, as errors name them; rows of a pandas frame are
    its index. Of one graph the columns name its nodes (`inside`), and are not cut when examples are.

    >>> origin = Origin({"line": np.array([1, 3])}, ((2, "empty"),))
    >>> origin.take([1]).columns["line"].tolist(), len(origin)
    ([3], 2)
    """

    columns: Mapping[str, np.ndarray]
    left_out: tuple[tuple[Place, str], ...] = ()
    inside: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @staticmethod
    def rows(n: int, labels: np.ndarray | None = None, first: int = 0) -> Origin:
        """Return the origin of `n` rows: their labels, else their numbers from `first` on."""
        return Origin({"row": np.arange(first, first + n) if labels is None else labels})

    @staticmethod
    def files(names: Sequence[str]) -> Origin:
        """Return the origin of examples that are a file each."""
        return Origin({"file": np.array(list(names), dtype=str)})

    @property
    def of_some(self) -> Origin:
        """The origin of these examples as some of a source's: what was left out of the source is not told of them."""
        return replace(self, left_out=())

    def take(self, index: Any) -> Origin:
        """Return the origin of the examples at `index`, an array or a slice."""
        return self if self.inside else Origin({name: column[index] for name, column in self.columns.items()})

    def and_then(self, other: Origin) -> Origin:
        """Return the origin of these examples followed by others; what a column does not say is empty."""
        n, m = len(self), len(other)
        columns = {}
        for name in {**self.columns, **other.columns}:
            mine, theirs = self.columns.get(name), other.columns.get(name)
            parts = [np.full(n, "") if mine is None else mine, np.full(m, "") if theirs is None else theirs]
            kinds = {part.dtype.kind for part in parts}
            columns[name] = np.concatenate(parts if len(kinds) == 1 else [part.astype(str) for part in parts])
        return Origin(columns, (*self.left_out, *other.left_out))
