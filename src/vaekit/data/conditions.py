"""Conditions: what a model is given of an example beside x. Class labels, numbers, or several attributes, some missing.

An attribute is plain facts, as a table's column has them (`vaekit.data.tables.columns`): `name`, `type`, what the type
needs (`mean` and `sd`, or `levels`), and `missing`, whether some examples lack it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.data.number_forms import number_of
from vaekit.data.tables import columns as cols
from vaekit.data.tables.frames import Cells, Frame
from vaekit.data.tables.inference import Inferred, infer, split_type
from vaekit.errors import UserError

Facts = dict[str, Any]
CLASS_NAMES = ("label", "class", "y")
"""What class labels without a name of their own may be called."""


@dataclass(frozen=True)
class Conditions:
    """The attributes that a model is conditioned on, in order, and how their values become one vector an example.

    A number is standardised (a count's logarithm), with a 1 beside it where it is known, 0 where it is missing; a
    choice is one-hot. What is missing is all zeros, so the vector of an example of which nothing is known is 0.
    Class labels alone are kept as class numbers (N,), -1 where missing: a network sees the same one-hot vector.

    >>> facts = ({"name": "kind", "type": "categorical", "levels": ["a", "b"]}, {"name": "age", "type": "numeric",
    ...     "mean": 40.0, "sd": 10.0, "decimals": 0})
    >>> conditions = Conditions(facts)
    >>> y = conditions.encoded(np.array([[1.0, 2.0], [np.nan, np.nan]]))
    >>> y
    tensor([[0., 1., 2., 1.],
            [0., 0., 0., 0.]])
    >>> conditions.texts(y)
    {'kind': ['b', ''], 'age': ['60', '']}
    """

    attributes: tuple[Facts, ...]
    classes: bool = False

    @staticmethod
    def of(info: DataInfo) -> Conditions:
        """Return the conditions of a data set; of one without labels there are none."""
        if info.condition or not info.classes:
            return Conditions(info.condition, bool(info.classes))
        name = info.facts.get("label") or CLASS_NAMES[0]
        return Conditions(({"name": name, "type": "categorical", "levels": list(info.classes)},), True)

    def __len__(self) -> int:
        return len(self.attributes)

    @property
    def names(self) -> list[str]:
        """The attributes' names."""
        return [str(facts["name"]) for facts in self.attributes]

    @property
    def width(self) -> int:
        """How many numbers the vector of an example has."""
        return sum(self.widths)

    @property
    def widths(self) -> list[int]:
        """How many of them belong to each attribute."""
        return [len(facts["levels"]) if facts["type"] in cols.CHOICE else 2 for facts in self.attributes]

    @property
    def missing(self) -> bool:
        """Whether some examples lack an attribute."""
        return any(facts.get("missing") for facts in self.attributes)

    def __str__(self) -> str:
        """Name the attributes with what they are, e.g. "status (good, bad), amount (a number)"."""
        kinds = [
            f"{', '.join(facts['levels'][:5])}{', …' if len(facts['levels']) > 5 else ''}"
            if facts["type"] in cols.CHOICE
            else {"date": "a date", "count": "a count"}.get(facts["type"], "a number")
            for facts in self.attributes
        ]
        return ", ".join(f"{name} ({kind})" for name, kind in zip(self.names, kinds))

    def facts(self, name: str) -> Facts:
        """Return an attribute by name; a UserError names those there are."""
        return named(self.attributes, self._own(name), "the condition", "attribute")

    def _own(self, name: str) -> str:
        return self.names[0] if self.classes and name in CLASS_NAMES else name

    def has(self, name: str) -> bool:
        """Whether there is an attribute of that name."""
        return self._own(name) in self.names

    def index(self, name: str) -> int:
        """Return an attribute's place."""
        return self.names.index(self._own(name))

    # -- there and back ------------------------------------------------------------------------------------------------

    def encoded(self, stored: np.ndarray) -> Tensor:
        """Return what a model is given, (N, W) float32, or (N,) int64 of class labels, for stored values (N, A).

        Stored values are those of `vaekit.data.tables.columns.store`: NaN where missing.
        """
        if self.classes:
            return torch.from_numpy(np.where(np.isnan(stored[:, 0]), -1, stored[:, 0]).astype(np.int64))
        parts: list[np.ndarray] = []
        for column, facts in zip(stored.T, self.attributes):
            known = ~np.isnan(column)
            if facts["type"] in cols.CHOICE:
                parts.append((column[:, None] == np.arange(len(facts["levels"]))).astype(np.float32))
                continue
            value = np.where(known, column, 0.0)
            if facts["type"] == "count":
                value = np.where(known, (np.log1p(value) - facts["log_mean"]) / facts["log_sd"], 0.0)
            parts.append(np.stack([value, known], 1).astype(np.float32))
        return torch.from_numpy(np.concatenate(parts, 1))

    def stored(self, y: Tensor) -> np.ndarray:
        """Return stored values (N, A) of what `encoded` gave, NaN where missing."""
        y = y.cpu()
        if self.classes:
            return np.where(y.numpy() < 0, np.nan, y.double().numpy())[:, None]
        out: list[np.ndarray] = []
        for part, facts in zip(y.double().split(self.widths, 1), self.attributes):
            if facts["type"] in cols.CHOICE:
                value, known = part.argmax(1).double(), part.amax(1) > 0.5
            else:
                value, known = part[:, 0], part[:, 1] > 0.5
                if facts["type"] == "count":
                    value = torch.expm1(value * facts["log_sd"] + facts["log_mean"]).round()
            out.append(np.where(known.numpy(), value.numpy(), np.nan))
        return np.stack(out, 1)

    def values(self, y: Tensor) -> np.ndarray:
        """Return each attribute's values in its own units (N, A), numbers of levels; NaN where missing."""
        return np.stack([cols.restore(column, facts) for column, facts in zip(self.stored(y).T, self.attributes)], 1)

    def texts(self, y: Tensor) -> dict[str, list[str]]:
        """Return each attribute's values as the source would write them, "" where missing."""
        return self._cells(y, cols.as_text)

    def native(self, y: Tensor) -> dict[str, list[Any]]:
        """Return each attribute's values as Python has them: None, int, float, str or date."""
        return self._cells(y, cols.as_native)

    def _cells(self, y: Tensor, cell: Any) -> dict[str, list[Any]]:
        return {str(f["name"]): [cell(v, f) for v in column] for f, column in zip(self.attributes, self.values(y).T)}

    def read(self, frame: Frame, unknown: str = "refuse") -> Tensor | None:
        """Return the conditions of a table's rows; None where it has none of the columns.

        An attribute without a column is missing. Raises UserError naming the row of a value that does not fit.
        """
        found = [frame.column(name) for name in self.names]
        if not self.attributes or not any(found):
            return None
        stored = np.full((len(frame), len(self)), np.nan)
        for j, (cells, facts) in enumerate(zip(found, self.attributes)):
            if cells is not None:
                stored[:, j] = cols.store(cols.parse(frame, cells, facts, unknown), facts)
        return self.encoded(stored)

    def matched(self, y: Tensor, other: Conditions, source: str, unknown: str = "refuse") -> Tensor:
        """Return conditions of another source, described by `other`, as these describe them: by name, else by place.

        Raises:
            UserError: an attribute is not there, or has a value that these do not know and `unknown` is "refuse".
        """
        if other == self:
            return y
        theirs = dict(other.texts(y))
        if len(self) == len(other) and not set(self.names) & set(theirs):
            theirs = dict(zip(self.names, theirs.values()))
        lacking = [name for name in self.names if name not in theirs]
        if lacking and unknown == "refuse":
            raise UserError(f"{source} has no {' or '.join(lacking)}; this run is conditioned on {self}")
        columns = [_cells(name, theirs.get(name, [""] * len(y))) for name in self.names]
        frame = Frame(source, source, columns)
        if unknown == "refuse":
            for cells, facts in zip(columns, self.attributes):
                check_known(frame, cells, facts)
        found = self.read(frame, unknown)
        assert found is not None
        return found


def check_known(frame: Frame, cells: Cells, facts: Facts) -> None:
    """Raise a UserError for a label that is none of an attribute's levels, or no number, as the attribute is."""
    for code, text in enumerate(cells.texts):
        if cols.value_of(text, facts) is None:
            known = ", ".join(facts["levels"][:20]) if "levels" in facts else f"{facts['type']} values"
            place = frame.place(cells.first_row(code), cells.name)
            raise UserError(f"{place}: '{text}' is not among the labels that this run's model knows: {known}")


def _cells(name: str, texts: Sequence[str]) -> Cells:
    """Return a column of texts."""
    different = sorted(set(texts) - {""})
    place = {text: i for i, text in enumerate(different)} | {"": -1}
    return Cells(name, different, np.array([place[text] for text in texts], dtype=np.int32))


def named(columns: Sequence[Mapping[str, Any]], name: str, what: str, kind: str = "column") -> Facts:
    """Return a column's facts by its name; a UserError says which there are."""
    names = [str(column["name"]) for column in columns]
    if name in names:
        return dict(columns[names.index(name)])
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(f"{what} has no {kind} '{name}'; {hint}It has {', '.join(names[:12]) or 'none'}")


def fitted(
    frame: Frame, rows: np.ndarray, types: Mapping[str, str] | None = None, comma: bool = False
) -> tuple[Facts, ...]:
    """Return the facts of conditions from their columns, scales from the training `rows` alone.

    Types are inferred as a table's are, or given by `types`; a column of one value is a choice of one level. `comma`:
    decimals have commas.
    """
    out: list[Facts] = []
    every = np.arange(len(frame))  # levels of held-out rows are known too
    for cells in frame.columns:
        found = infer(cells, rows, comma)
        if cells.name in (types or {}):
            found = Inferred(*split_type((types or {})[cells.name]))
        if found.kind in ("identifier", "empty", "constant", "label", "skip"):
            numbers = all(number_of(text) is not None for text in cells.texts)
            found = Inferred("numeric" if found.kind == "identifier" and numbers else "categorical")
        if cells.texts:
            facts = cols.fit(
                frame, cells, found, every if found.kind in cols.CHOICE and not found.detail else rows, comma
            )
        else:
            facts = {"name": cells.name, "type": "numeric", "mean": 0.0, "sd": 1.0, "decimals": None}
        out.append(facts | {"missing": bool((cells.codes < 0).any())})
    return tuple(out)
