"""Batch normalisation over a shared batch: mean and variance are those of all processes' rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaekit.distributed.rows import all_sum

_NAMES = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_DEFAULTS = {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5}


def batch_norm(func: Any, at: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Do as `torch.nn.functional.batch_norm`, with the statistics of the whole batch where it takes them from a batch.

    x (N, C, ...) → w (x - μ) / √(σ² + ε) + b; the running variance takes the unbiased one, as torch's does.
    """
    named = _DEFAULTS | dict(zip(_NAMES, args)) | kwargs
    if not named["training"]:
        return func(*args, **kwargs)
    x: Tensor = named["input"]
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, x.shape[1], *[1] * (x.dim() - 2)]
    n = all_sum(x.new_full((), x.numel() / x.shape[1]))
    mean = all_sum(x.sum(axes)) / n
    off = x - mean.view(shape)
    variance = all_sum(off.square().sum(axes)) / n
    if named["running_mean"] is not None:
        with torch.no_grad():
            named["running_mean"].lerp_(mean.detach(), named["momentum"])
            named["running_var"].lerp_(variance.detach() * n / (n - 1), named["momentum"])
    out = off * torch.rsqrt(variance + named["eps"]).view(shape)
    out = out if named["weight"] is None else out * named["weight"].view(shape)
    return out if named["bias"] is None else out + named["bias"].view(shape)
