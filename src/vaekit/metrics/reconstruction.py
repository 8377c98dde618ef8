"""Reconstruction metrics: how near the decoded posterior mean comes to its input."""

from __future__ import annotations

import math

import torch

from vaekit.metrics.base import Result, Subject, mean_of, metric


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
