"""The one latent variable model whose log p(x) is known exactly, made of vaekit's own parts: x = W z + μ + σ ε.

log p(x) = log N(x; μ, W Wᵀ + σ² I), and p(z|x) = N(M⁻¹ Wᵀ (x - μ) / σ², M⁻¹) with M = I + Wᵀ W / σ².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import FullNormal
from vaekit.priors.normal import StandardNormal


@dataclass
class LinearGaussian:
    """The model, and what is known of it; everything in the model's dtype."""

    model: VAE
    weight: Tensor
    mean: Tensor
    sigma: Tensor

    @staticmethod
    def make(
        features: int = 5, latent: int = 2, sigma: float = 0.5, *, off: float = 0.0, dtype: torch.dtype = torch.float64
    ) -> LinearGaussian:
        """Return a model with the exact posterior; `off` moves the posterior's mean and log-scales away from it."""
        encoder, decoder = mlp(features, latent, ()), mlp(latent, features, ())
        model = VAE(FullNormal(encoder), StandardNormal(latent), Gaussian(decoder, scale=sigma)).to(dtype)
        noise = torch.Generator().manual_seed(1)
        weight = torch.randn(features, latent, generator=noise).to(dtype)
        mean = torch.randn(features, generator=noise).to(dtype)
        toy = LinearGaussian(
            model, weight, mean, model.decode(torch.zeros(1, latent, dtype=dtype)).stddev[0, 0].detach()
        )
        toy._fill(off)
        return toy

    @torch.no_grad()
    def _fill(self, off: float) -> None:
        parts: Any = self.model
        decode, encode = parts.likelihood.net.head, parts.posterior.net.head
        decode.weight.copy_(self.weight)
        decode.bias.copy_(self.mean)
        latent = self.weight.shape[1]
        tril = torch.linalg.cholesky(self.posterior_covariance())
        gain = self.posterior_covariance() @ self.weight.T / self.sigma**2
        log_diagonal = tril.diagonal().log() + off
        rows = tril.tril(-1) / tril.diagonal()[:, None]
        encode.weight.zero_()
        encode.weight[:latent] = gain
        # The posterior bounds what it is given by 7 tanh(·/7); this undoes that.
        undo = 7 * torch.atanh(torch.cat([log_diagonal[None], rows]) / 7)
        encode.bias.copy_(torch.cat([-(gain @ self.mean) + off, undo.flatten()]))

    def posterior_covariance(self) -> Tensor:
        """Return M⁻¹."""
        eye = torch.eye(self.weight.shape[1], dtype=self.weight.dtype)
        return torch.linalg.inv(eye + self.weight.T @ self.weight / self.sigma**2)

    def marginal(self) -> MultivariateNormal:
        """Return p(x)."""
        eye = torch.eye(len(self.mean), dtype=self.mean.dtype)
        return MultivariateNormal(self.mean, self.weight @ self.weight.T + self.sigma**2 * eye)

    def gap(self, x: Tensor) -> Tensor:
        """Return KL(q(z|x) ‖ p(z|x)) = log p(x) - ELBO(x), by torch's formula."""
        q: Any = self.model.encode(x)
        cov = self.posterior_covariance()
        p = MultivariateNormal((x - self.mean) @ (cov @ self.weight.T / self.sigma**2).T, cov)
        return torch.distributions.kl_divergence(MultivariateNormal(q.mean, scale_tril=q.scale_tril), p)

    def sample(self, n: int) -> Tensor:
        """Draw data from the model's own p(x)."""
        return self.marginal().sample((n,))
