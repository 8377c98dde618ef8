"""Reconstruction metrics: how close the decoded posterior mean is to its input."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.similarity import WINDOW, ms_ssim, smallest_for_scales, ssim, ssim_reflect, window_for


@metric(
    "mse",
    group="reconstruction",
    gives={
        "mse": ("squared error of the deterministic reconstruction in the data's units, mean over dimensions", False),
        "psnr": ("peak signal-to-noise ratio of the deterministic reconstruction, for data in [0, 1]", True),
    },
    needs=("array",),
)
def mse(subject: Subject) -> dict[str, Result]:
    """Mean squared error (that of standardised values beside it), and for data in [0, 1] the signal-to-noise ratio."""

    def error(x: Tensor, y: Tensor | None) -> Tensor:
        off = subject.model.reconstruct(x, y) - x
        return torch.stack([part.square().flatten(1).mean(1) for part in (subject.in_units(off), off)], 1)

    errors, plain = subject.per_example("mse", error).unbind(1)
    beside = {"standardised": float(plain.double().mean())} if subject.info.standardised else {}
    out = {"mse": mean_of(errors, "squared units a dimension", **beside)}
    if subject.info.kind in ("binary", "unit", "levels"):
        out["psnr"] = mean_of(-10 / math.log(10) * errors.clamp(min=1e-12).log(), "dB")
    return out


@metric(
    "ssim",
    group="reconstruction",
    gives={
        "ssim": ("structural similarity of the deterministic reconstruction, images in [0, 1]", True),
        "ssim_reflect": ("the same over every pixel, borders reflected, as torchmetrics has it", True),
    },
    needs=("images",),
    reference="Wang et al. 2004",
)
def structural(subject: Subject) -> dict[str, Result]:
    """Structural similarity between images and their deterministic reconstructions."""
    height, width = subject.info.shape[1:]
    if min(height, width) < 3:
        reason = f"structural similarity needs images of at least 3 × 3 pixels, not {height} × {width}"
        return {name: refused(reason, "of 1") for name in ("ssim", "ssim_reflect")}
    facts = {"window": window_for(height, width), "definition": "windows that fit whole, as Wang et al."}
    out = {"ssim": mean_of(_similarity(subject, "ssim", ssim), "of 1", **facts)}
    if min(height, width) <= WINDOW // 2:
        out["ssim_reflect"] = refused(f"images of {height} × {width} are too small to reflect 5 pixels", "of 1")
        return out
    facts = {"window": WINDOW, "definition": "every pixel, borders reflected, as torchmetrics"}
    return out | {"ssim_reflect": mean_of(_similarity(subject, "ssim", ssim_reflect), "of 1", **facts)}


@metric(
    "ms_ssim",
    group="reconstruction",
    gives={"ms_ssim": ("structural similarity over five scales, for images of at least 161 x 161", True)},
    needs=("images",),
    reference="Wang, Simoncelli & Bovik 2003",
    quiet=True,
)
def multiscale(subject: Subject) -> dict[str, Result]:
    """Structural similarity over five scales between images and their deterministic reconstructions."""
    (height, width), least = subject.info.shape[1:], smallest_for_scales()
    if min(height, width) < least:
        reason = f"images of {height} × {width} are too small for five scales: {least} × {least} at least"
        return {"ms_ssim": refused(reason, "of 1")}
    return {"ms_ssim": mean_of(_similarity(subject, "ms_ssim", ms_ssim), "of 1")}


def _similarity(subject: Subject, name: str, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return a similarity of each image with its reconstruction, both as shown: (N,)."""
    show, model = subject.show, subject.model
    return subject.per_example(name, lambda x, y: measure(show(x), show(model.reconstruct(x, y))))
