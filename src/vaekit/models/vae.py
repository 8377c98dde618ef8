"""The flat model: one latent, any posterior, prior and likelihood."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, OwnLikelihood, OwnPosterior, OwnPrior, Posterior, Prior
from vaekit.distributions.base import tempered
from vaekit.distributions.flow import Flow
from vaekit.errors import UserError
from vaekit.models.base import Model, ended, point, shown
from vaekit.nets.base import size
from vaekit.nets.own import Own
from vaekit.trace import CoupledTrace, Latent, Trace


class VAE(Model):
    """p(x, z) = p(z) p(x|z), with q(z|x). A part with a label in its context makes the model conditional on y.

    A part may also be any module that returns a torch distribution: posterior(x), likelihood(z), prior().

    Source: Kingma & Welling 2014, arXiv:1312.6114; conditional: Sohn et al. 2015.

    >>> import torch
    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> model = VAE(
    ...     posterior=DiagonalNormal(mlp(784, 20)), prior=StandardNormal(20), likelihood=Bernoulli(mlp(20, 784))
    ... )
    >>> model.trace(torch.zeros(8, 784), k=5).log_w.shape
    torch.Size([5, 8])
    >>> model.sample(4).shape
    torch.Size([4, 784])
    """

    bf16_measured = ("mlp", "conv")

    def __init__(
        self, posterior: Posterior | nn.Module, prior: Prior | nn.Module, likelihood: Likelihood | nn.Module
    ) -> None:
        super().__init__()
        posterior, prior, likelihood = together(posterior, prior, likelihood)
        if posterior.space != prior.space:
            raise UserError(
                f"the posterior {type(posterior).__name__} has {posterior.space} and the prior {type(prior).__name__} "
                f"{prior.space}, so KL(q ‖ p) is infinite; choose a prior on {posterior.space}"
            )
        self.posterior = posterior
        self.prior = prior
        self.likelihood = likelihood
        self.takes_label = any(part.takes_label for part in (posterior, prior, likelihood))
        self._met_data = False

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples an example."""
        return self._traced(None, x, y, k, hard)

    def trace_plain(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace with the base of a flow prior, a standard normal, in its place."""
        return self._traced(cast(Flow, self.prior_of(y)).base, x, y, k, hard)

    def trace_codes(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the prior as a model of the codes: its x are samples of q(z|x), which take no gradient."""
        with torch.no_grad():
            codes = self.posterior.draw(self.encode(x, y), 1, hard=True).code[0]
        return Trace(codes, y, {}, self.prior_of(y))

    def trace_coupled(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = True) -> CoupledTrace:
        """Trace hard codes beside the relaxed ones that are coupled to them; the decoder is called for all three."""
        q = self.encode(x, y)
        z, *relaxed = self.posterior.coupled(q, k)
        soft, given = [(one, self.decode(one, y)) for one in relaxed]
        latents = {"z": Latent(q, self.prior_of(y), z, z)}
        return CoupledTrace(x, y, latents, self.decode(z, y), soft=soft, given=given)

    def _traced(self, prior: Distribution | None, x: Any, y: Tensor | None, k: int, hard: bool) -> Trace:
        """Trace with `prior` in place of the model's own, if there is one."""
        q = self.encode(x, y)
        draw = self.posterior.draw(q, k, hard)
        p = self.prior_of(y) if prior is None else prior
        latent = Latent(q if draw.q is None else draw.q, p, draw.z, draw.code, draw.log_q, draw.start)
        px = self.decode(draw.z, y)
        if not self._met_data:
            self._meet(px, x)
        return Trace(x, y, {"z": latent}, px, costs=draw.costs)

    def _meet(self, px: Distribution, x: Any) -> None:
        """Check once that p(x|z) is of examples as they are: shapes that broadcast would give a wrong number."""
        if isinstance(x, Tensor) and x.dtype.is_floating_point and tuple(px.event_shape) != tuple(x.shape[1:]):
            raise UserError(
                f"p(x|z) is of examples of shape {tuple(px.event_shape)}, and the data's are of {tuple(x.shape[1:])}; "
                "have the decoder give that shape, or flatten the data"
            )
        self._met_data = True

    def prior_of(self, y: Tensor | None = None) -> Distribution:
        """Return p(z), or p(z|y) where the prior is conditional."""
        return self.prior(*self._label(self.prior, y))

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(z|x), batch shape (B,)."""
        return self.posterior(x, *self._label(self.posterior, y))

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the mean of q(z|x) as the decoder takes it, (B, ...)."""
        return self.posterior.mean(self.encode(x, y))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return p(x|z)."""
        return self.likelihood(z, *self._label(self.likelihood, y))

    def log_joint(self, x: Any, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x, z) for z (K, B, ...) of a continuous latent, (K, B) nats."""
        return self.decode(z, y).log_prob(x) + self.prior_of(y).log_prob(z)

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the `point` of p(x|z), its mean, at the posterior mean, or at a posterior sample if `sample`."""
        q = self.encode(x, y)
        z = self.posterior.draw(q, 1, hard=True).z[0] if sample else self.posterior.mean(q)
        px = self.decode(z, y)
        return ended(px, point(px), x)

    def sample(self, n: int, y: Tensor | None = None, temperature: float = 1.0, draw: bool = False) -> Tensor:
        """Return `n` samples: z from the prior, then the mean of p(x|z), or a draw from it if `draw`.

        A p(x|z) whose mean is no expectation (an autoregressive one) is drawn from.
        """
        return shown(self.decode(self.sample_latent(n, y, temperature), y), draw)

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` latents from the prior, (n, ...)."""
        p = tempered(self.prior_of(y), temperature)
        return self.prior_to_latent(p.sample() if p.batch_shape else p.sample((n,)))

    def prior_to_latent(self, code: Tensor) -> Tensor:
        """Turn a code drawn from the prior into the decoder's input: the posterior knows the embedding, if any."""
        return self.posterior.embed(code)

    @property
    def examples_wanted(self) -> int:
        """As many as the prior has pseudo-inputs."""
        return self.prior.examples_wanted

    def start_from_examples(self, x: Any) -> None:
        """Start the prior's pseudo-inputs at training examples."""
        self.prior.start_from_examples(x)

    def _label(self, part: Posterior | Prior | Likelihood, y: Tensor | None) -> tuple[Tensor, ...]:
        if not (self.takes_label and part.takes_label):
            return ()
        if y is None:
            raise ValueError("this model is conditioned on a label: pass y")
        return (y,)


def together(posterior: Any, prior: Any, likelihood: Any) -> tuple[Posterior, Prior, Likelihood]:
    """Return the three parts, modules that return distributions among them, their latents being of one shape."""
    prior = prior if isinstance(prior, Prior) else OwnPrior(prior)
    latent = latent_of(prior)
    if isinstance(posterior, Posterior) and type(posterior).embed is not Posterior.embed:
        latent = ()  # the prior is of codes, which the posterior turns into what the decoder takes
    if not isinstance(posterior, Posterior):
        posterior = OwnPosterior(posterior, latent)
    elif latent and posterior.net is not None:
        if isinstance(posterior.net, Own):
            posterior.net.expect(latent)
        if tuple(posterior.latent_shape) != latent:
            raise UserError(
                f"the posterior has latents of shape {tuple(posterior.latent_shape)} and the prior {latent}; "
                "give them one shape"
            )
    if not isinstance(likelihood, Likelihood):
        likelihood = OwnLikelihood(likelihood, latent)
    net = likelihood.net
    if net is not None and net.in_shape is not None and latent and size(net.in_shape) != size(latent):
        raise UserError(f"the decoder takes latents of shape {net.in_shape} and the prior's are {latent}")
    return posterior, prior, likelihood


@torch.no_grad()
def latent_of(prior: Prior) -> tuple[int, ...]:
    """Return the shape of one latent as the prior has it, () where codes and what the decoder takes differ."""
    if prior.shares_posterior or prior.space != Prior.space:
        return ()
    return tuple(prior.net.out_shape if prior.net is not None else prior().event_shape)
