"""Gradients of discrete latents without a relaxation in the objective: score functions and their control variates."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.bounds import importance_weighted
from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.objectives.importance import require_weights
from vaekit.objectives.samples import held, log_joint, log_posterior, require_scores, score, with_gradient
from vaekit.schedules import Schedule
from vaekit.trace import CoupledTrace, Trace, require_trace


def others_mean(value: Tensor) -> Tensor:
    """Return for each of K samples the mean of the K - 1 others, (K, B); one sample is a UserError.

    >>> others_mean(torch.tensor([[1.0], [2.0], [6.0]])).tolist()
    [[4.0], [3.5], [1.5]]
    """
    if len(value) < 2:
        raise UserError("the baseline is the mean of an example's other samples: give objective.k=2 or more")
    return (value.sum(0) - value) / (len(value) - 1)


@OBJECTIVES.register("reinforce", reference="Kool et al. 2019, openreview:r1lgTGL5DE; Williams 1992")
class Reinforce(Term):
    """-E_q[log p(x|z)], (B,) nats, with REINFORCE's gradient and each sample's baseline the mean of the others.

    ∇_φ = (1/K) Σ_k (f_k - (1/(K-1)) Σ_{j≠k} f_j) ∇_φ log q(z_k|x), f = log p(x|z): unbiased for discrete latents,
    whatever their number. It stands in for `reconstruction` beside a `rate` whose KL is a closed form.
    Source: Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!", openreview:r1lgTGL5DE.
    """

    name = "reconstruction"

    def __init__(self, k: int = 4, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.k = k

    def forward(self, trace: Trace) -> Tensor:
        """Return -E_q[log p(x|z)]."""
        f = trace.log_px
        require_closed_form(trace, self.name)
        signal = (f - others_mean(f)).detach()
        return -with_gradient(f, f + signal * score(trace)).mean(0)


@OBJECTIVES.register("rebar", reference="Tucker et al. 2017, arXiv:1703.07370")
class Rebar(Term):
    """-E_q[log p(x|z)], (B,) nats, with REBAR's gradient: REINFORCE less a relaxation's, put back where it has a path.

    ∇_φ = (f(b) - η f(ζ̃)) ∇_φ log q(b|x) + η ∇_φ f(ζ) - η ∇_φ f(ζ̃), with b = H(ζ) and ζ̃ drawn given b. Unbiased for
    every η and temperature; η is fixed here, where the paper learns both by the gradient of the variance.
    Source: Tucker et al. 2017, arXiv:1703.07370.
    """

    name = "reconstruction"

    def __init__(self, k: int = 1, eta: float = 1.0, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.k = k
        self.eta = eta

    def forward(self, trace: Trace) -> Tensor:
        """Return -E_q[log p(x|z)]."""
        f, coupled = trace.log_px, require_trace(trace, CoupledTrace, f"the term '{self.name}'")
        require_closed_form(trace, self.name)
        if not torch.is_grad_enabled():
            return -f.mean(0)
        log_q = score(trace)
        soft, given = [px.log_prob(trace.x) for _, px in (coupled.soft, coupled.given)]
        zs = [coupled.soft[0], coupled.given[0]]
        # Through the relaxed codes alone: the decoder's own share would have mean 0 and add to its noise.
        found = torch.autograd.grad((soft - given).sum(), zs, retain_graph=True)
        path = sum((slope * z).flatten(2).sum(2) for slope, z in zip(found, zs))
        signal = (f - self.eta * given).detach()
        return -with_gradient(f, f + signal * log_q + self.eta * path).mean(0)


@OBJECTIVES.register(
    "wake-sleep", reference="Bornschein & Bengio 2015, arXiv:1406.2751; Le et al. 2019, arXiv:1805.10469"
)
class WakeSleep(Term):
    """-log (1/K) Σ_k w_k, (B,) nats, whose gradient trains p by the bound and q by the wake phase of its own.

    θ follows Σ w̃_k ∇_θ log p(x, z_k), φ follows Σ w̃_k ∇_φ log q(z_k|x): it minimises KL(p(z|x) ‖ q(z|x)) by
    self-normalised weights, whose bias vanishes as 1/K, and is no gradient of the bound. No sample needs a path, so
    latents may be discrete, continuous or both. There is no sleep phase ("wake-wake" of Le et al. 2019).
    Source: Bornschein & Bengio 2015, arXiv:1406.2751.
    """

    name = "importance"

    def __init__(self, k: int = 8, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.k = k

    def forward(self, trace: Trace) -> Tensor:
        """Return the negative bound."""
        require_weights(trace)
        require_scores(trace)
        weights = trace.log_w.detach().softmax(0)
        both = held(weights * (log_joint(trace) + log_posterior(trace)), trace).sum(0)
        return -with_gradient(importance_weighted(trace), both)


def require_closed_form(trace: Trace, name: str) -> None:
    """Raise UserError unless the KLs of the discrete latents are closed forms, whose gradients need no samples."""
    for latent, value in trace.kl.items():
        if not trace.latents[latent].q.has_rsample and value.dim() > 1:
            raise UserError(f"the term '{name}' needs a closed-form KL of {latent}: choose the prior of its family")
