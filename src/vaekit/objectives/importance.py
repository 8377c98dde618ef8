"""Importance-weighted objectives: the bound of K samples, its relatives, and low-variance gradients for it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vaekit.bounds import importance_weighted, log_mean_exp
from vaekit.distributions.base import is_point_mass, is_relaxed, measure_of
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.objectives.samples import along, codes, inner, log_joint, log_posterior, own_slopes, score, with_gradient
from vaekit.schedules import Schedule
from vaekit.trace import Trace

PathGradient = Literal["plain", "stl", "dreg", "gdreg"]
Gradient = PathGradient | Literal["vimco"]


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


def require_weights(trace: Trace) -> None:
    """Raise UserError where the samples of this trace have no importance weights."""
    reason = weights_refusal(trace)
    if reason is not None:
        raise UserError(f"this model has no importance-weighted objective: {reason}")


def path_refusal(trace: Trace) -> str | None:
    """Return why the path-derivative gradients (STL, DReG, GDReG) are not valid for this trace, or None if they are.

    They rest on the samples' being reparameterised, each by its own q: E_q[c ∇_φ log q(z|x)] is then the mean of
    ∂c/∂z ∇_φ z. How latents hang together, and what else φ is in, are free: see `_by_path`.
    """
    for name, latent in trace.latents.items():
        if is_point_mass(latent.q) or not latent.q.has_rsample:
            return f"samples of {name} are not reparameterised ({type(latent.q).__name__} is discrete or a point mass)"
        if latent.code is not latent.z:
            return f"the decoder does not take {name} as its posterior scores it"
    return None


class _Weighted(Term):
    """A negative bound by importance weights; UserError where the samples have none."""

    name = "importance"

    def bound(self, trace: Trace) -> Tensor:
        """Return the bound, (B,) nats."""
        raise NotImplementedError

    def forward(self, trace: Trace) -> Tensor:
        """Return the negative bound."""
        require_weights(trace)
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
      arXiv:1810.04152; of several latents by Bauer & Mnih 2021, arXiv:2101.11046.
    - "gdreg": the same, and the score of a learned normal prior by its own reparameterisation z = μ_p + σ_p ε̃:
      Σ (w̃_k ∂log p(x, z_k)/p(z_k)/∂z_k - w̃_k² ∂log w_k/∂z_k) ∇_θ z_k, also unbiased. Bauer & Mnih 2021.
    - "vimco": the score function with each sample's baseline the bound of the others, for discrete latents,
      Σ (L - L_{-k}) ∇_φ log q(z_k|x) beside Σ w̃_k ∇_φ log w_k: unbiased. Mnih & Rezende 2016, arXiv:1602.06725.

    The decoder's and prior's gradient is Σ w̃_k ∇_θ log w_k otherwise. Raises UserError where the samples have no
    weights, or where the derivation does not hold (see `path_refusal`; "vimco" wants hard samples and K ≥ 2).
    """

    def __init__(self, k: int = 50, weight: Schedule | float | str = 1.0, gradient: Gradient = "plain") -> None:
        super().__init__(weight)
        self.k = k
        self.gradient: Gradient = gradient

    def bound(self, trace: Trace) -> Tensor:
        """Return the bound."""
        if self.gradient == "plain":
            return importance_weighted(trace)
        if self.gradient == "vimco":
            return _by_score(trace)
        reason = path_refusal(trace)
        if reason is not None:
            raise UserError(f"objective.gradient={self.gradient} does not hold here: {reason}; use gradient=plain")
        if not torch.is_grad_enabled():
            return importance_weighted(trace)
        return _by_path(trace, self.gradient)


def _by_path(trace: Trace, gradient: Gradient) -> Tensor:
    """Return the bound, with gradients that reach φ along the samples only.

    With the samples z held, what is left is that of Σ w̃ log p(x, z); z hands on the slopes of Σ w̃² log w (of
    Σ w̃ log w for "stl"), each sample its own. That leaves out the score of q alone, so φ may be in p(z) as well, and
    a latent's posterior may be conditioned on another's samples.
    """
    log_p, log_q, at = log_joint(trace), log_posterior(trace), codes(trace)
    weights = (log_p - log_q).detach().softmax(0)
    handed = (weights if gradient == "stl" else weights.square()) * (log_p - log_q)
    kept = weights * log_p
    if gradient == "gdreg" and at:
        kept = kept + _by_prior(trace, weights, kept - handed)
    return with_gradient(importance_weighted(trace), (kept + along(handed - kept, at)).sum(0))


def _by_prior(trace: Trace, weights: Tensor, rest: Tensor) -> Tensor:
    """Return what turns w̃ log p(z_l|·) into a function of z_l = μ_p + σ_p ε̃, for learned diagonal normals; (K, B)."""
    total = torch.zeros_like(weights)
    for latent, slope in zip(trace.latents.values(), own_slopes(rest, codes(trace))):
        if type(latent.p) is not DiagonalNormalFamily or not latent.p.loc.requires_grad:
            continue
        noise = ((latent.code - latent.p.loc) * torch.exp(-latent.p.log_scale)).detach()
        each = weights.view(*weights.shape, *[1] * (noise.dim() - 2))
        slope = slope + each * noise * torch.exp(-latent.p.log_scale.detach())  # less its own log p(z_l|·)
        total = total + inner(slope, latent.p.at(noise)) - weights * latent.log_p_code
    return total


def _by_score(trace: Trace) -> Tensor:
    """Return the bound with VIMCO's gradient: the baseline of a sample puts the others' geometric mean in its place."""
    log_q, log_w, bound = score(trace), trace.log_w, importance_weighted(trace)
    if len(log_w) < 2:
        raise UserError(
            "objective.gradient=vimco takes its baselines from an example's other samples: give k=2 or more"
        )
    with torch.no_grad():
        k = len(log_w)
        mean = (log_w.sum(0) - log_w) / (k - 1)
        swapped = torch.where(torch.eye(k, device=log_w.device, dtype=torch.bool)[..., None], mean[:, None], log_w)
        signal = bound - log_mean_exp(swapped.transpose(0, 1))
    return with_gradient(bound, bound + (signal * log_q).sum(0))


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
