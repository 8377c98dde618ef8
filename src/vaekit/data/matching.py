"""Other data like those a model was trained on: its columns, its pictures' mode and size, its scale of greys."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from vaekit.data.disk import ImageRows
from vaekit.data.origin import Origin
from vaekit.data.prepare import BLOCK, Prepare
from vaekit.data.raw import Part, Raw
from vaekit.errors import UserError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey (ITU-R BT.601, as Pillow's)."""


def match_columns(raw: Raw, columns: Sequence[str]) -> Raw:
    """Bring named columns into the order of `columns`; further ones are left out with a warning.

    Raises:
        UserError: one of `columns` is not there.
    """
    if not columns or not raw.columns or tuple(columns) == raw.columns:
        return raw
    lost = [name for name in columns if name not in raw.columns]
    if lost:
        raise UserError(
            f"{raw.source} has no column '{lost[0]}', which this model was trained on; its columns are "
            f"{', '.join(raw.columns[:8])}"
        )
    more = [name for name in raw.columns if name not in columns]
    if more:
        warnings.warn(f"{raw.source}: columns the model does not know are left out: {', '.join(more)}", stacklevel=2)
    order = [raw.columns.index(name) for name in columns]
    for _, part in raw.parts:
        part.x = part.x[:, order]
    raw.columns = tuple(columns)
    return raw


def match_one(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array that is a single example of `shape` as a batch of it; any other array as it is.

    A picture may lack its one channel, or have its channels last.

    >>> match_one(np.zeros((8, 8)), (1, 8, 8)).shape, match_one(np.zeros((5, 8, 8)), (1, 8, 8)).shape
    ((1, 8, 8), (5, 8, 8))
    """
    last = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    grey = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    return x[None] if x.shape in (shape, last, grey) else x


def match_pictures(raw: Raw, shape: tuple[int, ...]) -> Raw:
    """Bring pictures of another mode or size to `shape` (C, H, W), with one warning; other arrays stay as they are."""
    mine = raw.train.x.shape[1:]
    if len(shape) != 3 or len(mine) != 3 or mine == shape or not {shape[0], mine[0]} <= {1, 3}:
        return raw
    for _, part in raw.parts:
        part.x = resized(part.x, shape)
    size = f" and scaled from {mine[2]}×{mine[1]} to {shape[2]}×{shape[1]}" if mine[1:] != shape[1:] else ""
    mode = f" made {'grey' if shape[0] == 1 else 'RGB'}" if mine[0] != shape[0] else ""
    done = (mode + size).removeprefix(" and") if not mode else mode + size
    warnings.warn(f"{raw.source}: {raw.n} pictures were{done}, as this model's are", stacklevel=2)
    return raw


def resized(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return pictures (N, C, H, W) as `shape`, in blocks: mode, then scaled to cover it and cut to the centre."""
    out = np.empty((len(x), *shape), x.dtype)
    height, width = x.shape[2:]
    scale = max(shape[1] / height, shape[2] / width)
    target = max(shape[1], round(height * scale)), max(shape[2], round(width * scale))
    top, left = (target[0] - shape[1]) // 2, (target[1] - shape[2]) // 2
    weights = torch.tensor(LUMA).view(1, 3, 1, 1)
    for start in range(0, len(x), BLOCK):
        block = torch.from_numpy(x[start : start + BLOCK].astype(np.float32))
        if x.shape[1] != shape[0]:
            block = (block * weights).sum(1, keepdim=True) if shape[0] == 1 else block.expand(-1, 3, -1, -1)
        if target != (height, width):
            block = F.interpolate(block, target, mode="bilinear", align_corners=False, antialias=True)
        block = block[:, :, top : top + shape[1], left : left + shape[2]].numpy()
        out[start : start + BLOCK] = block if out.dtype.kind == "f" else np.rint(block)
    return out


def match_scale(raw: Raw, mine: Prepare) -> Raw:
    """Bring values to the scale of a model's own data, as far as their type says what they mean.

    Whole numbers below the model's levels are its greys, whatever their type holds; but no more than 1 anywhere is
    black and white, or shares of white. Where the model's data are real numbers or counts as they are, so are these.
    """
    whole = all(part.x.dtype.kind in "ui" for _, part in raw.parts)
    if mine.levels is None and mine.kind in ("real", "counts") and whole:
        raw.levels = None
        for _, part in raw.parts:
            part.x = part.x.astype(np.float32)
        return raw
    if (
        raw.levels in (None, mine.levels)
        and mine.levels is not None
        and all(_are_greys(part.x, mine.levels) for _, part in raw.parts)
    ):
        raw.levels = mine.levels
        for _, part in raw.parts:
            part.x = part.x.astype(np.uint8, copy=False)
    return raw


def _are_greys(x: np.ndarray, levels: int) -> bool:
    low, high = x.min(), x.max()
    if low < 0 or high <= 1 or high >= levels or levels > 256:
        return False
    return x.dtype.kind in "ui" or all(bool((part % 1 == 0).all()) for part in _blocks(x))


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    return (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))


