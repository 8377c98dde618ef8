"""Data as read, before any split or preparation, and the checks that name the offending file, row or column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vaekit.data.arrays import as_floats
from vaekit.data.digest import Keys
from vaekit.data.labels import Kind, read_labels
from vaekit.data.origin import Origin
from vaekit.data.tables.frames import Frame
from vaekit.errors import UserError

MAX_EXACT = 2**24
"""float32 holds every integer up to here."""
FILL = np.float32(9.969209968386869e36)
FILLED = "is {value:.6g}, which netCDF writes for a missing value; fill it in, or leave the row out"
OBLONG = 4
"""How many times longer than the other a side is from which a picture is unlikely."""


@dataclass
class Part:
    """One split as read: `x` (N, …) and, where there are any, labels `y` (N,) or (N, A) and known factors (N, F).

    Once checked, `y` (N,) are class numbers, -1 where missing, or rows of the conditions (`Raw.condition`).
    """

    x: np.ndarray
    y: np.ndarray | None = None
    factors: np.ndarray | None = None
    origin: Origin | None = None
    """Where each example comes from; None: rows, counted from the source's `first_row`."""
    keys: Keys | None = None
    """The hash of what each example holds, where the reader knows it: of a file's bytes."""


@dataclass
class Raw:
    """A source as read. `levels` where the reader knows it (else uint8 has 256); `table`: named columns."""

    name: str
    source: str
    train: Part
    valid: Part | None = None
    test: Part | None = None
    levels: int | None = None
    classes: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    """The names of the labels' attributes, where the source has them."""
    condition: Frame | None = field(default=None, repr=False)
    """The columns that the labels are where they are no classes, the splits' one after another."""
    columns: tuple[str, ...] = ()
    table: bool = False
    first_row: int = 0
    named: Callable[[int], str] | None = field(default=None, repr=False)
    """The name of a training row, where its number says less: a file's."""
    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] = ()
    modality: str = "array"
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    taken: str = ""
    """What the examples were taken as, where their shape may mean something else."""
    whole: bool = False
    """Whether floats that were whole grey levels have been made uint8."""

    @property
    def parts(self) -> list[tuple[str, Part]]:
        """The splits there are, by name."""
        parts = [("train", self.train), ("valid", self.valid), ("test", self.test)]
        return [(name, part) for name, part in parts if part is not None]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.train.x.shape[1:])

    @property
    def n(self) -> int:
        """How many examples there are to split, those of the source's own held-out splits not counted."""
        return len(self.train.x)

    def place(self, split: str, index: Sequence[int]) -> str:
        """Name an entry of x as a person would find it, e.g. `train row 3, column 'age'`."""
        row, *rest = (int(i) for i in index)
        several = self.valid is not None or self.test is not None
        words = f"{split} row" if several else "row"
        place = self.named(row) if self.named and split == "train" else f"{words} {row + self.first_row}"
        if len(rest) == 1:
            column = f"'{self.columns[rest[0]]}'" if self.columns else str(rest[0])
            return f"{place}, column {column}"
        if len(rest) == 3:
            return f"{place}, channel {rest[0]}, pixel ({rest[1]}, {rest[2]})"
        if len(rest) == 4:
            return f"{place}, channel {rest[0]}, voxel ({rest[1]}, {rest[2]}, {rest[3]})"
        return place

    def settle_labels(self, kind: Kind = "auto") -> None:
        """Make every split's labels plain: class numbers of `classes`, or rows of `condition`."""
        given = {split: self._numbered(part.y, split) for split, part in self.parts}
        found = read_labels(given, self.source, kind, self.classes, self.label_names)
        for split, part in self.parts:
            part.y = found.y.get(split)
        self.classes, self.condition = found.classes, found.condition

    def _numbered(self, y: np.ndarray | None, split: str) -> np.ndarray | None:
        """Return labels that are names, of a source whose classes are known, as their numbers."""
        if y is None or y.dtype.kind != "U" or not self.classes:
            return y
        unknown = sorted({str(name) for name in y} - {*self.classes})
        if unknown:
            known = ", ".join(self.classes)
            raise UserError(f"{self.source}: {split} has the label '{unknown[0]}', and the classes are {known}")
        return np.array([self.classes.index(str(name)) for name in y])

    def refuse(self, bad: Callable[[np.ndarray], np.ndarray], problem: str) -> None:
        """Raise for the first entry of any split where `bad` says so; {value} is filled in."""
        for split, part in self.parts:
            mask = bad(part.x)
            if mask.any():
                index = [int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape)]
                text = problem.format(value=part.x[tuple(index)].item())
                raise UserError(f"{self.source}: {self.place(split, index)} {text}")


