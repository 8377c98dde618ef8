"""Choose the preprocessing that a likelihood requires, or say why there is none; fit it to the training split."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vaekit.data.info import DataInfo, Kind
from vaekit.data.prepare import BLOCK, Prepare
from vaekit.data.raw import MAX_EXACT, Raw
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

Wants = Literal["binary", "unit", "levels", "real", "counts", "any"]
"""The kind of data that a likelihood is a distribution of."""
TOLERANCE = 1e-5
"""How far a float grey may lie from the grid i/255."""
Numbers = tuple[float, ...]
FILLED = 0.05
"""Floats in [0, 1] are of that interval where they come this near to both its ends; else it is a matter of units."""
LEAST_GREYS = 64
"""Vectors shorter than this are no flattened pictures."""
TO_UNIT = "scale to [0, 1], give greys as uint8, or use a likelihood for real data"


def describe(raw: Raw, settings: DataSettings) -> DataInfo:
    """Return what data are as read, unsplit (all examples are in `n_train`): what a likelihood is chosen by."""
    if holds_greys(raw, "any"):
        raw = replace(raw, levels=256)
    plan = _plan(raw, settings, "any")
    return DataInfo(
        raw.name, raw.shape, plan.kind, plan.levels, raw.n, 0, 0, raw.classes, raw.source, modality=raw.modality
    )


def resolve(raw: Raw, settings: DataSettings, wants: Wants) -> Prepare:
    """Return the preparation for a likelihood, what is fitted to the training split still missing.

    What values can occur is read off all splits, as a file's type would be; nothing else is. Greys that are floats are
    stored as uint8 in `raw` where a likelihood scores greys, and whole ones for all but a real likelihood or counts.

    Raises:
        UserError: the data, or the settings, do not fit the likelihood; the offending entry is named.
    """
    if holds_greys(raw, wants):
        raw.levels, raw.whole = 256, True
        for _, part in raw.parts:
            part.x = part.x.astype(np.uint8)
    plan = _plan(raw, settings, wants)
    if settings.standardise is True and plan.kind != "real":
        raise UserError(
            f"standardise is for real data, and these are {plan.kind}; leave it out or use a real likelihood"
        )
    return plan


def _plan(raw: Raw, settings: DataSettings, wants: Wants) -> Prepare:
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
        return _binary(raw, settings, binarise)
    if settings.dequantise:
        if raw.levels is None:
            kind = raw.train.x.dtype
            raise UserError(f"{raw.source}: dequantise needs quantised greys, and these are {kind}; give uint8")
        return Prepare("real" if wants == "real" else "unit", "dequantise", raw.levels)
    return _undisturbed(raw, wants)


def compact(raw: Raw) -> Raw:
    """Store values that are all 0 or 1 as uint8 with two levels, set the levels of other uint8 data; return `raw`."""
    if raw.levels is None and all(_is_binary(part.x) for _, part in raw.parts):
        raw.levels = 2
        for _, part in raw.parts:
            part.x = part.x.astype(np.uint8)
    elif raw.train.x.dtype == np.uint8:
        raw.levels = levels = raw.levels or 256
        if levels < 256:
            raw.refuse(lambda x: x >= levels, f"is {{value}}, beyond the {levels} grey levels")
    return raw


def _is_binary(x: np.ndarray) -> bool:
    return not any(not_binary(block).any() for block in _blocks(x))


def holds_greys(raw: Raw, wants: Wants) -> bool:
    """Whether a likelihood takes floats, or integers that are pictures, for grey levels: whole numbers 0 … 255.

    They are pictures (C, H, W) or vectors of at least 64 numbers, as 8 × 8 pixels are. Where no likelihood says what
    they are ("any"), one of them takes the eighth bit: counts and codes seldom do.
    """
    kind, axes = raw.train.x.dtype.kind, raw.train.x.ndim
    if wants in ("real", "counts") or raw.levels is not None or raw.table or raw.modality != "array":
        return False
    if axes < 4 and (kind != "f" or raw.train.x.shape[1] < LEAST_GREYS):
        return False
    if any(not_whole_greys(block).any() for _, part in raw.parts for block in _blocks(part.x)):
        return False
    return max(part.x.max() for _, part in raw.parts) > (127 if wants == "any" else 1)


def _blocks(x: np.ndarray) -> list[np.ndarray]:
    """Return an array in blocks: most show what they are in the first one."""
    return np.array_split(x, max(1, len(x) // 1024))


def not_whole_greys(x: np.ndarray) -> np.ndarray:
    """Return where values are none of the whole numbers 0 … 255."""
    return (x < 0) | (x > 255) | (x != np.round(x))


def not_binary(x: np.ndarray) -> np.ndarray:
    """Return where values are neither 0 nor 1."""
    return (x != 0) & (x != 1)


def not_unit(x: np.ndarray) -> np.ndarray:
    """Return where values lie outside [0, 1]."""
    return (x < 0) | (x > 1)


def not_counts(x: np.ndarray) -> np.ndarray:
    """Return where values are no counts."""
    return (x < 0) | (x != np.round(x)) | (x > MAX_EXACT)


def not_greys(x: np.ndarray) -> np.ndarray:
    """Return where values are none of the 256 greys i/255."""
    grey = greys_of(x)
    return (np.abs(x - grey / 255) > TOLERANCE) | (grey < 0) | (grey > 255)


def greys_of(x: np.ndarray) -> np.ndarray:
    """Return the greys 0 … 255 nearest to i/255, float64."""
    return np.rint(x.astype(np.float64) * 255)


def _binary(raw: Raw, settings: DataSettings, mode: str) -> Prepare:
    """Binarise greys, or floats in [0, 1]; a table only where that was asked for by name."""
    if raw.levels == 2:
        return Prepare("binary", "as-is", 2, seed=settings.seed)
    if raw.table and settings.binarise == "auto":
        problem = "is {value}, and this likelihood wants 0 or 1; use a Gaussian likelihood or encode the column"
        raw.refuse(not_binary, problem)
    if raw.levels is None:
        raw.refuse(not_unit, f"is {{value}}, outside [0, 1], so it cannot be made binary; {TO_UNIT}")
    assert mode in ("stochastic", "fixed", "threshold")
    return Prepare("binary", mode, raw.levels, seed=settings.seed)


def _undisturbed(raw: Raw, wants: Wants) -> Prepare:
    """Return the preparation without noise."""
    if wants == "binary" and raw.levels != 2:
        raw.refuse(not_binary, "is {value}, and this likelihood wants 0 or 1; use binarise=auto")
    if wants == "binary" or (wants == "any" and raw.levels == 2):
        return Prepare("binary", "as-is", 2)
    if wants == "counts":
        problem = "is {value}, not a count; give non-negative whole numbers or use a likelihood for real data"
        raw.refuse(not_counts, problem)
        return Prepare("counts", "as-is", raw.levels)
    if wants == "levels":
        if raw.levels is None:  # floats i/255, as other libraries make them
            problem = "is {value}, not one of the 256 greys i/255 this likelihood scores"
            raw.refuse(not_greys, f"{problem}; give uint8 or use another likelihood")
            raw.levels = 256
            for _, part in raw.parts:
                part.x = greys_of(part.x).astype(np.uint8)
        return Prepare("levels", "scale", raw.levels)
    if raw.levels is not None:
        kind: Kind = wants if wants in ("unit", "real") else "levels"
        return Prepare(kind, "scale", raw.levels)
    return _floats(raw, wants)


def _floats(raw: Raw, wants: Wants) -> Prepare:
    """Floats, and integers that are not greys: real, or unit where wanted or where arrays fill [0, 1]."""
    if wants == "unit":
        raw.refuse(not_unit, f"is {{value}}, outside [0, 1]; {TO_UNIT}")
        return Prepare("unit")
    if wants == "any" and raw.train.x.dtype.kind == "i" and not any((part.x < 0).any() for _, part in raw.parts):
        return Prepare("counts")
    return Prepare("unit" if wants == "any" and not raw.table and _fills_unit(raw) else "real")


def _fills_unit(raw: Raw) -> bool:
    """Whether values lie in [0, 1] and come near to both ends; lengths of some metres in kilometres do not."""
    low = min(part.x.min() for _, part in raw.parts)
    high = max(part.x.max() for _, part in raw.parts)
    return 0 <= low <= FILLED and 1 - FILLED <= high <= 1


def bits_offset(plan: Prepare) -> float | None:
    """Return the offset of bits a dimension; see `DataInfo`."""
    if plan.mode == "dequantise":
        return math.log2(plan.levels or 1)
    return {"binary": 0.0, "levels": 0.0, "counts": 0.0}.get(plan.kind)


def fitted(plan: Prepare, x: Tensor, settings: DataSettings) -> tuple[Prepare, Numbers, Numbers]:
    """Return `plan` with what training examples `x` as stored decide, and mean and deviation of real data, else ()."""
    if plan.kind in ("real", "counts") and plan.mode == "as-is":
        plan = replace(plan, low=float(x.min()), high=float(x.max()))
    if plan.kind != "real":
        return plan, (), ()
    mean, deviation = (tuple(values.tolist()) for values in _moments(plan, x))
    if settings.standardise:
        return replace(plan, mean=mean, sd=deviation, axes=x.dim() - 1), mean, deviation
    return plan, mean, deviation


def _moments(plan: Prepare, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C,) of stored examples for each entry of their first axis: a column, a channel.

    Pixels of a channel have one deviation, so that standardising keeps their relation, and those that hardly vary are
    not blown up. A constant entry has the geometric mean of the others', which is in their unit, or 1 if there are
    none.
    """
    places = [0, *range(2, x.dim())]
    count, zero = x.numel() // x.shape[1], torch.zeros(x.shape[1], dtype=torch.float64)
    mean = sum((plan.expected(part).double().sum(places) for part in x.split(BLOCK)), start=zero) / count
    centre = mean.view(-1, *[1] * (x.dim() - 2))
    squares = ((plan.expected(part).double() - centre).square().sum(places) for part in x.split(BLOCK))
    deviation = (sum(squares, start=zero) / count).sqrt()
    varies = deviation > 1e-6 * mean.abs()
    usual = deviation[varies].log().mean().exp() if bool(varies.any()) else torch.ones(())
    return mean, torch.where(varies, deviation, usual.double())