def match_labels(raw: Raw, classes: Sequence[str], strict: bool) -> Raw:
    """Number labels as the model's classes, by name, or by number where no class has a number for a name.

    Labels that are none of the model's are numbered after them, and their names kept as the column `label` of the
    origin; a UserError with `strict`.
    """
    part = raw.train
    if part.y is None or part.y.ndim != 1 or not classes or part.y.dtype.kind not in "iubU":
        return raw
    if part.y.dtype.kind == "U" and bool((part.y == "").any()):
        return raw  # some are missing: they are matched as conditions
    names = [raw.classes[value] if raw.classes else str(value) for value in part.y.tolist()]
    number = {name: i for i, name in enumerate(classes)}
    if not raw.classes and part.y.dtype.kind in "iu" and not any(name.isdigit() for name in classes):
        number |= {str(i): i for i in range(len(classes))}
    unknown = sorted(set(names) - set(number))
    if unknown and strict:
        raise UserError(f"{raw.source} has the label '{unknown[0]}'; this run's model knows {', '.join(classes)}")
    if unknown:
        origin = part.origin or Origin.rows(len(names), first=raw.first_row)
        part.origin = Origin({**origin.columns, "label": np.array(names)}, origin.left_out)
        number |= {name: len(classes) + i for i, name in enumerate(unknown)}
    part.y = np.array([number[name] for name in names])
    raw.classes = (*classes, *unknown)
    return raw


def joined(raw: Raw) -> Raw:
    """Put all splits of a source into one, with a column `split` of the origin where there are several."""
    if len(raw.parts) == 1:
        return raw
    shapes = {part.x.shape[1:] for _, part in raw.parts}
    if len(shapes) > 1:
        raise UserError(f"{raw.source}: the splits' examples differ in shape ({sorted(shapes)}); give them one shape")
    parts = [part for _, part in raw.parts]
    origins = [part.origin or Origin.rows(len(part.x), first=raw.first_row) for part in parts]
    origin = origins[0]
    for other in origins[1:]:
        origin = origin.and_then(other)
    splits = np.concatenate([np.full(len(part.x), name) for name, part in raw.parts])
    together = {
        name: None
        if any(getattr(part, name) is None for part in parts)
        else np.concatenate([getattr(part, name) for part in parts])
        for name in ("x", "y", "factors", "keys")
    }
    raw.train = Part(**together, origin=Origin({**origin.columns, "split": splits}))  # type: ignore[arg-type]
    raw.valid = raw.test = None
    return raw


def warn_of_pictures(source: str, rows: ImageRows) -> None:
    """Warn, once, of the pictures of `rows` that were converted as they were read."""
    done = [
        f"{count} {words}"
        for count, words in (
            (rows.recoloured, f"made {'grey' if rows.mode == 'L' else 'RGB'}"),
            (rows.scaled, f"scaled and cut to {rows.extent[0]}×{rows.extent[1]}"),
        )
        if count
    ]
    if done:
        warnings.warn(
            f"{source}: of {len(rows.files)} pictures {' and '.join(done)}, as this model's are", stacklevel=2
        )
