"""Distributions as an entropy coder needs them: of integers, with whole-number masses.

What a network gives is first rounded to a grid of integers, so that a last bit that differs between two evaluations
(another processor, another batch) is rounded away; only then are masses computed, in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.distributions.base import measure_of
from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.tasks.ans import WHOLE, BitStack, Cumulative, Ints

LOGIT_STEPS, LOGIT_MOST = 256, 15
MEAN_STEPS, LOG_SCALE_STEPS = 1 << 14, 256
LOC_STEPS = 1024
LATENT_BITS = 16


def steps(x: Tensor, per_unit: int) -> Tensor:
    """Round to a grid of `per_unit` steps a unit; float64.

    >>> steps(torch.tensor([0.3, 0.3 + 1e-9]), 4).tolist()
    [0.25, 0.25]
    """
    return torch.round(x.double() * per_unit) / per_unit


class LatentGrid:
    """2^16 bins of equal mass under N(0, 1): codes of a latent under its prior are uniform, 16 bits each.

    A bin stands for its median Φ⁻¹((i + ½) / 2^16). Townsend et al. 2019, arXiv:1901.04866, section 2.5.

    >>> grid = LatentGrid(4)
    >>> grid.medians[:8].tolist() == (-grid.medians.flip(0)[:8]).tolist()
    True
    """

    def __init__(self, bits: int = LATENT_BITS) -> None:
        self.bits = bits
        count = 1 << bits
        half = torch.special.ndtri((torch.arange(count // 2, dtype=torch.float64) + 0.5) / count)
        self.medians = torch.cat([half, -half.flip(0)])
        inner = torch.special.ndtri(torch.arange(1, count // 2, dtype=torch.float64) / count)
        infinite = torch.full((1,), torch.inf, dtype=torch.float64)
        zero = torch.zeros(1, dtype=torch.float64)
        self.edges = torch.cat([-infinite, inner, zero, -inner.flip(0), infinite])

    def cumulative(self, q: DiagonalNormalFamily, p: DiagonalNormalFamily) -> Cumulative:
        """Return F of every latent of the batch (B · D,) under q, in bins of equal mass under p."""
        loc, log_scale = standardised(q, p)
        mean, inverse = steps(loc, MEAN_STEPS).flatten(), torch.exp(-steps(log_scale, LOG_SCALE_STEPS)).flatten()

        def below(index: Ints) -> Ints:
            mass = torch.special.ndtr((self.edges[torch.from_numpy(index)] - mean) * inverse)
            return torch.round(mass * WHOLE).long().numpy()

        return below

    def values(self, index: Ints, p: DiagonalNormalFamily, shape: torch.Size) -> Tensor:
        """Return the latents (B, D) that bins stand for: μ_p + σ_p Φ⁻¹((i + ½) / 2^16)."""
        return self.medians[torch.from_numpy(index)].view(shape) * p.log_scale.double().exp() + p.loc.double()


def standardised(q: DiagonalNormalFamily, p: DiagonalNormalFamily) -> tuple[Tensor, Tensor]:
    """Return q's mean and log standard deviation in units of the prior's: those of (z - μ_p) / σ_p."""
    shift, log_unit = p.loc.double(), p.log_scale.double()
    return (q.loc.double() - shift) * torch.exp(-log_unit), (q.log_scale.double() - log_unit).expand_as(q.loc)


CHANCES = torch.sigmoid(
    torch.arange(-LOGIT_MOST * LOGIT_STEPS, LOGIT_MOST * LOGIT_STEPS + 1, dtype=torch.float64) / LOGIT_STEPS
)
"""P(x = 1) of each logit on the grid: a table, since a vectorised sigmoid may round by an element's place."""


class PixelCoder:
    """Pushes and pops the values 0 … levels - 1 of a whole batch under p(x|z), every value of positive mass."""

    def __init__(self, px: Distribution, levels: int) -> None:
        self.levels = levels
        self.shape = torch.Size([*px.batch_shape, *px.event_shape])
        self.bits = max(1, (levels - 1).bit_length())
        self.px = px
        self.cumulative: Cumulative | None = None
        self.chance: Any = None
        if isinstance(px, BernoulliFamily):
            most = LOGIT_MOST * LOGIT_STEPS
            index = torch.round(px.logits.double() * LOGIT_STEPS).clamp(-most, most).long() + most
            self.chance = CHANCES[index.flatten()].numpy()
        elif isinstance(px, DiscretisedLogisticFamily):
            self.cumulative = logistic_cumulative(px)
        else:
            self.cumulative = table_cumulative(px, levels)

    def push(self, stack: BitStack, x: Tensor) -> None:
        """Push a batch of levels (B, *event)."""
        values = x.flatten().long().numpy()
        if self.cumulative is None:
            stack.push_bits(values, self.chance)
        else:
            stack.push(values, self.bits, self.cumulative)

    def pop(self, stack: BitStack) -> Tensor:
        """Pop a batch of levels (B, *event), uint8."""
        if self.cumulative is None:
            values = stack.pop_bits(self.chance)
        else:
            values = stack.pop(self.shape.numel(), self.bits, self.cumulative)
        return torch.from_numpy(values.astype(np.uint8)).view(self.shape)


def whole_numbers(mass: Tensor, index: Tensor, levels: int) -> Ints:
    """Turn P(value < index) into whole numbers that grow by at least one a level: no level has mass zero."""
    return (torch.floor(mass * (WHOLE - levels)).long() + index.clamp(max=levels)).numpy()


def logistic_cumulative(px: DiscretisedLogisticFamily) -> Cumulative:
    """Return F of a discretised logistic in closed form: sigmoid((edge - μ) / s) between the ends."""
    top = px.levels - 1
    loc = steps(px.loc * top, LOC_STEPS).flatten()
    log_scale = steps(px.log_scale.expand_as(px.loc), LOG_SCALE_STEPS).flatten()
    inverse = torch.exp(-log_scale) / top

    def below(index: Ints) -> Ints:
        at = torch.from_numpy(index)
        mass = torch.sigmoid((at - 0.5 - loc) * inverse)
        mass = torch.where(at <= 0, 0.0, torch.where(at >= px.levels, 1.0, mass))
        return whole_numbers(mass, at, px.levels)

    return below


def table_cumulative(px: Distribution, levels: int) -> Cumulative:
    """Return F of any family with masses on the grid i / (levels - 1), from its log-masses of all levels."""
    elements = getattr(px, "log_prob_elements", None)
    if elements is None or measure_of(px) != "mass":
        raise UserError(f"compress needs a likelihood with a mass for each level, and {type(px).__name__} has none")
    shape = torch.Size([*px.batch_shape, *px.event_shape])
    size = shape.numel()
    table = torch.zeros(levels + 1, size, dtype=torch.float64)
    for i in range(levels):
        value = torch.full(shape, i / (levels - 1), dtype=torch.float64)
        table[i + 1] = torch.exp(steps(elements(value), LOGIT_STEPS * 16)).flatten()
    table = table.cumsum(0)
    table = table / table[-1]
    column = torch.arange(size)

    def below(index: Ints) -> Ints:
        at = torch.from_numpy(index)
        return whole_numbers(table[at.clamp(max=levels), column], at, levels)

    return below
