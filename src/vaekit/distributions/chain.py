"""Vectors whose numbers are mixtures of normals one after another, each given those before it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.distributions.normal import LOG_2PI, bounded_log_scale


class CausalNet(Protocol):
    """A network whose outputs for each of D numbers depend on those before it."""

    features: int
    first: nn.Linear

    def __call__(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Vectors (N, D) and context (N, W) → (N, D, n)."""
        ...


class Chain(Family):
    """p(z) = Π_i Σ_c π_c(z_<i) N(z_i; μ_c(z_<i), σ_c(z_<i)²), with π, μ and σ from a masked network, nats/example.

    `net` gives 3 C values for each of D numbers; `context` (B, W) is what it is conditioned on, if anything. The
    density takes one pass, a draw D.

    Source: Uria et al. 2013, arXiv:1306.0186; Germain et al. 2015, arXiv:1502.03509.
    """

    has_rsample = False

    def __init__(self, net: CausalNet, context: Tensor | None = None, temperature: float = 1.0) -> None:
        self.net = net
        self.context = context
        self.temperature = temperature
        super().__init__(SCALAR if context is None else context.shape[:-1], torch.Size((net.features,)))

    def _parameters(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log π, μ and log σ, (..., D, C)."""
        context = self.context
        if context is not None:
            context = context.expand(*z.shape[:-1], context.shape[-1]).reshape(-1, context.shape[-1])
        out = self.net(z.reshape(-1, z.shape[-1]), context).view(*z.shape, -1)
        logits, loc, raw = out.unflatten(-1, (3, -1)).unbind(-2)
        return logits.log_softmax(-1), loc, bounded_log_scale(raw)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        log_pi, loc, log_scale = self._parameters(value)
        if self.temperature != 1:
            log_scale = log_scale + torch.tensor(self.temperature).log()
        t = (value.unsqueeze(-1) - loc) * (-log_scale).exp()
        return (log_pi - 0.5 * (t * t + LOG_2PI) - log_scale).logsumexp(-1).sum(-1)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw z, (*sample_shape, ..., D), one number after another."""
        with torch.no_grad():
            like = self.net.first.weight
            z = torch.zeros((*sample_shape, *self.batch_shape, *self.event_shape), dtype=like.dtype, device=like.device)
            for i in range(z.shape[-1]):
                log_pi, loc, log_scale = (part[..., i, :] for part in self._parameters(z))
                race = log_pi - torch.empty_like(log_pi).exponential_().log()
                chosen = race.argmax(-1, keepdim=True)
                noise = torch.randn(chosen.shape, dtype=z.dtype, device=z.device) * self.temperature
                z[..., i] = (loc.gather(-1, chosen) + log_scale.gather(-1, chosen).exp() * noise).squeeze(-1)
            return z

    def tempered(self, temperature: float) -> Chain:
        """Return the chain with every σ multiplied by `temperature`; the centres and π of given numbers stay."""
        return Chain(self.net, self.context, self.temperature * temperature)

    def detached(self) -> Chain:
        """Return the chain with its network held fixed."""
        context = None if self.context is None else self.context.detach()
        net: Any = deepcopy(self.net)
        return Chain(net.requires_grad_(False), context, self.temperature)
