"""What each number of an example adds to its anomaly score: which column, which pixel is strange."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.nn.functional import pad

from vaekit import bounds
from vaekit.distributions.base import name_of
from vaekit.errors import UserError
from vaekit.inference import batched
from vaekit.tasks.anomaly import Scorer, posterior_samples
from vaekit.tasks.noise import traces
from vaekit.trace import Trace

DECOMPOSED = ("iw", "elbo", "reconstruction")
"""The scores that are sums over the numbers of an example, and a part of the latents."""


def contributions(to: Scorer, name: str, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the parts (N, *shape) of the score `name` of prepared examples, and what the latents add, (N,): nats.

    Parts and latents add up to the score. With weights v_k = w_k / Σ w of the K samples, w_k = p(x, z_k) / q(z_k|x),

        -log (1/K) Σ_k w_k = Σ_j [-Σ_k v_k log p(x_j|z_k)]  +  Σ_k v_k log (v_k K q(z_k|x) / p(z_k)):

    what x_j costs under the true posterior, and an estimate of that posterior's KL from the prior. `elbo` has v_k = 1/K
    and its KL, `reconstruction` one z = E q(z|x) and no latent part. A missing cell adds 0.

    Raises:
        UserError: a score that is no such sum, or a likelihood that does not factorise over x.
        NotALikelihood: the model bounds nothing.

    >>> import vaekit
    >>> run = vaekit.train("vae", "digits", steps=2)
    >>> scorer, x = Scorer(run.model, k=4), run.test.first(3).inputs
    >>> parts, latents = contributions(scorer, "iw", x)
    >>> parts.shape, torch.allclose(parts.flatten(1).sum(1) + latents, scorer.score("iw", x), atol=1e-3)
    (torch.Size([3, 1, 8, 8]), True)
    """
    if name not in DECOMPOSED:
        raise UserError(f"the score '{name}' is no sum over an example's numbers; use {' or '.join(DECOMPOSED)}")

    def each(xs: Tensor, ys: Tensor | None) -> Tensor:
        if name == "reconstruction":
            parts = -elements(to.model.decode(to.model.posterior_mean(xs, ys), ys), xs)
            return _row(parts, torch.zeros(len(xs), dtype=parts.dtype, device=parts.device))
        k = to.k if name == "iw" else posterior_samples(to.k)
        return torch.cat([_parts(trace, name) for trace in traces(to.model, xs, ys, k, to.seed)])

    rows = batched(to.model, each, x, y, size=to.batch, seed=to.seed, progress=to.progress)
    return rows[:, :-1].unflatten(1, x.shape[1:]), rows[:, -1].double()


def _parts(trace: Trace, name: str) -> Tensor:
    """Return the parts of each example, flat, and behind them that of the latents: (B, D + 1)."""
    each = elements(trace.px, trace.x)
    if name == "iw":
        weights = trace.log_w.softmax(0)
        parts = -(weights.view(*weights.shape, *(1,) * (each.dim() - 2)) * each).sum(0)
        score = -bounds.importance_weighted(trace)
    else:
        parts, score = -each.mean(0), -bounds.elbo(trace)
    return _row(parts, score - parts.flatten(1).sum(1))


def _row(parts: Tensor, rest: Tensor) -> Tensor:
    return torch.cat([parts.flatten(1), rest.unsqueeze(1)], 1)


def elements(px: Distribution, x: Tensor) -> Tensor:
    """Return log p(x_j|z) of each number of x; UserError for a likelihood that does not factorise.

    >>> from torch.distributions import Normal
    >>> elements(Independent(Normal(torch.zeros(3), 1.0), 1), torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    if isinstance(px, Independent):
        found = px.base_dist.log_prob(x)
    elif hasattr(px, "log_prob_elements"):
        found = px.log_prob_elements(x)  # pyright: ignore[reportAttributeAccessIssue]
    else:
        raise UserError(
            f"{name_of(px)} does not score the numbers of an example one by one, so they have no contributions"
        )
    if found.dim() >= x.dim() and 0 < found.shape[-1] < x.shape[-1]:
        found = pad(found, (0, x.shape[-1] - found.shape[-1]))  # tokens behind the end cost nothing
    if found.shape[-x.dim() + 1 :] != x.shape[1:]:
        raise UserError(f"{name_of(px)} scores other parts than an example's numbers; there are no contributions")
    return found
