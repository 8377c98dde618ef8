"""Time series as the page draws them: lines and a band of two standard deviations, one scale for all examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.data.dataset import Split
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.figures.series import MOST_CHANNELS, scales_differ

SCALED_BY = 500
"""Examples whose values set the scale."""


def series_facts(info: DataInfo, prepare: Prepare, split: Split | None) -> dict[str, Any]:
    """Return what the page must know: channels, steps, and the ranges of most values, in the source's units.

    `scales` is one range that all channels share, or one for each of the first channels where a shared one would
    flatten some: then each has a panel of its own, as in the report.
    """
    channels, steps = info.shape
    scales = [_range(np.array([-2.0, 2.0]))]
    if split is not None:
        values = prepare.invert(split.first(SCALED_BY).inputs).double().numpy()
        parts = list(values.swapaxes(0, 1))[:MOST_CHANNELS] if scales_differ(values) else [values]
        scales = [_range(part[np.isfinite(part)]) for part in parts]
    return {
        "channels": channels,
        "steps": steps,
        "names": info.facts["channels"],
        "rate": info.facts["rate"],
        "scales": scales,
    }


def _range(known: np.ndarray) -> tuple[float, float]:
    """Return the range of most of the values, with room about it."""
    low, high = (float(v) for v in np.quantile(known, [0.002, 0.998])) if len(known) else (-2.0, 2.0)
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room


def drawn(info: DataInfo, prepare: Prepare, x: Tensor, sd: Tensor | None = None) -> np.ndarray:
    """Return rows (N, 2 C T) float32 in the source's units: values (inf after a series' end), then deviations or 0."""
    values = prepare.invert(x).flatten(1)
    if sd is None:
        return torch.cat([values, torch.zeros_like(values)], 1).numpy().astype(np.float32)
    units = info.facts["sd"]
    sd = sd if units is None else sd * torch.tensor(units).unsqueeze(-1)
    return torch.cat([values, sd.flatten(1)], 1).numpy().astype(np.float32)


def decoded(info: DataInfo, prepare: Prepare, px: Distribution, like: Tensor | None = None) -> np.ndarray:
    """Return means and deviations of p(x|z) for the page; given an example `like` (1, C, T) they end where it does."""
    mean, sd = px.mean.cpu(), px.variance.sqrt().cpu()
    if like is not None:
        mean = torch.where(torch.isinf(like.cpu()), torch.inf, mean)
    return drawn(info, prepare, mean, sd)
