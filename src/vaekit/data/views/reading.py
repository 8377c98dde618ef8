"""From a table, or a dict of arrays and columns, to its modalities: pictures, sounds, texts, numbers and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import read_if_known
from vaekit.data.digest import Keys, file_keys, frame_keys, mixed, row_keys, text_keys
from vaekit.data.folders import SUFFIXES
from vaekit.data.limits import bounded
from vaekit.data.origin import Origin
from vaekit.data.python_objects import columns_of
from vaekit.data.raw import channels_last
from vaekit.data.tables.frames import Cells, Frame, frame_of
from vaekit.data.tables.inference import split_type
from vaekit.data.tables.modality import read_table
from vaekit.data.views.settings import ViewSettings
from vaekit.errors import UserError, few

NAME = "views"
KINDS = ("picture", "sound", "numbers", "text")
"""Modalities that are a column each; the other columns are one of cells."""
WORDS, DIFFERENT = 3, 20
"""A column is text where most of its cells have so many words, and more than so many of them differ."""


@dataclass(frozen=True)
class Column:
    """A modality as it was read: `texts` of a column (names of files, or text), or `values` (N, *shape) in memory.

    `values` are whole greys (N, C, H, W) of a picture, else float32 with NaN throughout where an example has none.
    """

    name: str
    kind: str
    texts: Cells | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """What was read: modalities of a column each, and the other columns as a table. Files lie in `root`."""

    frame: Frame
    columns: tuple[Column, ...]
    root: Path
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def cells(self) -> Frame:
        """The columns that are no modality of their own."""
        own = {column.name for column in self.columns}
        return replace(self.frame, columns=[cells for cells in self.frame.columns if cells.name not in own])

    @property
    def origin(self) -> Origin:
        """Where each example comes from."""
        return self.frame.origin if self.frame.columns else Origin.rows(len(self))

    @property
    def keys(self) -> Keys:
        """Hashes of what each example holds: of files, what is in them."""
        cells = self.cells
        total = frame_keys(cells) if cells.columns else np.zeros(len(self), np.uint64)
        for column in self.columns:
            total = total + mixed(self._keys(column), text_keys([column.name]))
        return mixed(total)

    def _keys(self, column: Column) -> Keys:
        if column.texts is None:
            assert column.values is not None
            return row_keys(column.values)
        texts = column.texts.texts
        own = text_keys(texts) if column.kind == "text" else file_keys(self.files(column))
        return np.append(own, np.uint64(0))[column.texts.codes]

    def files(self, column: Column) -> list[Path]:
        """Return the different files of a column of pictures or sounds."""
        assert column.texts is not None
        paths = [self.root / Path(text).expanduser() for text in column.texts.texts]
        for code, path in enumerate(paths):
            if not path.is_file():
                place = self.frame.place(column.texts.first_row(code), column.name)
                raise UserError(f"{place}: there is no file {path}; correct the name or empty the cell")
        return paths


@bounded
def read_views(source: Any, settings: ViewSettings) -> Source:
    """Read a known set, a CSV or Parquet file, a data frame, or a dict of arrays and columns."""
    known = read_if_known(source, NAME, "has one modality; give a table with several, or captioned-digits")
    columns = known if known is not None else None if isinstance(source, str | Path) else columns_of(source)
    name = source if isinstance(source, str) and known is not None else "memory"
    if columns is None:
        if not isinstance(source, str | Path):
            raise UserError(
                f"cannot read several modalities from {type(source).__name__}; give a CSV or Parquet file, a "
                "data frame or a dict of arrays and columns"
            )
        own = _own_types(settings.types)
        plain = {name: kind for name, kind in settings.types.items() if name not in own}
        frame = read_table(source, settings.model_copy(update={"types": plain}))
        return _source(frame, {}, settings, Path(source).expanduser().parent)
    arrays = {column: made for column in columns if (made := _array(columns[column], column)) is not None}
    rest = {column: values for column, values in columns.items() if column not in arrays}
    missing = {"", *(word.strip().lower() for word in settings.missing)}
    frame = frame_of(rest, name, name, missing) if rest else Frame(name, name, [])
    return _source(frame, arrays, settings, Path())


def _source(frame: Frame, arrays: Mapping[str, Column], settings: ViewSettings, root: Path) -> Source:
    types = _own_types(settings.types)
    sizes = {name: len(column.values) for name, column in arrays.items() if column.values is not None}
    sizes |= {cells.name: len(cells.codes) for cells in frame.columns[:1]}
    if len(set(sizes.values())) > 1:
        raise UserError(f"{frame.source}: the modalities differ in length ({sizes}); give every one the same")
    known = {*sizes, *(cells.name for cells in frame.columns)}
    lost = next((name for name in types if name not in known), None)
    if lost is not None:
        raise UserError(
            f"data.types names '{lost}', and {frame.source} has no such column; it has {few(sorted(known))}"
        )
    label = {*settings.label.split(",")}
    found = [Column(c.name, kind, c) for c in frame.columns if (kind := types.get(c.name) or _kind(c, settings, label))]
    return Source(frame, (*arrays.values(), *found), root, next(iter(sizes.values())))


def _own_types(types: Mapping[str, str]) -> dict[str, str]:
    return {name: split_type(kind)[0] for name, kind in types.items() if split_type(kind)[0] in KINDS}


def _kind(cells: Cells, settings: ViewSettings, label: set[str]) -> str | None:
    """Return the modality that a column is by itself, None of cells of a table."""
    texts = cells.texts
    if cells.name in settings.types or cells.name in label or cells.numbers or not texts:
        return None
    suffixes = {Path(text).suffix.lower() for text in texts}
    if suffixes <= SUFFIXES:
        return "picture"
    if suffixes == {".wav"}:
        return "sound"
    wordy = sum(len(text.split()) >= WORDS for text in texts)
    return "text" if len(texts) > DIFFERENT and wordy > len(texts) / 2 else None


def _array(values: Any, name: str) -> Column | None:
    """Return a modality of arrays in memory, None of a column with one value a row.

    Whole greys from 0 to 255 are pictures, (N, H, W) or with channels first or last; what else has axes is numbers.
    A list of arrays may have None where an example has none.
    """
    if isinstance(values, list | tuple) and any(np.ndim(one) for one in values if one is not None):
        first = np.asarray(next(one for one in values if one is not None))
        blank = np.full(first.shape, np.nan)
        try:
            values = np.stack([blank if one is None else np.asarray(one, np.float64) for one in values])
        except ValueError:
            raise UserError(f"memory: the arrays of '{name}' differ in shape; give every example the same") from None
    elif hasattr(values, "detach"):
        tensor: Any = values
        values = tensor.detach().cpu().numpy()
    elif not isinstance(values, np.ndarray):
        return None
    if values.ndim < 2:
        return None
    if values.dtype.kind not in "fiub":
        raise UserError(f"memory: '{name}' has type {values.dtype}, not numbers; give numbers")
    there = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    whole = values.ndim in (3, 4) and there.size and bool(((there >= 0) & (there <= 255) & (there % 1 == 0)).all())
    if whole and float(there.max()) > 1:
        shaped = values[:, None] if values.ndim == 3 else values
        shaped = np.moveaxis(shaped, 3, 1) if values.ndim == 4 and channels_last(values.shape) else shaped
        return Column(name, "picture", values=shaped.astype(np.float32))
    if bool(np.isinf(values).any()):
        raise UserError(f"memory: '{name}' holds an infinite value; correct it, or make it NaN if it is missing")
    return Column(name, "numbers", values=values.astype(np.float32))
