"""Posterior samples that depend on the example alone, not on its batch, its row, or what was drawn before; weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit import bounds
from vaekit.devices import device_of, seeded
from vaekit.distributions.experts import ProductOfExperts
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.models.base import Model
from vaekit.trace import Latent, Trace

ROWS = 4096
"""Decoder rows (examples times samples) at once."""
NUMBERS = 1 << 25
"""Decoded numbers at once: of large examples there are fewer rows."""


def shared_noise(k: int, q: DiagonalNormalFamily, seed: int) -> Tensor:
    """Return k standard normal draws, the same for every example of the batch: (k, 1, ...)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(k, 1, *q.loc.shape[1:], generator=generator, dtype=torch.float64).to(q.loc)


def reparameterised(q: DiagonalNormalFamily, k: int, seed: int) -> Tensor:
    """Return k samples of each example's posterior from shared noise, (k, B, ...).

    >>> q = DiagonalNormalFamily(torch.zeros(3, 2), torch.zeros(3, 2))
    >>> z = reparameterised(q, 4, 0)
    >>> z.shape, bool((z[:, 0] == z[:, 2]).all())
    (torch.Size([4, 3, 2]), True)
    """
    return q.loc + shared_noise(k, q, seed) * q.log_scale.exp()


def proposal_weight(q: Distribution, p: Distribution, z: Tensor, share: float) -> Tensor:
    """Return log-weights (K, B) of proposals z (K, B, ...), of which a share s is from q and the rest from the prior.

        log w = log p(z) - log(s q(z) + (1 - s) p(z)) ≤ -log(1 - s),

    however far q is from p(z|x): the balance heuristic (Veach & Guibas 1995, doi:10.1145/218380.218498).

    >>> p, q = DiagonalNormalFamily(torch.zeros(1), torch.zeros(1)), DiagonalNormalFamily(torch.ones(1), torch.zeros(1))
    >>> proposal_weight(q, p, torch.tensor([[[0.5]], [[-9.0]]]), 0.5).exp().T
    tensor([[1.0000, 1.9998]])
    """
    log_p, log_q = p.log_prob(z), q.log_prob(z)
    if share == 1:
        return log_p - log_q
    return log_p - torch.logaddexp(log_q + math.log(share), log_p + math.log1p(-share))


def one_normal(trace: Trace) -> bool:
    """Whether there is one latent with a diagonal normal posterior, whose noise can be shared."""
    return [type(latent.q) in (DiagonalNormalFamily, ProductOfExperts) for latent in trace.latents.values()] == [True]


def traces(model: Model, x: Tensor, y: Tensor | None, k: int, seed: int) -> Iterator[Trace]:
    """Yield traces with k samples an example, which together cover x in order.

    Other posteriors than the diagonal normal are sampled an example at a time, from the same seed each.
    Raises NotALikelihood where the model bounds nothing.
    """
    first = model.trace(x[:1], None if y is None else y[:1], hard=True)
    bounds.require(first)
    shared = one_normal(first)
    rows = min(ROWS, NUMBERS // max(1, x[0].numel())) if isinstance(x, Tensor) else ROWS
    width = max(1, rows // k) if shared else 1
    for start in range(0, len(x), width):
        xs, ys = x[start : start + width], None if y is None else y[start : start + width]
        trace = _shared(model, xs, ys, k, seed) if shared else _seeded(model, xs, ys, k, seed)
        bounds.require(trace)
        yield trace


def _shared(model: Model, x: Tensor, y: Tensor | None, k: int, seed: int) -> Trace:
    plain = _seeded(model, x, y, 1, seed)  # asked for its posterior and prior; its own sample is not used
    name, latent = next(iter(plain.latents.items()))
    assert isinstance(latent.q, DiagonalNormalFamily)
    z = reparameterised(latent.q, k, seed)
    return replace(plain, latents={name: Latent(latent.q, latent.p, z, z)}, px=model.decode(z, y))


def _seeded(model: Model, x: Tensor, y: Tensor | None, k: int, seed: int) -> Trace:
    with seeded(seed, device_of(model)):
        return model.trace(x, y, k=k, hard=True)
