"""Structural similarity of images, plain and over several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.errors import UserError

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of five scales, from finest to coarsest (Wang et al. 2003)."""


def _blur(x: Tensor, window: Tensor) -> Tensor:
    """Filter (B, C, H, W) by a separable window, where it fits whole."""
    channels, side = x.shape[1], len(window)
    row = window.view(1, 1, 1, side).expand(channels, 1, 1, side)
    column = window.view(1, 1, side, 1).expand(channels, 1, side, 1)
    return F.conv2d(F.conv2d(x, row, groups=channels), column, groups=channels)


def _parts(a: Tensor, b: Tensor, side: int, span: float) -> tuple[Tensor, Tensor]:
    """Return the similarity and its contrast-structure part, each averaged over channels and places: (B,)."""
    at = torch.arange(side, dtype=a.dtype, device=a.device) - (side - 1) / 2
    window = torch.softmax(-0.5 * (at / SIGMA).square(), 0)
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    mean_a, mean_b = _blur(a, window), _blur(b, window)
    var_a = (_blur(a * a, window) - mean_a.square()).clamp(min=0)
    var_b = (_blur(b * b, window) - mean_b.square()).clamp(min=0)
    covariance = _blur(a * b, window) - mean_a * mean_b
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    similarity = structure * (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return similarity.flatten(1).mean(1), structure.flatten(1).mean(1)


def window_for(height: int, width: int) -> int:
    """Return the side of the window: 11, or the largest odd number of pixels that fits.

    >>> window_for(64, 64), window_for(8, 8)
    (11, 7)
    """
    side = min(WINDOW, height, width)
    return side if side % 2 else side - 1


def ssim(a: Tensor, b: Tensor, span: float = 1.0) -> Tensor:
    """Structural similarity of images (B, C, H, W) that range over `span`: (B,), 1 where equal.

    The mean over places of (2 μ_a μ_b + c₁)(2 σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)), local moments by a
    Gaussian window of 11 × 11 pixels and σ 1.5 wherever it fits whole (smaller pictures: the largest odd window that
    fits), c = (0.01 span)² and (0.03 span)². Source: Wang et al. 2004, IEEE Trans. Image Process. 13(4), whose own code
    takes the window where it fits, as here; `ssim_reflect` is torchmetrics'.

    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim(x, x)
    tensor([1., 1.])
    """
    _check(a, b)
    return _parts(a, b, window_for(*a.shape[2:]), span)[0]


def ssim_reflect(a: Tensor, b: Tensor, span: float = 1.0) -> Tensor:
    """Structural similarity averaged over every pixel, (B,): the images are reflected at their borders for the window.

    It is what torchmetrics gives, and differs from `ssim` where images are small or their borders are alike: empty ones
    count. For images (B, C, H, W) of at least 6 × 6 pixels, what five reflected ones need.

    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim_reflect(x, x)
    tensor([1., 1.])
    """
    _check(a, b)
    pad = WINDOW // 2
    if min(a.shape[2:]) <= pad:
        raise UserError(f"SSIM with reflected borders needs at least {pad + 1} × {pad + 1} pixels; use SSIM")
    a, b = (F.pad(x, (pad, pad, pad, pad), mode="reflect") for x in (a, b))
    return _parts(a, b, WINDOW, span)[0]


def smallest_for_scales(scales: int = len(WEIGHTS)) -> int:
    """Return the shortest side that four halvings leave room for the window in: 161."""
    return (WINDOW - 1) * 2 ** (scales - 1) + 1


def ms_ssim(a: Tensor, b: Tensor, span: float = 1.0, weights: Sequence[float] = WEIGHTS) -> Tensor:
    """Structural similarity over five scales of images (B, C, H, W): (B,).

    ssim_5^w₅ Π_(i<5) cs_i^w_i, cs being contrast and structure without the means, each scale a 2 × 2 average of the one
    before (of an odd side, the last row or column by itself); negative parts count as 0.
    Source: Wang, Simoncelli & Bovik 2003, "Multiscale structural similarity".

    Raises:
        UserError: a side is shorter than 161 pixels, so that the window would not fit in the coarsest scale.
    """
    _check(a, b)
    least = smallest_for_scales(len(weights))
    if min(a.shape[2:]) < least:
        raise UserError(
            f"MS-SSIM needs images of at least {least} × {least} pixels, not {a.shape[2]} × {a.shape[3]}; use SSIM"
        )
    out = torch.ones(len(a), dtype=a.dtype, device=a.device)
    for i, weight in enumerate(weights):
        whole, structure = _parts(a, b, WINDOW, span)
        last = i == len(weights) - 1
        out = out * (whole if last else structure).clamp(min=0) ** weight
        if not last:
            a, b = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (a, b))
    return out


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dim() != 4:
        raise UserError(f"compare two batches of images (B, C, H, W), not {tuple(a.shape)} with {tuple(b.shape)}")
    if min(a.shape[2:]) < 3:
        raise UserError(f"structural similarity needs images of at least 3 × 3 pixels, not {a.shape[2]} × {a.shape[3]}")
