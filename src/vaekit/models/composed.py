"""Two models in a row: the second is a model of the first one's codes, and the bound goes through both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit import distributed
from vaekit.models.base import Model
from vaekit.models.vae import VAE
from vaekit.trace import Latent, Trace


@dataclass(frozen=True)
class CodeLatent(Latent):
    """The first model's code, whose "prior" is the second model: scored at the samples, never in closed form.

    u is drawn from z, so KL(q(z|x) ‖ p(z|u)) at a given u would leave out that they go together.
    """

    log_p: Tensor = field(kw_only=True)

    @cached_property
    def log_p_code(self) -> Tensor:
        """log p(z|u) at the samples, (K, B)."""
        return self.log_p

    @cached_property
    def kl(self) -> Tensor:
        """log q(z|x) - log p(z|u) at the samples, (K, B)."""
        return self.log_q_code - self.log_p

    @cached_property
    def kl_elements(self) -> Tensor | None:
        """None: there is no closed form."""
        return None


@dataclass(frozen=True)
class ComposedTrace(Trace):
    """log p(x) ≥ E[log p(x|z) - log q(z|x) + (the second model's bound on log p(z))], z ~ q(z|x).

    `inner` is the second model's trace of the K·B codes, one sample each.
    """

    inner: Trace | None = None

    def _unfolded(self, value: Tensor) -> Tensor:
        return _unfold(value, self.latents["z"].code)

    @cached_property
    def kl(self) -> dict[str, Tensor]:
        """E[log q(z|x) - log p(z|u)] by samples as "z", and the second model's own KLs, each (K, B)."""
        assert self.inner is not None
        return {"z": self.latents["z"].kl} | {
            f"second.{name}": self._unfolded(value) for name, value in self.inner.kl.items()
        }

    @cached_property
    def log_w(self) -> Tensor:
        """log p(x, z, u) - log q(z|x) - log q(u|z), (K, B)."""
        assert self.inner is not None
        return self.log_px - self.latents["z"].log_q_code + self._unfolded(self.inner.log_w)


def _unfold(value: Tensor, code: Tensor) -> Tensor:
    """Give (K·B,) or (1, K·B) the shape (K, B) of the codes."""
    return (value.mean(0) if value.dim() > 1 else value).view(code.shape[:2])


class TwoStage(Model):
    """p(u) p(z|u) p(x|z): `first` gives q(z|x) and p(x|z), `second` is a model of its codes z (its "x").

    Stage one trains `first` against its own prior (`trace_first`); stage two holds it still and trains `second` on
    samples of q(z|x) (`trace_second`). Sampling goes through both. `trace`, and so every bound, is of the hierarchy:
    first's own prior plays no part in it.

    Source: Dai & Wipf 2019, arXiv:1903.05789.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> first = VAE(DiagonalNormal(mlp(9, 3)), StandardNormal(3), Bernoulli(mlp(3, 9)))
    >>> model = TwoStage(first, VAE(DiagonalNormal(mlp(3, 3)), StandardNormal(3), Gaussian(mlp(3, 3))))
    >>> sorted(model.trace(torch.zeros(4, 9), k=5).kl), model.trace(torch.zeros(4, 9), k=5).log_w.shape
    (['second.z', 'z'], torch.Size([5, 4]))
    """

    def __init__(self, first: VAE, second: Model) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> ComposedTrace:
        """Run one forward pass through both models, with `k` samples of z and one of u for each."""
        q = self.first.encode(x)
        draw = self.first.posterior.draw(q, k, hard)
        inner = self.second.trace(draw.code.flatten(0, 1), None, 1, hard)
        log_p = _unfold(inner.log_px, draw.code)
        latents: dict[str, Latent] = {"z": CodeLatent(q, inner.px, draw.z, draw.code, draw.log_q, log_p=log_p)}
        latents |= {f"second.{name}": latent for name, latent in inner.latents.items()}
        return ComposedTrace(x, y, latents, self.first.decode(draw.z), inner=inner)

    def trace_first(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the first model alone, with its own prior."""
        return self.first.trace(x, None, k, hard)

    def trace_second(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the second model on one sample of q(z|x) an example; the first takes no gradient."""
        return self.second.trace(self._codes(x), None, k, hard)

    @torch.no_grad()
    def _codes(self, x: Any) -> Tensor:
        return self.first.posterior.draw(self.first.encode(x), 1, hard=True).code[0]

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return the first model's q(z|x)."""
        return self.first.encode(x)

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the mean of q(z|x), (B, ...)."""
        return self.first.posterior_mean(x)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return the first model's p(x|z)."""
        return self.first.decode(z)

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the first model's reconstruction."""
        return self.first.reconstruct(x, None, sample)

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` codes z: u from the second model's prior, then z from p(z|u), (n, ...)."""
        return self.second.sample(n, y, temperature, draw=True)

    def start_from(self, mean: Tensor) -> None:
        """Start the first model's predictions at the training data's mean."""
        self.first.start_from(mean)

    def parameter_roles(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        """Yield both models' parameters with the roles they have there."""
        for name, model in (("first", self.first), ("second", self.second)):
            for role, own, parameter in model.parameter_roles():
                yield role, f"{name}.{own}", parameter

    def watch(self) -> Mapping[str, Tensor]:
        """Both models' scalars."""
        return {**self.first.watch(), **{f"second.{name}": value for name, value in self.second.watch().items()}}


class Stacked(TwoStage):
    """M1 + M2: the second model is a `SemiSupervised` of the first one's codes, and labels go to it alone.

    Source: Kingma et al. 2014, arXiv:1406.5298, §3.
    """

    gives_label = True

    def trace_first(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the first model on the examples whose label is hidden, if any: the shown are among them already."""
        if y is not None and distributed.any_of((y < 0).any()):
            distributed.narrow(y < 0)
            x = x[y < 0]
        return self.first.trace(x, None, k, hard)

    def trace_second(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the second model on one sample of q(z|x) an example, with the labels that are shown."""
        return self.second.trace(self._codes(x), y, k, hard)

    def class_log_probs(self, x: Any) -> Tensor:
        """Return log q(y|z) at the mean of q(z|x), (B, C)."""
        return self.second.class_log_probs(self.first.posterior_mean(x))

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> ComposedTrace:
        """Run one forward pass through both models, the label being summed over."""
        return replace(super().trace(x, None, k, hard), y=y)
