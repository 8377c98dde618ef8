"""Which preparation meets a likelihood's wish, or why none does."""

from __future__ import annotations

import numpy as np

from vaekit.data.prepare import Prepare
from vaekit.data.raw import MAX_EXACT, Raw
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

TOLERANCE = 1e-5
"""How far a float grey may lie from the grid i/255."""


def resolve(raw: Raw, settings: DataSettings, wants: str) -> tuple[Raw, Prepare]:
    """Return the source, stored in the type that fits, and its preparation (training statistics still to come).

    What values can occur is read off all splits, as a file's type would be; nothing else is.
    """
    raw = _native(raw)
    binarise = settings.binarise if settings.binarise != "auto" else ("stochastic" if wants == "binary" else "none")
    if settings.dequantise and binarise != "none":
        raise UserError("dequantise makes greys continuous and binarise makes them 0 and 1; set one of them")
    if settings.dequantise and wants in ("levels", "counts", "binary"):
        raise UserError(
            f"this likelihood wants {wants} data, which dequantise would make continuous; leave dequantise out"
        )
    if binarise != "none" and wants not in ("any", "binary"):
        raise UserError(
            f"this likelihood wants {wants} data, so binarise cannot be '{binarise}'; use binarise=none or auto"
        )
    if binarise != "none":
        plan = _binary(raw, settings, binarise)
    elif settings.dequantise:
        levels = _greys(raw, "dequantise")
        plan = Prepare("real" if wants == "real" else "unit", "dequantise", levels)
    else:
        raw, plan = _undisturbed(raw, wants)
    if settings.standardise and plan.kind != "real":
        raise UserError(
            f"standardise is for real data, and these are {plan.kind}; leave it out or use a real likelihood"
        )
    return raw, plan


def _native(raw: Raw) -> Raw:
    """Store values that are all 0 or 1 as uint8 with two levels, and set the levels of other uint8 data."""
    whole = [part.x for _, part in raw.parts]
    if raw.levels is None and all(_is_binary(x) for x in whole):
        raw.levels = 2
        for _, part in raw.parts:
            part.x = part.x.astype(np.uint8)
    elif raw.train.x.dtype == np.uint8:
        raw.levels = raw.levels or 256
        if raw.levels < 256:
            raw.refuse([x >= raw.levels for x in whole], f"is {{value}}, beyond the {raw.levels} grey levels")
    return raw


def _is_binary(x: np.ndarray) -> bool:
    # In blocks: greys show what they are in the first one.
    return all(bool(((part == 0) | (part == 1)).all()) for part in np.array_split(x, max(1, len(x) // 1024)))


def _greys(raw: Raw, wish: str) -> int:
    if raw.levels is None:
        raise UserError(f"{raw.source}: {wish} needs quantised greys, and these are {raw.train.x.dtype}; give uint8")
    return raw.levels


def _binary(raw: Raw, settings: DataSettings, mode: str) -> Prepare:
    """Binarise greys, or floats in [0, 1]; a table only where that was asked for by name."""
    if raw.levels == 2:
        return Prepare("binary", "as-is", 2, seed=settings.seed)
    if raw.table and settings.binarise == "auto":
        bad = [~((part.x == 0) | (part.x == 1)) for _, part in raw.parts]
        raw.refuse(bad, "is {value}, and this likelihood wants 0 or 1; use a Gaussian likelihood or encode the column")
    if raw.levels is None:
        bad = [(part.x < 0) | (part.x > 1) for _, part in raw.parts]
        mend = "scale to [0, 1], give greys as uint8, or use a likelihood for real data"
        raw.refuse(bad, "is {value}, outside [0, 1], so it cannot be made binary; " + mend)
    assert mode in ("stochastic", "fixed", "threshold")
    return Prepare("binary", mode, raw.levels, seed=settings.seed)


def _undisturbed(raw: Raw, wants: str) -> tuple[Raw, Prepare]:
    """Meet a wish without noise."""
    if wants == "binary" and raw.levels != 2:
        bad = [~((part.x == 0) | (part.x == 1)) for _, part in raw.parts]
        raw.refuse(bad, "is {value}, and this likelihood wants 0 or 1; use binarise=auto")
    if wants == "binary" or (wants == "any" and raw.levels == 2):
        return raw, Prepare("binary", "as-is", 2)
    if wants == "counts":
        return raw, _counts(raw)
    if wants == "levels":
        raw = _to_greys(raw)
        return raw, Prepare("levels", "scale", raw.levels)
    if raw.levels is not None:
        kind = {"any": "levels", "unit": "unit", "real": "real"}[wants]
        return raw, Prepare(kind, "scale", raw.levels)  # type: ignore[arg-type]
    return raw, _floats(raw, wants)


def _floats(raw: Raw, wants: str) -> Prepare:
    """Floats and integers that are no greys: real, or unit where wanted or where arrays lie in [0, 1]."""
    outside = [(part.x < 0) | (part.x > 1) for _, part in raw.parts]
    if wants == "unit":
        mend = "scale to [0, 1], give greys as uint8, or use a likelihood for real data"
        raw.refuse(outside, "is {value}, outside [0, 1]; " + mend)
        return Prepare("unit")
    if wants == "any" and raw.train.x.dtype.kind == "i" and not any((part.x < 0).any() for _, part in raw.parts):
        return Prepare("counts")
    if wants == "any" and not raw.table and not any(mask.any() for mask in outside):
        return Prepare("unit")
    return Prepare("real")


def _counts(raw: Raw) -> Prepare:
    bad = [(part.x < 0) | (part.x != np.round(part.x)) | (part.x > MAX_EXACT) for _, part in raw.parts]
    raw.refuse(bad, "is {value}, not a count; give non-negative whole numbers or use a likelihood for real data")
    return Prepare("counts", "as-is", raw.levels)


def _to_greys(raw: Raw) -> Raw:
    """Return greys as uint8, also from floats i/255 as other libraries make them."""
    if raw.levels is not None:
        return raw
    greys = [np.rint(part.x.astype(np.float64) * 255) for _, part in raw.parts]
    off = [
        (np.abs(part.x - grey / 255) > TOLERANCE) | (grey < 0) | (grey > 255)
        for (_, part), grey in zip(raw.parts, greys)
    ]
    raw.refuse(
        off, "is {value}, not one of the 256 greys i/255 this likelihood scores; give uint8 or use another likelihood"
    )
    for (_, part), grey in zip(raw.parts, greys):
        part.x = grey.astype(np.uint8)
    raw.levels = 256
    return raw
