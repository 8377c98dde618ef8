"""Importance-weighted objectives: the bound of K samples, its relatives, and low-variance gradients for it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vaekit.bounds import importance_weighted, log_mean_exp
from vaekit.distributions.base import detached, is_point_mass, is_relaxed, measure_of
from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.schedules import Schedule
from vaekit.trace import Latent, Trace

Gradient = Literal["plain", "stl", "dreg"]


def multiple_importance_weighted(trace: Trace, m: int) -> Tensor:
    """(1/M) Σ_m log (1/L) Σ_l w_{m,l}: the mean of M bounds of L = K / M samples each, (B,) nats.

    M = K is the ELBO (with sampled KL), M = 1 the bound of all K samples; in between it lies between them.
    The K samples lead in the trace: they are split into M rows of L, and the logarithm of the mean goes over the L.

    Source: MIWAE of Rainforth et al. 2018, arXiv:1802.04537, eq. 10.
    """
    log_w = trace.log_w
    if len(log_w) % m:
        raise ValueError(f"{len(log_w)} samples cannot be split into {m} equal parts")
    return log_mean_exp(log_w.unflatten(0, (m, -1)).transpose(0, 1)).mean(0)


def combined_importance_weighted(trace: Trace, beta: float) -> Tensor:
    """β (1/K) Σ_k log w_k + (1 - β) log (1/K) Σ_k w_k: ELBO and importance-weighted bound mixed, (B,) nats.

    Source: CIWAE of Rainforth et al. 2018, arXiv:1802.04537, eq. 9.
    """
    return beta * trace.log_w.mean(0) + (1 - beta) * importance_weighted(trace)


def weights_refusal(trace: Trace) -> str | None:
    """Return why the samples of this trace have no importance weights, or None if they do."""
    for name, latent in trace.latents.items():
        if is_relaxed(latent.q):
            return (
                f"the samples of {name} are relaxed, and importance weights are of the posterior itself; "
                "use the ELBO, or --set model.straight_through=true"
            )
        if is_point_mass(latent.q) and measure_of(latent.p) != "mass":
            return f"q({name}|x) is a point mass on a continuous latent, which has no density"
    return None


def path_refusal(trace: Trace) -> str | None:
    """Return why the path-derivative gradients (STL, DReG) are not valid for this trace, or None if they are.

    They rest on E_q[∇_φ log q(z|x)] = 0 for one reparameterised sample z of q, with φ nowhere else: not in p(z), and
    not in a second latent whose posterior is conditioned on the first.
    """
    if len(trace.latents) > 1:
        names = ", ".join(trace.latents)
        return f"there are several latents ({names}); the gradient is derived for one"
    ((name, latent),) = trace.latents.items()
    if is_point_mass(latent.q) or not latent.q.has_rsample:
        return f"samples of {name} are not reparameterised ({type(latent.q).__name__} is discrete or a point mass)"
    if latent.code is not latent.z:
        return f"the decoder does not take {name} as its posterior scores it"
    if getattr(latent.p, "shares_posterior", False):
        return f"the prior of {name} is made of the posterior, whose parameters the gradient takes to be in q alone"
    return None


class _Weighted(Term):
    """A negative bound by importance weights; UserError where the samples have none."""

    name = "importance"

    def bound(self, trace: Trace) -> Tensor:
        """Return the bound, (B,) nats."""
        raise NotImplementedError

    def forward(self, trace: Trace) -> Tensor:
        """Return the negative bound."""
        reason = weights_refusal(trace)
        if reason is not None:
            raise UserError(f"this model has no importance-weighted objective: {reason}")
        return -self.bound(trace)


@OBJECTIVES.register(
    "importance-weighted", reference="Burda et al. 2016, arXiv:1509.00519; dreg: Tucker et al. 2019, arXiv:1810.04152"
)
class ImportanceWeighted(_Weighted):
    """-log (1/K) Σ_k p(x, z_k) / q(z_k|x), (B,) nats; its value is the bound itself, whatever the gradient.

    `gradient` is the estimator for the posterior's parameters φ; with w̃ the normalised weights:

    - "plain": Σ w̃_k ∇_φ log w_k, which contains the score of q. Burda et al. 2016, arXiv:1509.00519.
    - "stl": the score is left out, Σ w̃_k ∂log w_k/∂z_k ∇_φ z_k: lower variance, unbiased for K = 1 alone ("sticking
      the landing", Roeder et al. 2017, arXiv:1703.09194).
    - "dreg": Σ w̃_k² ∂log w_k/∂z_k ∇_φ z_k, unbiased for every K: doubly reparameterised, Tucker et al. 2019,
      arXiv:1810.04152.

    The decoder's and prior's gradient is Σ w̃_k ∇_θ log w_k in all three. Raises UserError where the samples have no
    weights, or where the derivation of "stl" and "dreg" does not hold (see `path_refusal`).
    """

    def __init__(self, k: int = 50, weight: Schedule | float | str = 1.0, gradient: Gradient = "plain") -> None:
        super().__init__(weight)
        self.k = k
        self.gradient = gradient

    def bound(self, trace: Trace) -> Tensor:
        """Return the bound."""
        if self.gradient == "plain":
            return importance_weighted(trace)
        reason = path_refusal(trace)
        if reason is not None:
            raise UserError(f"objective.gradient={self.gradient} does not hold here: {reason}; use gradient=plain")
        if not torch.is_grad_enabled():
            return importance_weighted(trace)
        (latent,) = trace.latents.values()
        return _by_path(trace, latent, squared=self.gradient == "dreg")


def _by_path(trace: Trace, latent: Latent, squared: bool) -> Tensor:
    """Return the bound, with gradients that reach φ along the samples only."""
    log_w = trace.log_px + latent.log_p_code - detached(latent.q).log_prob(latent.code)
    if trace.log_w_extra is not None:
        log_w = log_w + trace.log_w_extra
    weights = log_w.detach().softmax(0)
    surrogate = (weights * log_w).sum(0)
    if squared and len(log_w) > 1 and latent.code.requires_grad:
        # θ's share needs w̃ and φ's w̃²: what z hands on is corrected by (w̃ - 1) of it, and nothing else is touched.
        (at_z,) = torch.autograd.grad(surrogate.sum(), latent.code, retain_graph=True)
        less = (weights - 1).view(*weights.shape, *[1] * (at_z.dim() - 2))
        surrogate = surrogate + (less * at_z * latent.code).flatten(2).sum((0, 2))
    return log_mean_exp(log_w.detach()) + (surrogate - surrogate.detach())


@OBJECTIVES.register("multiple-importance-weighted", reference="Rainforth et al. 2018, arXiv:1802.04537, eq. 10")
class MultipleImportanceWeighted(_Weighted):
    """-(1/M) Σ_m log (1/L) Σ_l w_{m,l}, (B,) nats, of `m` bounds with `k` samples each; see the function.

    More samples make the encoder's gradient of one bound noisier relative to its size; averaging M bounds undoes that.
    """

    def __init__(self, m: int = 8, k: int = 8, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.m = m
        self.k = m * k

    def bound(self, trace: Trace) -> Tensor:
        """Return the bound; a trace with a single sample gives its ELBO."""
        return multiple_importance_weighted(trace, min(self.m, len(trace.log_w)))


@OBJECTIVES.register("combined-importance-weighted", reference="Rainforth et al. 2018, arXiv:1802.04537, eq. 9")
class CombinedImportanceWeighted(_Weighted):
    """-(β ELBO + (1 - β) IWAE_K), (B,) nats; see the function."""

    def __init__(self, k: int = 50, beta: float = 0.5, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.k = k
        self.beta = beta

    def bound(self, trace: Trace) -> Tensor:
        """Return the bound."""
        return combined_importance_weighted(trace, self.beta)
