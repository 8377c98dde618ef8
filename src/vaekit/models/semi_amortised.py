"""The semi-amortised model: the encoder's answer is a start, and a few gradient steps refine it for each example."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, Posterior, Prior, apply_net
from vaekit.distributions.kl import closed_form_kl
from vaekit.errors import UserError
from vaekit.models.vae import VAE

CLIP = 10.0
"""Longest gradient, nats a unit, that a step follows; longer ones are shortened, example by example."""


class SemiAmortisedVAE(VAE):
    """λ₀ = f_φ(x), λ_{i+1} = λ_i + r_i ∇_λ ELBO(x; λ_i), and q(z|x) = q(z; λ_k), while training and afterwards.

    Training differentiates through the steps, into the encoder, the decoder and the rates r_i, which are learned.
    The ELBO within a step is of `points` reparameterised samples, fresh ones in training; in evaluation they are fixed
    and the same for every example, so that encoding stays deterministic. What is reported uses samples of its own.
    `encode` enables gradients for itself: it works under `torch.no_grad()`.

    Source: Kim et al. 2018, arXiv:1802.02550.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> q, p = DiagonalNormal(mlp(784, 8)), StandardNormal(8)
    >>> model = SemiAmortisedVAE(q, p, Bernoulli(mlp(8, 784)), steps=2)
    >>> with torch.no_grad():
    ...     model.encode(torch.zeros(3, 784)).mean.shape
    torch.Size([3, 8])
    """

    no_program: ClassVar = {"encoder": "it refines each code by gradient steps; use the run from Python"}

    def __init__(
        self,
        posterior: Posterior,
        prior: Prior,
        likelihood: Likelihood,
        steps: int = 5,
        rate: float = 0.05,
        points: int = 4,
    ) -> None:
        super().__init__(posterior, prior, likelihood)
        self.rates = nn.Parameter(torch.full((steps,), rate).log())
        self.points = points

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return the refined q(z|x), batch shape (B,)."""
        net = self.posterior.net
        if net is None:
            raise UserError("semi-amortised inference needs a posterior with a network of its own")
        outer = torch.is_grad_enabled()
        start = apply_net(net, x, *((y,) if self.posterior.takes_label else ()))
        with torch.enable_grad():
            params = start if outer and start.requires_grad else start.detach().requires_grad_()
            for rate in self.rates:
                (slope,) = torch.autograd.grad(self._elbo(params, x, y).sum(), params, create_graph=outer)
                length = slope.flatten(1).norm(dim=1).clamp(min=1e-12)
                short = (CLIP / length).clamp(max=1.0).view(-1, *[1] * (slope.dim() - 1))
                params = params + rate.exp() * short * slope
                params = params if outer else params.detach().requires_grad_()
        return self.posterior.family(params if outer else params.detach())

    def _elbo(self, params: Tensor, x: Any, y: Tensor | None) -> Tensor:
        """Return the ELBO of q(z; params), (B,) nats."""
        q: Any = self.posterior.family(params)
        if not hasattr(q, "at"):
            raise UserError(
                f"semi-amortised inference needs samples that move with q's parameters, and {type(q).__name__} has "
                "none for a fixed noise; use model.posterior=diagonal-normal, full-normal or flow"
            )
        z = q.at(self._noise(params, torch.Size(q.event_shape)))
        log_px = self.decode(z, y).log_prob(x).mean(0)
        p = self.prior_of(y)
        exact = closed_form_kl(q, p)
        return log_px - ((q.log_prob(z) - p.log_prob(z)).mean(0) if exact is None else exact)

    def _noise(self, like: Tensor, shape: torch.Size) -> Tensor:
        if self.training:
            return torch.randn(self.points, len(like), *shape, dtype=like.dtype, device=like.device)
        half = torch.randn(-(-self.points // 2), 1, *shape, generator=torch.Generator().manual_seed(0))
        return torch.cat([half, -half])[: self.points].to(like)
