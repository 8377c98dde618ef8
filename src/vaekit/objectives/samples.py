"""What of a loss's gradient goes through the samples of latents, so that estimators can scale it or leave it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaekit.distributions.base import detached
from vaekit.errors import UserError
from vaekit.trace import Latent, Trace


def summed(value: Callable[[Latent], Tensor], trace: Trace) -> Tensor:
    """Return the sum of `value` over the trace's latents, (K, B)."""
    return torch.stack([value(latent).expand_as(trace.log_px) for latent in trace.latents.values()]).sum(0)


def log_joint(trace: Trace) -> Tensor:
    """Return log p(x, z) at each sample, (K, B)."""
    total = trace.log_px + summed(lambda latent: latent.log_p_code, trace)
    return total if trace.log_w_extra is None else total + trace.log_w_extra


def log_posterior(trace: Trace) -> Tensor:
    """Return log q(z|x) at each sample, (K, B), as a function of the samples.

    A family whose density was computed along with its samples is asked again, its parameters held fixed.
    """

    def one(latent: Latent) -> Tensor:
        return latent.log_q_code if latent.log_q is None else detached(latent.q).log_prob(latent.code)

    return summed(one, trace)


def score(trace: Trace) -> Tensor:
    """Return log q(z|x) of the latents whose samples carry no gradient, (K, B): what score functions are taken of.

    Raises UserError where there is none, or where a sample is relaxed.
    """
    hard = [latent.log_q_code for latent in trace.latents.values() if not latent.q.has_rsample]
    if not hard or any(latent.code.requires_grad for latent in trace.latents.values() if not latent.q.has_rsample):
        names = ", ".join(trace.latents)
        raise UserError(
            f"score-function gradients are of hard samples of discrete latents, and {names} has none here; "
            "choose model.posterior=bernoulli or categorical, or train vae"
        )
    return torch.stack(hard).sum(0)


def require_scores(trace: Trace) -> None:
    """Raise UserError where q cannot score a sample that is given it, as gradients with the samples held want it."""
    for name, latent in trace.latents.items():
        if latent.log_q is not None:
            raise UserError(
                f"this objective scores samples that are held fixed, and q({name}|x), a flow, knows its own "
                "alone; choose model.posterior=diagonal-normal or full-normal"
            )


def codes(trace: Trace) -> list[Tensor]:
    """Return the samples through which a gradient goes."""
    return [latent.code for latent in trace.latents.values() if latent.code.requires_grad]


def slopes(value: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """Return the derivative of a sum of (K, B) by each of some samples: all of it, through later samples too."""
    found = torch.autograd.grad(value.sum(), list(at), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(one) if slope is None else slope for one, slope in zip(at, found)]


def own_slopes(value: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """Return the derivative of a sum of (K, B) by each of some samples with the others held fixed.

    With v the result and u all of the derivative, u = Jᵀ v, where J is unit triangular, the derivative of samples by
    samples: one pass back through the posteriors for each latent but the last solves for v, in whatever order they
    were drawn.
    """
    total = slopes(value, at)
    own = total
    for _ in at[1:]:
        handed = slopes(torch.stack([inner(a, b) for a, b in zip(own, at)]).sum(0), at)
        own = [a + b - c for a, b, c in zip(own, total, handed)]
    return own


def inner(slope: Tensor, sample: Tensor) -> Tensor:
    """Return slope · sample over an event's axes, (K, B); the slope is a constant."""
    return (slope.detach() * sample).flatten(2).sum(2) if sample.dim() > 2 else slope.detach() * sample


def along(value: Tensor, at: Sequence[Tensor]) -> Tensor:
    """Return a (K, B) whose gradient is the part of that of `value`, (K, B), that goes through the samples."""
    if not at:
        return torch.zeros_like(value)
    return torch.stack([inner(a, b) for a, b in zip(own_slopes(value, at), at)]).sum(0)


def held(value: Tensor, trace: Trace) -> Tensor:
    """Return `value`, (K, B), with a gradient as if the samples were given, whatever they were drawn by."""
    if not torch.is_grad_enabled() or not codes(trace):
        return value
    path = along(value, codes(trace))
    return value - (path - path.detach())


def with_gradient(value: Tensor, of: Tensor) -> Tensor:
    """Return the value of the one with the gradient of the other.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = with_gradient(torch.tensor(5.0), 3 * x); y.backward(); y.item(), x.grad.item()
    (5.0, 3.0)
    """
    return value.detach() + (of - of.detach())
