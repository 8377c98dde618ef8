"""The KL divided into mutual information, total correlation and more, over the exact aggregate posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.distributions.base import measure_of, name_of
from vaekit.distributions.normal import LOG_2PI, DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.inference import Progress
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused, refuses

BLOCK = 1 << 22
"""Numbers held at once, (samples × components × dimensions)."""
NATS = "nats"
NEAR = 1.0
"""Nats below log n from which the number of examples decides what is measured."""


@dataclass(frozen=True)
class AggregatePosterior:
    """q(z) = (1/N) Σ_n N(loc_n, diag exp(2 log_scale_n)), loc and log_scale (N, D)."""

    loc: Tensor
    log_scale: Tensor

    def log_probs(
        self, z: Tensor, which: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return log q(z) (S,), log q_j(z_j) (S, D), log q(z|x_n), and log of the mixture without n, for z (S, D).

        `which` (S,) names the component n for each sample.
        """
        n, d = self.loc.shape
        joint, marginal, own, others = [], [], [], []
        inverse, constant = torch.exp(-self.log_scale), -0.5 * LOG_2PI - self.log_scale
        step = max(1, BLOCK // (n * d))
        for start in range(0, len(z), step):
            part = z[start : start + step]
            elements = (part.unsqueeze(1) - self.loc) * inverse
            elements = constant - 0.5 * elements.square_()
            each = elements.sum(-1)
            joint.append(torch.logsumexp(each, 1) - math.log(n))
            marginal.append(torch.logsumexp(elements, 1) - math.log(n))
            column = which[start : start + step].unsqueeze(1)
            own.append(each.gather(1, column).squeeze(1))
            others.append(torch.logsumexp(each.scatter(1, column, -math.inf), 1) - math.log(max(n - 1, 1)))
            if progress is not None:
                progress(min(start + step, len(z)), len(z))
        return torch.cat(joint), torch.cat(marginal), torch.cat(own), torch.cat(others)


@dataclass(frozen=True)
class Pieces:
    """One value a sample z ~ q(z), (S,) nats each, of every piece of the KL; `which` (S,) is the example z came from.

    `dimension_wise` is None where the prior does not factorise.
    """

    which: Tensor
    index_code: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor | None
    marginal_kl: Tensor
    left_out: Tensor


def decompose(
    mixture: AggregatePosterior,
    p: Distribution,
    samples: int = 2000,
    progress: Progress | None = None,
) -> Pieces:
    """Divide E_n[KL(q(z|x_n) ‖ p(z))] = I_q(n; z) + TC + Σ_j KL(q(z_j) ‖ p(z_j)), sample by sample, z ~ q(z).

    I_q(n; z) = E[log q(z|n) - log q(z)], TC = E[log q(z) - Σ_j log q(z_j)]. q(z) is the exact mixture over all N
    examples, not the estimate from a minibatch; only z is sampled, each example's posterior as often as the others'.
    `left_out` is log q(z|n) - log of the mixture without n: its mean bounds I_q(x; z) of the population from above, as
    that of `index_code`, at most log N, bounds it from below.

    Source: Hoffman & Johnson 2016, "ELBO surgery"; Chen et al. 2018, arXiv:1802.04942; Poole et al. 2019,
    arXiv:1905.06922 (the two bounds).

    >>> mixture = AggregatePosterior(torch.tensor([[-50.0], [50.0]]), torch.zeros(2, 1))
    >>> pieces = decompose(mixture, torch.distributions.Normal(torch.zeros(1), 1.0), samples=100)
    >>> round(float(pieces.index_code.mean()), 4) == round(math.log(2), 4)
    True
    """
    n = len(mixture.loc)
    which = (torch.randperm(n * -(-samples // n)) % n)[:samples] if samples < n else torch.arange(samples) % n
    which = which.to(mixture.loc.device)
    z = mixture.loc[which] + mixture.log_scale[which].exp() * torch.randn_like(mixture.loc[which])
    joint, marginal, own, others = mixture.log_probs(z, which, progress)
    elements = _factorised(p, z)
    log_p = p.log_prob(z) if p.event_shape else p.log_prob(z).sum(-1)
    return Pieces(
        which.cpu(),
        (own - joint).cpu(),
        (joint - marginal.sum(-1)).cpu(),
        None if elements is None else (marginal - elements).sum(-1).cpu(),
        (joint - log_p).cpu(),
        (own - others).cpu(),
    )


def _factorised(p: Distribution, z: Tensor) -> Tensor | None:
    """Return log p_j(z_j), (S, D), where the prior factorises."""
    if isinstance(p, DiagonalNormalFamily):
        return p.log_prob_elements(z)
    if isinstance(p, torch.distributions.Independent):
        p = p.base_dist
    return p.log_prob(z) if not p.event_shape else None


def mixture_of(subject: Subject) -> tuple[AggregatePosterior, Distribution]:
    """Return the aggregate posterior over the subject's examples, and the prior.

    Raises:
        UserError: there are several latents, q(z|x) is not a diagonal normal, or the prior differs between examples.
    """
    loc, log_scale, p = [], [], None
    for x, y in subject.batches("encode"):
        trace = subject.model.trace(x, y, hard=True)
        if len(trace.latents) != 1:
            raise UserError(f"the model has {len(trace.latents)} latent variables, and an exact q(z) is over one")
        (latent,) = trace.latents.values()
        q, p = latent.q, latent.p
        if not isinstance(q, DiagonalNormalFamily) or q.loc.dim() - len(q.event_shape) != 1:
            raise UserError(f"q(z|x) is {name_of(q)}, not a diagonal normal")
        if p.batch_shape and len(p.event_shape):
            raise UserError("the prior differs between examples")
        if measure_of(p) != "density":
            raise UserError("the prior has no density")
        loc.append(q.loc.flatten(1))
        log_scale.append(q.log_scale.expand_as(q.loc).flatten(1))
    assert p is not None
    if len(p.event_shape) > 1:
        raise UserError("the latent is a map, not a vector")
    return AggregatePosterior(torch.cat(loc), torch.cat(log_scale)), p


MEANINGS: dict[str, tuple[str, bool | None]] = {
    "mutual_information": ("index-code mutual information I_q(n; z) over the examples; at most log n", None),
    "mutual_information_upper": (
        "upper bound on I_q(x; z) of the population: leaving each example out, or the KL",
        None,
    ),
    "total_correlation": ("upper bound on the KL of the population's q(z) from the product of its marginals", None),
    "dimension_wise_kl": ("sum over dimensions of the KL of q(z_j) from p(z_j)", None),
    "marginal_kl": ("upper bound on the KL of the population's aggregate posterior from the prior", False),
}


@metric(
    "kl_decomposition",
    group="decomposition",
    gives=MEANINGS,
    reference="Hoffman & Johnson 2016; Chen et al. 2018, arXiv:1802.04942",
)
@refuses(*MEANINGS, unit=NATS)
def kl_decomposition(subject: Subject) -> dict[str, Result]:
    """The KL as mutual information, total correlation and dimension-wise KL, over the exact aggregate posterior."""
    mixture, p = mixture_of(subject)
    n = len(mixture.loc)
    # of few examples several samples each, of many one each from some
    samples = int(subject.options.get("decomposition_samples", 2000 if n >= 2000 else n * -(-500 // n)))
    torch.manual_seed(subject.seed)  # whatever the traces above have drawn
    pieces = decompose(mixture, p, samples, subject.progress_of("kl_decomposition"))
    facts: dict[str, Any] = {"samples": samples}
    information = _result(pieces.index_code, pieces, n, ceiling=math.log(n), **facts)
    # the KL is information + KL of q(z): the population's information is at most either of these
    kl, left_out = (_result(x, pieces, n, **facts) for x in (pieces.index_code + pieces.marginal_kl, pieces.left_out))
    upper = min(left_out, kl, key=lambda result: result.value if result.value is not None else math.inf)
    assert information.value is not None and upper.value is not None and kl.value is not None
    least = max(0.0, kl.value - upper.value)
    if information.value > math.log(n) - NEAR:
        facts["limited_by_log_n"] = (
            f"the information is within {NEAR:g} nat of its ceiling, the log of the number of examples "
            f"({math.log(n):.2f}): this bound would fall with more examples"
        )
    wise = None if pieces.dimension_wise is None else _result(pieces.dimension_wise, pieces, n, samples=samples)
    lower = None if wise is None or wise.value is None else max(0.0, least - wise.value)
    return {
        "mutual_information": information,
        "mutual_information_upper": upper,
        "total_correlation": _result(pieces.total_correlation, pieces, n, lower=lower, **facts),
        "dimension_wise_kl": wise or refused("the prior does not factorise over dimensions", NATS),
        "marginal_kl": _result(pieces.marginal_kl, pieces, n, lower=least, **facts),
    }


def _result(values: Tensor, pieces: Pieces, n: int, **facts: Any) -> Result:
    """Average over the samples of each example first, so that the standard error is one over examples."""
    counts = torch.bincount(pieces.which, minlength=n)
    sums = torch.zeros(n, dtype=torch.float64).index_add_(0, pieces.which, values.double())
    mean = mean_of(sums[counts > 0] / counts[counts > 0], NATS)
    return Result(mean.value, NATS, n, mean.stderr, facts=facts)
