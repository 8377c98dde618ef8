"""Sharpness: how much of the images' fine detail reconstructions and samples keep."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses

UNIT = "of the data's"


def detail(images: Tensor) -> Tensor:
    """Return each image's mean squared Laplacian over its inner pixels, (N, C, H, W) → (N,): 0 where it is linear.

    >>> checkers = (torch.arange(5) + torch.arange(5).unsqueeze(1)) % 2
    >>> detail(torch.stack([checkers, torch.arange(5).expand(5, 5)]).unsqueeze(1).float())
    tensor([16.,  0.])
    """
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=images.dtype, device=images.device)
    one = images.flatten(0, 1).unsqueeze(1)
    return F.conv2d(one, kernel.view(1, 1, 3, 3)).square().flatten(1).mean(1).view(images.shape[:2]).mean(1)


@metric(
    "sharpness",
    group="reconstruction",
    gives={"sharpness": ("squared Laplacian of reconstructions over that of the images: below 1 is blur", None)},
    needs=("images",),
    reference="after Pertuz, Puig & Garcia 2013, doi:10.1016/j.patcog.2012.11.011 (energy of the Laplacian)",
)
@refuses("sharpness", unit=UNIT)
def sharpness(subject: Subject) -> dict[str, Result]:
    """Sharpness of reconstructions: Σ |∇²x̂|² / Σ |∇²x|² over the test images, both on [0, 1]."""
    if min(subject.info.shape[1:]) < 3:
        return {
            "sharpness": Result(None, UNIT, 0, facts={"refused": "images of at least 3 × 3 pixels have a Laplacian"})
        }
    show, model = subject.show, subject.model
    made, own = subject.per_example(
        "sharpness", lambda x, y: torch.stack([detail(show(model.reconstruct(x, y))), detail(show(x))], 1)
    ).unbind(1)
    return {"sharpness": ratio(made, own, paired=True)}


@metric(
    "sample_sharpness",
    group="samples",
    gives={"sample_sharpness": ("squared Laplacian of samples over that of test images: below 1 is blur", None)},
    needs=("images",),
    reference="after Pertuz, Puig & Garcia 2013, doi:10.1016/j.patcog.2012.11.011 (energy of the Laplacian)",
)
@refuses("sample_sharpness", unit=UNIT)
def sample_sharpness(subject: Subject) -> dict[str, Result]:
    """Sharpness of as many samples as there are test images, means of p(x|z)."""
    if min(subject.info.shape[1:]) < 3:
        reason = "images of at least 3 × 3 pixels have a Laplacian"
        return {"sample_sharpness": Result(None, UNIT, 0, facts={"refused": reason})}
    own = subject.per_example("sample_sharpness", lambda x, _: detail(subject.show(x)))
    made = detail(subject.show(subject.samples(len(subject.x))))
    return {"sample_sharpness": ratio(made, own, paired=False)}


def ratio(made: Tensor, own: Tensor, *, paired: bool) -> Result:
    """Return mean(made) / mean(own) with its standard error to first order; paired where rows belong together.

    >>> found = ratio(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 6.0]), paired=True)
    >>> found.value, found.stderr
    (0.5, 0.0)
    """
    made, own = made.cpu().double(), own.cpu().double()
    scale = float(own.mean())
    if scale == 0.0:
        return Result(None, UNIT, 0, facts={"refused": "the images have no detail: every one is linear in its pixels"})
    found = mean_of(made / scale, UNIT)
    off, n = float(found.value or 0.0), len(made)
    if n < 2:
        return found
    if paired:
        error = float((made - off * own).std()) / scale / math.sqrt(n)
    else:
        error = math.hypot(float(made.std()), off * float(own.std())) / scale / math.sqrt(n)
    return replace(found, stderr=error, values=found.values if paired else None)
