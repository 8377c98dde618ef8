"""An array as grey levels 0 … levels - 1 and back, exactly; what cannot come back exactly is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UserError

Unit = Literal["levels", "255", "grid", "grid-single"]
"""What a level stands for: itself; 255 times itself (binary images kept as 0 and 255); i / (levels - 1)."""


@dataclass(frozen=True)
class Layout:
    """How an array of examples was kept: one example's shape, whether channels came last, its type and its unit."""

    shape: Sequence[int]
    channels_last: bool
    dtype: str
    unit: Unit

    def restore(self, levels: NDArray[np.uint8], count: int) -> NDArray[Any]:
        """Return the array (N, *shape) that levels (N, C, H, W) or (N, D) stand for, of `count` levels."""
        x = np.moveaxis(levels, 1, -1) if self.channels_last else levels.reshape(len(levels), *self.shape)
        kind = np.dtype(self.dtype)
        if self.unit == "grid":
            return (x / (count - 1)).astype(kind)
        if self.unit == "grid-single":
            return (x.astype(kind) * kind.type(1 / (count - 1))).astype(kind)
        return np.ascontiguousarray(x.astype(kind) * kind.type(255 if self.unit == "255" else 1))


def to_levels(x: NDArray[Any], shape: tuple[int, ...], levels: int, where: str) -> tuple[NDArray[np.uint8], Layout]:
    """Return levels (N, *shape) of an array of examples, and the layout that brings the array back bit by bit.

    Raises UserError, naming the fault, for another shape, values between the levels, and what would not come back.
    """
    if x.ndim < 2 or len(x) == 0:
        raise UserError(f"{where} has shape {x.shape}; give an array of at least one example")
    own = tuple(x.shape[1:])
    last = len(shape) == 3 and own != shape and own == (*shape[1:], shape[0])
    if not (last or own == shape or (len(shape) == 3 and shape[0] == 1 and own == shape[1:])):
        raise UserError(f"{where} has examples of shape {own}; this run's model takes {shape}")
    if x.dtype.kind not in "buif":
        raise UserError(f"{where} has type {x.dtype}, not numbers; give grey levels")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.argmax(~np.isfinite(x).reshape(len(x), -1).all(1)))
        raise UserError(f"{where}: example {row} holds NaN or infinity, which have no code; remove or impute it")
    for unit, grey in _candidates(x, levels):
        if (grey < 0).any() or (grey > levels - 1).any():
            continue
        level = grey.astype(np.uint8)
        layout = Layout(own, last, x.dtype.str, unit)
        level = np.ascontiguousarray(np.moveaxis(level, -1, 1) if last else level.reshape(len(x), *shape))
        back = layout.restore(level, levels)
        if back.dtype == x.dtype and np.array_equal(back.view(np.uint8), np.ascontiguousarray(x).view(np.uint8)):
            return level, layout
    if levels == 2:
        raise UserError(
            f"{where} has values other than 0 and 1, which this run's binary model would lose; binarise them, or train "
            "with --set model.likelihood=discretised-logistic"
        )
    raise UserError(f"{where} has values that are not the {levels} grey levels of this run's model; give uint8 greys")


def _candidates(x: NDArray[Any], levels: int) -> list[tuple[Unit, NDArray[Any]]]:
    plain = x.astype(np.float64) if x.dtype.kind == "f" else x.astype(np.int64)
    out: list[tuple[Unit, NDArray[Any]]] = [("levels", np.rint(plain))]
    if levels == 2 and (x.dtype.kind == "f" or (x.dtype.kind in "iu" and np.iinfo(x.dtype).max >= 255)):
        out.append(("255", np.rint(plain / 255)))
    if x.dtype.kind == "f":
        grid = np.rint(plain * (levels - 1))
        out.append(("grid", grid))
        out.append(("grid-single", grid))
    return out
