"""Interpolation between latents: linear and spherical."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["linear", "spherical"]


def interpolate(start: Tensor, stop: Tensor, steps: int = 8, kind: Kind = "linear") -> Tensor:
    """Return `steps` latents from `start` to `stop`, ends included: (steps, ..., D) for ends (..., D).

    Linear: (1 - t) a + t b. Spherical (Shoemake 1985; White 2016, arXiv:1609.04468): the direction turns at a constant
    rate while the length goes linearly, so that paths between Gaussian samples stay at typical lengths.

    >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3, "spherical")[1]
    tensor([0.7071, 0.7071])
    """
    t = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device).view(-1, *[1] * start.dim())
    if kind == "linear":
        return torch.lerp(start.unsqueeze(0), stop.unsqueeze(0), t)
    length_a, length_b = start.norm(dim=-1, keepdim=True), stop.norm(dim=-1, keepdim=True)
    a, b = start / length_a.clamp(min=1e-12), stop / length_b.clamp(min=1e-12)
    angle = torch.arccos((a * b).sum(-1, keepdim=True).clamp(-1, 1))
    sine = torch.sin(angle)
    # Ends that (nearly) share or oppose a direction have no single arc between them: go straight.
    straight = sine.abs() < 1e-4
    safe = torch.where(straight, torch.ones_like(sine), sine)
    arc = torch.sin((1 - t) * angle) / safe * a + torch.sin(t * angle) / safe * b
    bent = arc * torch.lerp(length_a, length_b, t)
    return torch.where(straight, torch.lerp(start.unsqueeze(0), stop.unsqueeze(0), t), bent)


def path(stops: Tensor, steps: int = 8, kind: Kind = "linear") -> Tensor:
    """Return the way through several stops (S, D), `steps` latents a leg: ((S - 1) (steps - 1) + 1, D).

    >>> path(torch.tensor([[0.0], [1.0], [0.0]]), 3).flatten().tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    legs = [interpolate(a, b, steps, kind)[:-1] for a, b in pairwise(stops)]
    return torch.cat([*legs, stops[-1:]])
