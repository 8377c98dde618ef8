"""A VAE whose latent also predicts a number of each example."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vaekit.conditional import Likelihood, Posterior, Prior
from vaekit.models.vae import VAE
from vaekit.trace import PredictiveTrace, extended


class PredictiveVAE(VAE):
    """p(z) p(x|z) p(t|z): `target` is p(t|z), t being the labels y (B, F) of training, real numbers.

    Traces are `PredictiveTrace`: given labels, `log_pt` is log p(t|z), (K, B) nats. Every bound stays that of log p(x).

    Source: Gómez-Bombarelli et al. 2018, arXiv:1610.02415, §2.3.
    """

    def __init__(self, posterior: Posterior, prior: Prior, likelihood: Likelihood, target: Likelihood) -> None:
        super().__init__(posterior, prior, likelihood)
        self.target = target

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> PredictiveTrace:
        """Run one forward pass with `k` posterior samples an example."""
        trace = super().trace(x, None, k, hard)
        log_pt = None if y is None else self.target(trace.latents["z"].z).log_prob(y)
        return extended(trace, PredictiveTrace, y=y, log_pt=log_pt)

    def predict(self, z: Tensor) -> Tensor:
        """Return the mean of p(t|z), (..., F), for z (..., D)."""
        return self.target(z).mean
