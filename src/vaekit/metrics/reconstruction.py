"""Reconstruction metrics: how near the decoded posterior mean comes to its input."""

from __future__ import annotations

import math

import torch

from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.similarity import ms_ssim, smallest_for_scales, ssim, window_for


@metric(
    "mse",
    group="reconstruction",
    gives={
        "mse": ("squared error of the deterministic reconstruction, mean over dimensions", False),
        "psnr": ("peak signal-to-noise ratio of the deterministic reconstruction, for data in [0, 1]", True),
    },
)
@torch.no_grad()
def mse(subject: Subject) -> dict[str, Result]:
    """Mean squared error, and for data in [0, 1] the peak signal-to-noise ratio."""
    errors = torch.cat(
        [
            (subject.model.reconstruct(x, subject.label(y)) - x).square().flatten(1).mean(1)
            for x, y in subject.batches("mse")
        ]
    )
    out = {"mse": mean_of(errors, "squared units a dimension")}
    if subject.info.kind in ("binary", "unit", "levels"):
        out["psnr"] = mean_of(-10 / math.log(10) * errors.clamp(min=1e-12).log(), "dB")
    return out


@metric(
    "ssim",
    group="reconstruction",
    gives={
        "ssim": ("structural similarity of the deterministic reconstruction, images in [0, 1]", True),
        "ms_ssim": ("structural similarity over five scales, for images of at least 161 x 161", True),
    },
    needs=("images",),
    reference="Wang et al. 2004; Wang, Simoncelli & Bovik 2003",
)
@torch.no_grad()
def structural(subject: Subject) -> dict[str, Result]:
    """Structural similarity between images and their deterministic reconstructions, and over several scales."""
    height, width = subject.info.shape[1:]
    large = min(height, width) >= smallest_for_scales()
    if min(height, width) < 3:
        reason = f"structural similarity needs images of at least 3 × 3 pixels, not {height} × {width}"
        return {"ssim": refused(reason, "of 1")}
    plain: list[torch.Tensor] = []
    scales: list[torch.Tensor] = []
    for x, y in subject.batches("ssim"):
        a, b = subject.show(x), subject.show(subject.model.reconstruct(x, subject.label(y)))
        plain.append(ssim(a, b))
        if large:
            scales.append(ms_ssim(a, b))
    out = {"ssim": mean_of(torch.cat(plain), "of 1", window=window_for(height, width))}
    least = smallest_for_scales()
    out["ms_ssim"] = (
        mean_of(torch.cat(scales), "of 1")
        if large
        else refused(f"images of {height} × {width} are too small for five scales: {least} × {least} at least", "of 1")
    )
    return out