def shape_up(raw: Raw) -> Raw:
    """Bring every split to (N, D) or (N, C, H, W) and a plain type; again is no change."""
    for split, part in raw.parts:
        part.x = _plain(part.x, f"{raw.source}: {split} x")
        if part.x.ndim == 0:
            raise UserError(f"{raw.source}: {split} x is a single number; give an array of examples")
        if part.x.size == 0:
            raise UserError(
                f"{raw.source}: the {split} split is empty (x has shape {part.x.shape}); give at least one example"
            )
        raw.taken = raw.taken or taken_as(part.x)
        part.x = _shaped(part.x, raw.source)
    return raw


def check(raw: Raw, labels: Kind = "auto") -> Raw:
    """Bring every split to (N, D) or (N, C, H, W) of one shape and a plain type; refuse what cannot be data.

    `labels`: what labels are where their values do not say it, see `vaekit.data.labels`.
    """
    for split, part in shape_up(raw).parts:
        if part.y is not None and not part.y.ndim:
            raise UserError(f"{raw.source}: {split} y is a single value, {part.y.item()!r:.60}; give one label each")
        if part.y is not None and len(part.y) != len(part.x):
            raise UserError(
                f"{raw.source}: {split} has {len(part.x)} examples but {len(part.y)} labels; give one label each"
            )
    shapes = {part.x.shape[1:] for _, part in raw.parts}
    if len(shapes) > 1:
        raise UserError(f"{raw.source}: the splits' examples differ in shape ({sorted(shapes)}); give them one shape")
    kinds = {part.x.dtype for _, part in raw.parts}
    if len(kinds) > 1:
        raise UserError(f"{raw.source}: the splits differ in type ({sorted(map(str, kinds))}); give them one type")
    if raw.train.x.dtype.kind == "f":
        problem = "is {value}; remove or fill in missing and infinite values (or those too large for 32 bits)"
        raw.refuse(lambda x: ~np.isfinite(x), problem)
        raw.refuse(lambda x: np.abs(x) == FILL, FILLED)
    raw.settle_labels(labels)
    return raw


def _plain(x: np.ndarray, where: str) -> np.ndarray:
    """Return uint8, int64 or float32; refuse objects, text, complex numbers."""
    if x.dtype == np.uint8:
        return x
    if x.dtype == np.bool_:
        return x.astype(np.uint8)
    if x.dtype.kind in "iu":
        if x.size and (x.max() > MAX_EXACT or x.min() < -MAX_EXACT):
            raise UserError(
                f"{where} has integers beyond ±{MAX_EXACT:,}, which 32-bit floats cannot hold; rescale them"
            )
        return x.astype(np.int64)
    if x.dtype.kind == "f":
        return as_floats(x, np.float32)
    hint = "ragged rows? give every example the same shape" if x.dtype.kind == "O" else "give numbers"
    raise UserError(f"{where} has type {x.dtype}, not numbers; {hint}")


def _shaped(x: np.ndarray, where: str) -> np.ndarray:
    """Return (N, D), (N, C, H, W) or (N, C, D, H, W): grey images get their channel, channels come first."""
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4:
        return np.ascontiguousarray(np.moveaxis(x, 3, 1)) if channels_last(x.shape) else x
    if x.ndim == 5:
        last = x.shape[4] in (1, 3) and x.shape[1] not in (1, 3)
        return np.ascontiguousarray(np.moveaxis(x, 4, 1)) if last else x
    raise UserError(
        f"{where}: x has shape {x.shape}; give (N, D) for vectors, (N, H, W) for grey images, (N, C, H, W) for colour "
        "or (N, C, D, H, W) for volumes"
    )


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether pictures (N, H, W, C) have their channels last: 1 or 3 there and not first, or fewer than both sides.

    >>> channels_last((9, 28, 28, 3)), channels_last((9, 48, 64, 5)), channels_last((9, 16, 8, 8))
    (True, True, False)
    """
    if shape[1] in (1, 3) or shape[3] in (1, 3):
        return shape[3] in (1, 3) and shape[1] not in (1, 3)
    return shape[3] < min(shape[1:3])


def taken_as(x: np.ndarray) -> str:
    """Return a sentence on what examples are taken as, where they may be something else; "" where that is plain.

    >>> taken_as(np.zeros((9, 28, 28))), taken_as(np.zeros((9, 3, 64)))[:47]
    ('', 'examples of shape (3, 64) are taken as grey pic')
    """
    own = tuple(x.shape[1:])
    if len(own) == 3 and channels_last(x.shape) and own[2] not in (1, 3, 4):
        return (
            f"examples of shape {own} are taken as pictures of {own[0]} × {own[1]} with {own[2]} channels last; move "
            "that axis to the front if it is another"
        )
    if len(own) != 2 or not x.size:
        return ""
    with np.errstate(invalid="ignore"):  # what is no number is refused afterwards
        greys = x.dtype.kind != "f" or bool(((x >= 0) & ((x <= 1) | (x == np.rint(x)))).all())
    if greys and max(own) < OBLONG * min(own):
        return ""
    return (
        f"examples of shape {own} are taken as grey pictures of {own[0]} × {own[1]}; if they are time series, train "
        "series-vae on them, and if they are vectors, flatten them"
    )
