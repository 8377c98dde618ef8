"""Exact log p(x) of models that are linear and Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal

from vaekit import bounds
from vaekit.devices import device_of
from vaekit.distributions.base import name_of
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import NotALikelihood
from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses
from vaekit.metrics.likelihood import NATS
from vaekit.models.base import Model

PROBES = 64


@torch.no_grad()
def linear_gaussian(model: Model) -> LowRankMultivariateNormal:
    """Return p(x) = N(b + W m, W diag(s²) Wᵀ + diag(σ²)) in float64 on the CPU, from evaluations of the model's parts.

    The prior must be a diagonal normal, and p(x|z) normal with a mean affine in z and a σ that does not depend on z.
    Both are evaluated at z = 0 and the unit vectors, and checked at 64 random z of scales from 0.1 to 10.

    Raises:
        NotALikelihood: one of these does not hold; the reason says which.
    """
    if not (model.offers(Model.decode) and model.offers(Model.prior_of)):
        raise NotALikelihood("an exact value needs a model with one latent variable")
    if model.takes_label:
        raise NotALikelihood("the model is conditional on a label, and exact log p(x|y) is not supported")
    p = model.prior_of()
    if not isinstance(p, DiagonalNormalFamily) or p.batch_shape or len(p.event_shape) != 1:
        raise NotALikelihood(f"the prior is not a diagonal normal but {name_of(p)}")
    size = p.event_shape[0]
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(PROBES, size, generator=generator) * torch.logspace(-1, 1, PROBES).unsqueeze(1)
    z = torch.cat([torch.zeros(1, size), torch.eye(size), probe]).to(p.loc)
    px = model.decode(z)
    if not isinstance(px, DiagonalNormalFamily):
        raise NotALikelihood(f"p(x|z) is not normal but {name_of(px)}")
    z, loc, sigma = z.cpu().double(), px.loc.flatten(1).cpu().double(), px.scale.flatten(1).cpu().double()
    if not torch.allclose(sigma, sigma[:1].expand_as(sigma), rtol=1e-4):
        raise NotALikelihood("the σ of p(x|z) depends on z")
    bias, weight = loc[0], (loc[1 : size + 1] - loc[0]).T
    affine = bias + z[size + 1 :] @ weight.T
    if not torch.allclose(loc[size + 1 :], affine, rtol=1e-3, atol=1e-4 * float(1 + affine.abs().mean())):
        raise NotALikelihood("the decoder is not linear in z")
    mean, scale = p.loc.cpu().double(), p.scale.cpu().double()
    return LowRankMultivariateNormal(bias + weight @ mean, weight * scale, sigma[0].square())


def exact_log_likelihood(model: Model, x: Tensor) -> Tensor:
    """Return log p(x) = log N(x; b + W m, W diag(s²) Wᵀ + diag(σ²)) exactly, (B,) nats, float64.

    Of standardised x it is the density of the values before, as p(x|z) scores them.

    Source: Tipping & Bishop 1999, J. R. Stat. Soc. B 61 (probabilistic principal components).

    Raises:
        NotALikelihood: the model is not linear and Gaussian.

    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.models.vae import VAE
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> model = VAE(DiagonalNormal(mlp(3, 1, ())), StandardNormal(1), Gaussian(mlp(1, 3, ()), scale=0.5)).eval()
    >>> exact_log_likelihood(model, torch.zeros(2, 3)).shape
    torch.Size([2])
    """
    marginal = linear_gaussian(model)
    with torch.no_grad():
        trace = model.trace(x[:2].to(device_of(model)), hard=True)
        bounds.require(trace)
    unit = getattr(trace.px, "unit", None)
    return marginal.log_prob(x.cpu().flatten(1).double()) - (0.0 if unit is None else float(unit.total))


@metric(
    "exact_log_px",
    group="likelihood",
    gives={"exact_log_px": ("log p(x) itself, where the model is linear and Gaussian", True)},
    reference="Tipping & Bishop 1999",
    quiet=True,
)
@refuses("exact_log_px", unit=NATS)
def exact_log_px(subject: Subject) -> dict[str, Result]:
    """Exact log p(x), for models with a normal prior and a linear decoder with normal noise."""
    return {"exact_log_px": mean_of(exact_log_likelihood(subject.model, subject.x), NATS, measure="density")}
