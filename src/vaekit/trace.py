"""The trace: what one forward pass of a latent variable model leaves behind, unreduced, in nats per example.

Objectives, bounds and metrics read traces and nothing else. Shapes: B examples, K posterior samples an example; sample
axes lead, so log p(x|z) is (K, B). A trace never looks inside x: likelihoods and networks do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.distributions.base import is_point_mass, measure_of
from vaekit.distributions.kl import closed_form_kl, kl_elements


@dataclass(frozen=True)
class Latent:
    """One latent variable: its posterior and prior, and the K samples that were drawn.

    `z` (K, B, ...) feeds the decoder. `code` (K, B, ...) is what q and p score: it differs from z where z is an
    embedding of a discrete code, say. `log_q` is kept where sampling already knows log q(code|x) (an inverse
    autoregressive flow cannot score an arbitrary code cheaply); else q is asked.
    """

    q: Distribution
    p: Distribution
    z: Tensor
    code: Tensor
    log_q: Tensor | None = None

    @cached_property
    def log_q_code(self) -> Tensor:
        """log q(code|x), (K, B); 0 for a point mass on a discrete code."""
        if self.log_q is not None:
            return self.log_q
        if is_point_mass(self.q) and measure_of(self.p) == "mass":
            return torch.zeros_like(self.log_p_code)
        return self.q.log_prob(self.code)

    @cached_property
    def log_p_code(self) -> Tensor:
        """log p(code), (K, B)."""
        return self.p.log_prob(self.code)

    @cached_property
    def kl(self) -> Tensor:
        """KL(q ‖ p): in closed form, (B,) or (K, B); else log q(code) - log p(code) at the samples, (K, B)."""
        exact = closed_form_kl(self.q, self.p) if self.log_q is None else None
        return self.log_q_code - self.log_p_code if exact is None else exact

    @cached_property
    def kl_elements(self) -> Tensor | None:
        """KL of each latent dimension, (B, *event) or (K, B, *event), where q and p factorise; else None."""
        return kl_elements(self.q, self.p) if self.log_q is None else None


@dataclass(frozen=True)
class Trace:
    """One forward pass: the data, the latents by name (top first), p(x|z), and named extras in nats an example.

    >>> from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
    >>> q = DiagonalNormalFamily(torch.zeros(4, 2), torch.zeros(4, 2))
    >>> z = q.rsample((3,))
    >>> px = DiagonalNormalFamily(z, torch.zeros_like(z))
    >>> trace = Trace(torch.zeros(4, 2), None, {"z": Latent(q, StandardNormalFamily(torch.zeros(2)), z, z)}, px)
    >>> trace.log_px.shape, trace.kl["z"].shape, trace.log_w.shape
    (torch.Size([3, 4]), torch.Size([4]), torch.Size([3, 4]))
    """

    x: Any
    y: Any
    latents: Mapping[str, Latent]
    px: Distribution
    extras: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def log_px(self) -> Tensor:
        """log p(x|z), (K, B) nats."""
        return self.px.log_prob(self.x)

    @cached_property
    def kl(self) -> dict[str, Tensor]:
        """KL(q ‖ p) of each latent, by name: (B,) where a closed form needs no samples, else (K, B)."""
        return {name: latent.kl for name, latent in self.latents.items()}

    @cached_property
    def log_w(self) -> Tensor:
        """log p(x, z) - log q(z|x) at each sample, (K, B): never with a closed-form KL inside.

        `extras["log_w"]`, where a model gives it (B,) or (K, B), is added: e.g. log p(y) - log q(y|x) of a label.
        """
        total = self.log_px
        for latent in self.latents.values():
            total = total + (latent.log_p_code - latent.log_q_code)
        return total + self.extras["log_w"] if "log_w" in self.extras else total
